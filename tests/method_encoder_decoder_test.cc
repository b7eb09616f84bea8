// A T5 of new-lm through the stages that answer by title: reading, DELRec's two stages, questions.
#include <gtest/gtest.h>

#include <algorithm>

#include "method/evaluate.h"
#include "method/pretrain.h"
#include "method/ranking_service.h"
#include "method/row.h"
#include "method/soft_prompt.h"
#include "refusals.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"
#include "temporal/row_view.h"
#include "title_model.h"

namespace etrlrec {
namespace {

class EncoderDecoder : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    NewLmOptions options = title_model_options(root_ / "data", root_ / "t5");
    options.family = "t5";
    options.hidden_size = 32;
    options.num_attention_heads = 2;
    make_new_lm(options);
    result_ = pretrain(reader("timeline", 60));
  }
  static PretrainOptions reader(const std::string& name, int64_t steps) {
    PretrainOptions options;
    options.data = root_ / "data";
    options.model = root_ / "t5";
    options.out = root_ / name;
    options.eval_rows = 20;
    options.trainer.learning_rate = 5e-3;
    options.trainer.max_steps = steps;
    options.trainer.logging_steps = 1;
    return options;
  }
  static inline TrainingResult result_;
};

TEST_F(EncoderDecoder, is_made_with_as_many_layers_on_both_sides) {
  const LoadedModel made = load_model_folder(root_ / "t5", "");
  EXPECT_EQ(made.model->type(), "t5");
  EXPECT_TRUE(made.model->has_encoder());
  EXPECT_EQ(made.model->hidden_size(), 32);
  const Json config = read_json(root_ / "t5/config.json");
  EXPECT_EQ(config["num_layers"], config["num_decoder_layers"]);
  EXPECT_EQ(config["decoder_start_token_id"], config["eos_token_id"]);
  NewLmOptions options = title_model_options(root_ / "data", root_ / "never");
  options.family = "bert";
  refuses([&] { make_new_lm(options); }, ExitCode::kUsage, "qwen2 or t5");
}

// What the encoder reads is the prompt that asks for the title with which the text begins.
TEST_F(EncoderDecoder, reads_a_prompt_and_writes_the_title_that_is_asked_for) {
  const LoadedModel model = load_model_folder(root_ / "t5", "");
  const Study study = open_study(root_ / "data");
  const auto& offsets = study.dataset.user_offsets;
  size_t user = 0;
  while (offsets[user + 1] - offsets[user] < 8) ++user;
  const ReadingWindow window{offsets[user], offsets[user] + 8};
  for (const char* style : {"compact", "natural"}) {
    PromptOptions prompt{.max_history = 4, .reasoning = false, .answer = AnswerKind::kTitle};
    prompt.style = style;
    const ChatFrame around = model.frame(prompt);
    ASSERT_FALSE(around.after.empty());  // the end token that an encoder's text has
    for (const int64_t entries : {2, 6}) {
      const int64_t asked = window.begin + entries;
      const ReadingText text =
          reading_text_from({*model.tokenizer, around}, study.dataset, window, asked, prompt);
      Request request = history_request(study.dataset, {static_cast<int32_t>(user), asked}, 4);
      EXPECT_EQ(request.history.size(), entries == 2 ? 2u : 4u);
      request.candidates = {study.dataset.items[static_cast<size_t>(asked)]};
      const RowView view(study.dataset.catalogue, nullptr, request, prompt);
      const std::vector<int64_t> source =
          view.encoding(*model.tokenizer, around.before, around.after);
      const std::vector<int64_t> title = model.tokenizer->encode(view.answers()[0]);
      ASSERT_EQ(text.source, std::ssize(source)) << style;
      EXPECT_TRUE(std::equal(source.begin(), source.end(), text.ids.begin())) << style;
      EXPECT_TRUE(std::equal(title.begin(), title.end(), text.ids.begin() + text.source));
      const auto written = text.weights.begin() + text.source;
      EXPECT_EQ(std::count(text.weights.begin(), written, 0.0F), text.source);
      EXPECT_EQ(std::count(written, written + std::ssize(title), 1.0F), std::ssize(title));
      // It goes on with the titles that follow.
      std::string titles, expected;
      for (size_t t = 0; t < text.ids.size(); ++t)
        if (text.weights[t] == 1) titles += model.tokenizer->token_text(text.ids[t]);
      for (int64_t i = asked; i < window.end; ++i)
        expected += find_style(style).title(study.dataset.catalogue,
                                            study.dataset.items[static_cast<size_t>(i)]);
      EXPECT_EQ(titles, expected) << style;
    }
  }
  refuses(
      [&] {
        reading_text_from({*model.tokenizer, {}}, study.dataset, window, window.end, {});
      },
      ExitCode::kInput, "of the window");
}

TEST_F(EncoderDecoder, learns_time_lines) {
  EXPECT_EQ(result_.steps, 60);
  std::vector<double> losses;
  for_each_json_line(root_ / "timeline/metrics.jsonl", [&](const Json& line, int64_t) {
    if (line.contains("train/loss")) losses.push_back(line.at("train/loss"));
  });
  ASSERT_GT(losses.size(), 20u);
  EXPECT_LT(losses.back(), losses.front() - 1);
  const LoadedModel loaded = open_model_folder(root_ / "timeline", "");
  EXPECT_EQ(loaded.card.stage, "pretrain");
  EXPECT_EQ(loaded.card.prompt.answer, AnswerKind::kTitle);
  // Of what it has read it finds the next titles among six; before it found them by chance.
  EvaluateOptions asked = evaluation_of("timeline");
  asked.candidates = root_ / "data/candidates-train.jsonl";
  const Evaluation after = run(setup(asked));
  asked.model = root_ / "t5";
  const Evaluation before = run(setup(asked));
  EXPECT_EQ(after.row.n, 150);
  EXPECT_LT(before.row.hit1.mean, 0.27);
  EXPECT_GT(after.row.hit1.mean, 0.3) << before.row.hit1.mean;
  PretrainOptions dropping = reader("never", 1);
  dropping.hidden_dropout = 0.3;
  refuses([&] { setup(dropping); }, ExitCode::kUsage, "hidden dropout");
}

TEST_F(EncoderDecoder, has_soft_tokens_before_what_it_reads_and_learns_beside_them) {
  SoftPromptOptions options;
  options.data = root_ / "data";
  options.model = root_ / "timeline";
  options.out = root_ / "prompt";
  options.tasks = {"ta"};
  options.num_candidates = 4;
  options.prompt.num_virtual_tokens = 3;
  options.eval_rows = 4;
  options.trainer.max_steps = 3;
  options.trainer.train_batch_size = 4;
  const SoftPromptSetup made = setup(options);
  const int64_t vocabulary = made.model.model->vocab_size();
  for (const CandidateRow& row : made.tasks[0].rows) {
    for (int64_t t = 0; t < 3; ++t) EXPECT_EQ(row.prompt[static_cast<size_t>(t)], vocabulary + t);
    EXPECT_EQ(row.prompt.back(), made.model.tokenizer->eos_id());
  }
  EXPECT_EQ(soft_prompt(options).steps, 3);
  const auto prompt_of = [](const std::string& name) {
    return read_file(root_ / name / "adapter/adapter_model.safetensors");
  };
  const auto weights_of = [](const std::string& name) {
    return read_file(root_ / name / "model.safetensors");
  };
  EXPECT_EQ(weights_of("prompt"), weights_of("timeline"));
  DistillOptions second = distill_into("delrec");
  second.reasoning.clear();
  second.model = root_ / "prompt";
  second.label_only = true;
  second.answer_loss = "candidates";
  second.sft_share = 1;
  second.lora.r = 2;
  second.trainer.learning_rate = 0.01;
  EXPECT_EQ(distill(second).steps, 3);
  EXPECT_EQ(prompt_of("delrec"), prompt_of("prompt"));
  EXPECT_NE(weights_of("delrec"), weights_of("prompt"));
  EXPECT_EQ(run(setup(evaluation_of("delrec"))).row.n, 20);
  EvaluateOptions first_tokens = evaluation_of("delrec");
  first_tokens.protocol.name = "verbalizer";
  const Evaluation verbalized = run(setup(first_tokens));
  ASSERT_TRUE(verbalized.collisions.has_value());
  EXPECT_EQ(verbalized.collisions->rows, 20);
  RankerOptions ranking;
  ranking.data = root_ / "data";
  ranking.model = root_ / "delrec";
  Ranker ranker(ranking);
  RankingQuery query;
  query.user = ranker.user_ids()[3];
  query.num_candidates = 0;
  const std::vector<Request> requests = ranker.requests({&query, 1});
  ranker.load();
  EXPECT_EQ(ranker.rank(requests, 5)[0].items.size(), 5u);
}

}  // namespace
}  // namespace etrlrec
