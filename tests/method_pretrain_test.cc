// Reading the log: windows, the text of a window, and the stage with what follows it.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/check.h"
#include "days.h"
#include "method/evaluate.h"
#include "method/pretrain.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"
#include "title_model.h"

namespace etrlrec {
namespace {

TEST(WindowsOfReading, hold_every_interaction_once_an_epoch) {
  const std::vector<ReadingWindow> users{{0, 3}, {10, 20}, {20, 33}, {40, 41}};
  const ReadingWindows windows(users, 5, 1);
  EXPECT_EQ(windows.num_rows(), 1 + 2 + 3 + 1);
  std::set<int64_t> first_lengths;
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    std::map<int64_t, int> seen;
    for (int64_t row = 0; row < windows.num_rows(); ++row) {
      const ReadingWindow window = windows.at(row, epoch);
      ASSERT_LT(window.begin, window.end);
      ASSERT_LE(window.end - window.begin, 5);
      for (int64_t i = window.begin; i < window.end; ++i) ++seen[i];
      if (window.begin == 20) first_lengths.insert(window.end - window.begin);
      EXPECT_EQ(window.begin, windows.at(row, epoch).begin);
    }
    ASSERT_EQ(seen.size(), 3u + 10 + 13 + 1);
    for (const auto& [place, count] : seen) ASSERT_EQ(count, 1) << place;
  }
  EXPECT_EQ(first_lengths, (std::set<int64_t>{3, 4, 5}));
  EXPECT_THROW(ReadingWindows(users, 0, 1), Error);
}

class Pretrain : public Stages {
 protected:
  static PretrainOptions pretrain_into(const std::string& name) {
    PretrainOptions options;
    options.data = root_ / "data";
    options.model = root_ / "titles-base";
    options.out = root_ / name;
    options.window = 8;
    options.eval_rows = 10;
    options.trainer.num_train_epochs = 2;
    options.trainer.train_batch_size = 16;
    return options;
  }
  static void make_base() {
    if (!fs::exists(root_ / "titles-base"))
      make_new_lm(title_model_options(root_ / "data", root_ / "titles-base"));
  }
};

TEST_F(Pretrain, frequent_titles_are_one_token_and_titles_carry_the_weight) {
  make_base();
  const auto tokenizer = load_tokenizer(root_ / "titles-base");
  const Study study = open_study(root_ / "data");
  const PromptOptions prompt{.max_history = 50, .answer = AnswerKind::kTitle};
  std::vector<int64_t> count(static_cast<size_t>(study.dataset.catalogue.num_items()));
  const Split split = load_split(root_ / "data");
  for (int64_t user = 0; user < study.dataset.num_users(); ++user)
    for (int64_t i = study.dataset.user_offsets[user]; i < split.train_end[user]; ++i)
      ++count[static_cast<size_t>(study.dataset.items[i])];
  const auto most = std::max_element(count.begin(), count.end()) - count.begin();
  const std::string title =
      find_style("compact").title(study.dataset.catalogue, static_cast<int32_t>(most));
  EXPECT_EQ(tokenizer->encode(title).size(), 1u) << title;

  const ReadingWindow window{study.dataset.user_offsets[3], study.dataset.user_offsets[3] + 4};
  const ReadingText text = reading_text({*tokenizer, {}}, study.dataset, window, prompt);
  ASSERT_EQ(text.ids.size(), text.weights.size());
  std::string titles, others;
  for (size_t t = 0; t < text.ids.size(); ++t)
    (text.weights[t] == 1 ? titles : others) += tokenizer->token_text(text.ids[t]);
  std::string expected;
  for (int64_t i = window.begin; i < window.end; ++i)
    expected += find_style("compact").title(study.dataset.catalogue, study.dataset.items[i]);
  EXPECT_EQ(titles, expected);
  EXPECT_EQ(others.rfind("History; start ", 0), 0u) << others;
  for (const float weight : text.weights) EXPECT_TRUE(weight == 1 || weight == 0);
}

// In a chat the last title stands where the assistant answers, and the tokens are those of a prompt
// that asks for it.
TEST_F(Pretrain, reads_a_chat_as_it_is_asked) {
  make_base();
  const auto tokenizer = load_tokenizer(root_ / "titles-base");
  const Study study = open_study(root_ / "data");
  PromptOptions prompt{.max_history = 50, .reasoning = false, .answer = AnswerKind::kTitle};
  prompt.style = "natural";
  const ChatFrame around{{1, 2}, {3, 4, 5}};
  const int64_t begin = study.dataset.user_offsets[3];
  const ReadingText text =
      reading_text({*tokenizer, around}, study.dataset, {begin, begin + 4}, prompt);
  Request request;
  request.user = 3;
  const auto first = static_cast<size_t>(begin);
  request.history.assign(study.dataset.items.begin() + begin,
                         study.dataset.items.begin() + begin + 3);
  request.times.assign(study.dataset.times.begin() + begin,
                       study.dataset.times.begin() + begin + 3);
  request.now = study.dataset.times[first + 3];
  request.candidates = {study.dataset.items[first + 3]};
  const RowView view(study.dataset.catalogue, nullptr, request, prompt);
  std::vector<int64_t> expected = view.encoding(*tokenizer, around.before, around.after);
  const std::vector<int64_t> answer = tokenizer->encode(view.answers()[0]);
  expected.insert(expected.end(), answer.begin(), answer.end());
  EXPECT_EQ(text.ids, expected);
  ASSERT_EQ(text.weights.size(), text.ids.size());
  EXPECT_EQ(std::count(text.weights.end() - std::ssize(answer), text.weights.end(), 1.0F),
            std::ssize(answer));
  EXPECT_GT(std::count(text.weights.begin(), text.weights.end(), 1.0F), std::ssize(answer));
}

TEST_F(Pretrain, makes_a_folder_that_answers_by_title_whatever_checkpoints_it_writes) {
  make_base();
  const TrainingResult result = pretrain(pretrain_into("timeline"));
  EXPECT_GT(result.tokens, 0);
  const LoadedModel loaded = open_model_folder(root_ / "timeline", "");
  EXPECT_EQ(loaded.card.stage, "pretrain");
  EXPECT_EQ(loaded.card.prompt.answer, AnswerKind::kTitle);
  EXPECT_EQ(loaded.card.prompt.max_history, 50);
  EXPECT_FALSE(loaded.card.prompt.reasoning);

  EvaluateOptions asked;
  asked.data = root_ / "data";
  asked.model = root_ / "timeline";
  asked.candidates = root_ / "data/candidates-valid.jsonl";
  const Evaluation evaluation = run(setup(asked));
  EXPECT_EQ(evaluation.predictions.rows.size(), 20u);
  for (const Prediction& row : evaluation.predictions.rows) {
    double sum = 0;
    for (const float p : row.scores) sum += p;
    EXPECT_NEAR(sum, 1, 1e-4);
  }

  PretrainOptions saving = pretrain_into("timeline-again");
  saving.trainer.save_steps = 1;
  pretrain(saving);
  const auto bytes = [](const std::string& name) {
    return read_file(root_ / name / "model.safetensors");
  };
  EXPECT_EQ(bytes("timeline"), bytes("timeline-again"));
}

// Reasoning between the time line and the title: construct, distill and reinforce go on from it.
TEST_F(Pretrain, is_what_later_stages_start_from) {
  make_base();
  if (!fs::exists(root_ / "timeline")) pretrain(pretrain_into("timeline"));
  ConstructOptions construct_options = construct_into("title-reasoning");
  construct_options.answer = AnswerKind::kTitle;
  EXPECT_GT(construct(construct_options).kept, 0);
  const ReasoningRecord record = read_reasoning_record(root_ / "title-reasoning");
  EXPECT_EQ(record.prompt.answer, AnswerKind::kTitle);
  EXPECT_EQ(record.prompt.max_history, 50);
  for_each_json_line(root_ / "title-reasoning/reasoning.jsonl", [](const Json& line, int64_t) {
    const auto text = line["completion"].get<std::string>();
    EXPECT_EQ(text.find("pick("), text.npos) << text;
    EXPECT_EQ(line["prompt"].get<std::string>().find("Candidates"), std::string::npos);
  });

  DistillOptions student = distill_into("title-student");
  student.model = root_ / "timeline";
  student.reasoning = root_ / "title-reasoning";
  EXPECT_GT(distill(student).tokens, 0);
  DistillOptions labels = distill_into("title-labels");
  labels.model = root_ / "timeline";
  labels.reasoning.clear();
  labels.label_only = true;
  EXPECT_GT(distill(labels).tokens, 0);
  EXPECT_EQ(open_model_folder(root_ / "title-labels", "").card.prompt.answer, AnswerKind::kTitle);
  DistillOptions numbered = distill_into("numbered");
  numbered.model = root_ / "timeline";
  EXPECT_THROW(distill(numbered), Error);

  ReinforceOptions policy = reinforce_into("title-student", "title-policy");
  policy.reasoning = root_ / "title-reasoning";
  EXPECT_GT(reinforce(policy).tokens, 0);
}

TEST(AgeWeights, halve_with_age_and_have_a_mean_of_one) {
  const std::vector<int64_t> times{0, 10 * kDay, 20 * kDay, 20 * kDay};
  const AgeWeights weights(times, 10);
  EXPECT_NEAR(weights.at(10 * kDay) / weights.at(20 * kDay), 0.5, 1e-6);
  EXPECT_NEAR(weights.at(0) / weights.at(20 * kDay), 0.25, 1e-6);
  double sum = 0;
  for (const int64_t time : times) sum += weights.at(time);
  EXPECT_NEAR(sum / 4, 1, 1e-6);
  EXPECT_GT(weights.at(-100'000 * kDay), 0);  // no text is without anything to learn
  EXPECT_EQ(AgeWeights().at(0), 1);
  EXPECT_THROW(AgeWeights(times, -1), Error);
}

// What is read with a share of the log, later stages do not train on again.
TEST_F(Pretrain, leaves_later_rows_to_the_stages_that_follow) {
  make_base();
  PretrainOptions options = pretrain_into("half");
  options.train_share = 0.5;
  if (!fs::exists(root_ / "half")) pretrain(options);
  const ModelCard card = open_model_folder(root_ / "half", "").card;
  ASSERT_TRUE(card.read_until.has_value());

  DistillOptions labels = distill_into("half-labels");
  labels.model = root_ / "half";
  labels.reasoning.clear();
  labels.label_only = true;
  labels.sft_share = 1;
  const DistillSetup some = setup(labels);
  EXPECT_EQ(some.card.read_until, card.read_until);
  const RowSource source(*some.study, some.study->candidates("train"), some.card.prompt);
  int64_t unread = 0;
  for (int64_t row = 0; row < source.size(); ++row)
    unread += source.request_time(row) > *card.read_until;
  EXPECT_GT(unread, 0);
  EXPECT_LT(unread, source.size());
  EXPECT_EQ(std::ssize(some.rows), unread);
}

}  // namespace
}  // namespace etrlrec
