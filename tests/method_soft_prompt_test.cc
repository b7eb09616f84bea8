// Stage 1 of DELRec: what its rows say, what it trains, what it leaves and what it refuses.
#include <gtest/gtest.h>

#include <algorithm>

#include "method/evaluate.h"
#include "method/fit.h"
#include "method/soft_prompt.h"
#include "models/weights.h"
#include "refusals.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"
#include "title_model.h"

namespace etrlrec {
namespace {

class SoftPrompts : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    make_new_lm(title_model_options(root_ / "data", root_ / "titles"));
    for (const int32_t fold : {0, 1}) {
      FitOptions options;
      options.data = root_ / "data";
      options.out = root_ / fmt::format("fold{}", fold);
      options.models = {"markov"};
      options.left_out = {2, fold, 42};
      fit(options);
    }
  }
  static SoftPromptOptions prompt_into(const std::string& name) {
    SoftPromptOptions options;
    options.data = root_ / "data";
    options.model = root_ / "titles";
    options.out = root_ / name;
    options.recommenders = {root_ / "fold0/markov", root_ / "fold1/markov"};
    options.list_items = 3;
    options.num_candidates = 6;
    options.prompt.num_virtual_tokens = 4;
    options.eval_rows = 0;
    options.trainer.train_batch_size = 4;
    options.trainer.max_steps = 4;
    options.trainer.logging_steps = 1;
    return options;
  }
  static SoftPromptOptions analysis_into(const std::string& name) {
    SoftPromptOptions options = prompt_into(name);
    options.tasks = {"ta"};
    options.recommenders.clear();
    return options;
  }
  // What a prompt says behind its virtual tokens.
  static std::string text_of(const SoftPromptSetup& setup, const CandidateRow& row) {
    std::string text;
    for (const int64_t id : row.prompt)
      if (id < setup.model.model->vocab_size()) text += setup.model.tokenizer->token_text(id);
    return text;
  }
  static std::vector<Json> metrics_of(const std::string& name) {
    std::vector<Json> lines;
    for_each_json_line(root_ / name / "metrics.jsonl",
                       [&](const Json& line, int64_t) { lines.push_back(line); });
    return lines;
  }
  static at::Tensor prompt_of(const std::string& name) {
    return read_prompt(root_ / name / "adapter", 16).rows;
  }
};

// method.md B.8 #14: each task reads its own rows.
TEST_F(SoftPrompts, rows_of_both_tasks_speak_of_the_same_events) {
  const SoftPromptSetup made = setup(prompt_into("never"));
  ASSERT_EQ(made.tasks.size(), 2u);
  EXPECT_EQ(made.tasks[0].task, "ta");
  EXPECT_EQ(made.tasks[1].task, "rps");
  ASSERT_EQ(made.tasks[0].rows.size(), made.tasks[1].rows.size());
  EXPECT_GT(made.tasks[0].rows.size(), 100u);
  EXPECT_TRUE(made.main_rows.empty());
  for (size_t r = 0; r < made.tasks[0].rows.size(); ++r) {
    const CandidateRow& analysis = made.tasks[0].rows[r];
    const CandidateRow& simulating = made.tasks[1].rows[r];
    for (const CandidateRow* row : {&analysis, &simulating}) {
      ASSERT_EQ(row->answers.size(), 6u);
      for (int64_t t = 0; t < 4; ++t)  // soft tokens stand in front of the text
        EXPECT_EQ(row->prompt[static_cast<size_t>(t)], made.model.model->vocab_size() + t);
      EXPECT_EQ(text_of(made, *row).rfind("History;", 0), 0u);
    }
    const std::string after = text_of(made, analysis), listed = text_of(made, simulating);
    EXPECT_TRUE(after.ends_with("\nMask;") && listed.ends_with("\nMask;"));
    EXPECT_EQ(after.find("Markov"), std::string::npos);
    EXPECT_NE(listed.find("\nMarkov; mask; "), std::string::npos);
    // The history of the one task is that of the other with an entry hidden and one more behind.
    const std::string history = listed.substr(0, listed.find('\n'));
    const std::string masked = after.substr(after.rfind("History;"));
    const size_t hidden = masked.rfind(" mask;");
    EXPECT_EQ(history.substr(0, hidden), masked.substr(0, hidden));
    EXPECT_GT(history.size(), hidden);
    // The hidden item of a list is none that is shown.
    std::string answer;
    for (const int64_t id : simulating.answers[static_cast<size_t>(simulating.target)])
      answer += made.model.tokenizer->token_text(id);
    EXPECT_EQ(listed.substr(listed.find("\nMarkov;")).find(";" + answer), std::string::npos);
  }
}

TEST_F(SoftPrompts, trains_the_prompt_alone) {
  SoftPromptOptions options = prompt_into("both");
  options.eval_rows = 6;
  const TrainingResult result = soft_prompt(options);
  EXPECT_EQ(result.steps, 4);
  ASSERT_TRUE(result.best_metric.has_value());  // of the tasks, not of next items
  const Json last = metrics_of("both").back();
  EXPECT_NEAR(*result.best_metric, last.at("eval/likelihood/tasks").get<double>(), 1e-6);
  EXPECT_GT(*result.best_metric, 0);
  EXPECT_LT(*result.best_metric, 1);
  for (const char* name : {"eval/accuracy/ta", "eval/accuracy/rps", "eval/ndcg@10"})
    EXPECT_TRUE(last.contains(name)) << name;
  const LoadedModel loaded = load_model_folder(root_ / "both", "");
  EXPECT_EQ(loaded.card.stage, "soft-prompt");
  EXPECT_EQ(loaded.card.prompt.answer, AnswerKind::kTitle);
  ASSERT_EQ(loaded.card.soft_prompts.size(), 1u);
  EXPECT_EQ(loaded.card.soft_prompts[0].num_virtual_tokens, 4);
  const LoadedModel before = load_model_folder(root_ / "titles", "");
  for (const auto& [name, tensor] : before.model->parameters())
    EXPECT_TRUE(at::equal(tensor, loaded.model->parameters().at(name))) << name;
  // The same start without training: every row of the prompt has moved.
  options = prompt_into("start");
  options.tasks.clear(), options.recommenders.clear();
  EXPECT_EQ(soft_prompt(options).steps, 0);
  EXPECT_TRUE((prompt_of("both") - prompt_of("start")).abs().amax(1).gt(0).all().item<bool>());
  const Json record = read_json(root_ / "both/soft_prompt.json");
  EXPECT_EQ(record["tasks"], (Json{"ta", "rps"}));
  EXPECT_EQ(record["task_weights"], "equal");
  EXPECT_EQ(record["recommenders"].size(), 2u);
  EXPECT_EQ(record["recommenders"][1]["recommender"], "markov");
  EXPECT_EQ(record["recommenders"][1]["left_out"]["fold"], 1);
  EXPECT_EQ(read_json(root_ / "start/soft_prompt.json")["tasks"], Json::array());
  for (const char* folder : {"both", "start"}) {
    EvaluateOptions asked;
    asked.data = root_ / "data";
    asked.model = root_ / folder;
    asked.candidates = root_ / "data/candidates-valid.jsonl";
    EXPECT_EQ(run(setup(asked)).predictions.rows.size(), 20u);
  }
}

TEST_F(SoftPrompts, learns_both_tasks) {
  SoftPromptOptions options = prompt_into("learned");
  options.limit = 6;
  options.trainer.max_steps = 12;
  options.trainer.train_batch_size = 6;
  options.trainer.optim = "adamw";
  options.trainer.learning_rate = 0.01;
  options.trainer.warmup_ratio = 0;
  options.trainer.lr_scheduler_type = "constant";
  soft_prompt(options);
  const std::vector<Json> lines = metrics_of("learned");
  ASSERT_EQ(lines.size(), 12u);
  const auto loss = [&](size_t step) { return lines[step].at("train/loss").get<double>(); };
  for (size_t step = 1; step < lines.size(); ++step) EXPECT_LT(loss(step), loss(step - 1));
  for (const Json& line : lines)
    EXPECT_NEAR(
        line.at("train/loss").get<double>(),
        (line.at("train/loss/ta").get<double>() + line.at("train/loss/rps").get<double>()) / 2,
        1e-4);
}

TEST_F(SoftPrompts, weighs_tasks_as_it_is_told) {
  for (const TaskWeighting weighting : {TaskWeighting::kGradientNorm, TaskWeighting::kGain}) {
    SoftPromptOptions options = prompt_into(fmt::format("weights{}", static_cast<int>(weighting)));
    options.mix.weighting = weighting;
    soft_prompt(options);
    bool uneven = false, gained = false;
    for (const Json& line : metrics_of(fs::path(options.out).filename())) {
      const auto first = line.at("train/weight/ta").get<double>();
      EXPECT_NEAR(first + line.at("train/weight/rps").get<double>(), 1, 1e-6);
      uneven |= std::abs(first - 0.5) > 1e-3;
      for (const char* gain : {"train/gain/ta", "train/gain/rps"})
        gained |= line.contains(gain) && line.at(gain).get<double>() != 0;
    }
    // Maybe no step helps this model, but it changes something.
    EXPECT_TRUE(weighting == TaskWeighting::kGain ? gained : uneven);
    const auto names = task_weighting_names();
    EXPECT_EQ(read_json(fs::path(options.out) / "soft_prompt.json")["task_weights"],
              names[static_cast<size_t>(weighting)]);
  }
  SoftPromptOptions options = prompt_into("never");
  options.mix.weighting = TaskWeighting::kGain;
  const SoftPromptSetup made = setup(options);
  ASSERT_EQ(made.main_rows.size(), made.tasks[0].rows.size());
  EXPECT_EQ(text_of(made, made.main_rows[0]).find("mask"), std::string::npos);
}

TEST_F(SoftPrompts, of_one_task_in_the_natural_style_with_candidates_in_the_prompt) {
  SoftPromptOptions options = analysis_into("natural");
  options.style = "natural";
  options.list_candidates = true;
  options.max_history = 5;
  const SoftPromptSetup made = setup(options);
  ASSERT_EQ(made.tasks.size(), 1u);
  const std::string text = text_of(made, made.tasks[0].rows[20]);
  EXPECT_NE(text.find("\nTo choose from: "), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("The one not shown:")) << text;
  soft_prompt(options);
  const LoadedModel loaded = open_model_folder(root_ / "natural", "");
  EXPECT_EQ(loaded.card.prompt.style, "natural");
  EXPECT_EQ(loaded.card.prompt.max_history, 5);
  EXPECT_TRUE(loaded.card.prompt.list_candidates);
}

TEST_F(SoftPrompts, goes_on_with_a_prompt_that_is_there_and_repeats_itself) {
  SoftPromptOptions options = analysis_into("first");
  soft_prompt(options);
  options.out = root_ / "again";
  soft_prompt(options);
  EXPECT_TRUE(at::equal(prompt_of("first"), prompt_of("again")));
  SoftPromptOptions further = analysis_into("further");
  further.model = root_ / "first";
  further.prompt = SoftPromptOptions{}.prompt;
  const SoftPromptSetup made = setup(further);
  EXPECT_EQ(made.prompt.num_trained_tokens, 4);
  soft_prompt(further);
  EXPECT_FALSE(at::equal(prompt_of("first"), prompt_of("further")));
}

TEST_F(SoftPrompts, new_prompts_get_what_is_left_unsaid) {
  SoftPromptOptions options = analysis_into("never");
  options.prompt = SoftPromptOptions{}.prompt;
  const PromptPlan plan = setup(options).prompt;
  EXPECT_EQ(plan.num_trained_tokens, 100);
  EXPECT_EQ(plan.config.prompt_tuning_init, "SAMPLE_VOCAB");
}

TEST_F(SoftPrompts, options_that_a_present_prompt_cannot_follow_are_refused) {
  soft_prompt(analysis_into("present"));
  SoftPromptOptions options = analysis_into("never");
  options.model = root_ / "present";
  EXPECT_EQ(setup(options).prompt.num_trained_tokens, 4);
  options.prompt.num_virtual_tokens = 100;
  refuses([&] { setup(options); }, ExitCode::kUsage, "of 4 virtual tokens");
  options.prompt = SoftPromptOptions{}.prompt;
  options.prompt.prompt_tuning_init = "sample_vocab";
  refuses([&] { setup(options); }, ExitCode::kUsage, "--prompt-tuning-init");
}

TEST_F(SoftPrompts, a_folder_belongs_to_one_run) {
  const std::string other = "cannot be continued with other options";
  SoftPromptOptions options = analysis_into("claimed");
  soft_prompt(options);
  const at::Tensor trained = prompt_of("claimed");
  soft_prompt(options);  // the same run is finished
  EXPECT_TRUE(at::equal(prompt_of("claimed"), trained));
  SoftPromptOptions untrained = options;
  untrained.tasks.clear();
  refuses([&] { soft_prompt(untrained); }, ExitCode::kUsage, other);
  SoftPromptOptions changed = options;
  changed.limit = 5;
  refuses([&] { soft_prompt(changed); }, ExitCode::kUsage, other);
  changed = options;
  changed.max_history = 7;
  refuses([&] { soft_prompt(changed); }, ExitCode::kUsage, other);
  changed = prompt_into("claimed");
  refuses([&] { soft_prompt(changed); }, ExitCode::kUsage, other);
  EXPECT_TRUE(at::equal(prompt_of("claimed"), trained));
  untrained.out = root_ / "unclaimed";
  soft_prompt(untrained);
  soft_prompt(untrained);
  EXPECT_EQ(read_json(root_ / "unclaimed/soft_prompt.json")["tasks"], Json::array());
}

TEST_F(SoftPrompts, refuses_what_makes_no_sense) {
  const auto refused = [](SoftPromptOptions options, ExitCode code, const std::string& what) {
    refuses([&] { setup(options); }, code, what);
  };
  SoftPromptOptions options = prompt_into("never");
  options.tasks = {"ta", "lsr"};
  refused(options, ExitCode::kUsage, "expected ta or rps, found \"lsr\"");
  options.tasks = {"ta", "ta"};
  refused(options, ExitCode::kUsage, "ta is named twice");
  options = prompt_into("never");
  options.recommenders.clear();
  refused(options, ExitCode::kUsage, "--recommender: expected a recommender");
  options = prompt_into("never");
  options.tasks = {"ta"};
  refused(options, ExitCode::kUsage, "belong to the task rps");
  options = analysis_into("never");
  options.example_items = 2;
  refused(options, ExitCode::kUsage, "--example-items");
  options = analysis_into("never");
  options.max_history = 2;
  refused(options, ExitCode::kUsage, "--max-history: expected at least 3");
  options = analysis_into("never");
  fs::copy(root_ / "titles", root_ / "numbers");
  write_card(root_ / "numbers", "number");
  options.model = root_ / "numbers";
  refused(options, ExitCode::kUsage, "answers by number");
  options = prompt_into("never");
  options.num_candidates = 3;
  refused(options, ExitCode::kUsage, "more than the 3 items of a list");
  options = prompt_into("data");
  options.tasks.clear(), options.recommenders.clear();
  refuses([&] { soft_prompt(options); }, ExitCode::kUsage, "expected a new folder");
}

}  // namespace
}  // namespace etrlrec
