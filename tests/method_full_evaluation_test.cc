// Evaluation against the whole catalogue: the numbers of `fit --evaluate full`, files without
// scores that compare takes among themselves only, and what is refused.
#include <gtest/gtest.h>

#include "base/check.h"
#include "eval/mix.h"
#include "method/candidate_draw.h"
#include "method/compare.h"
#include "method/evaluate.h"
#include "method/evaluation_text.h"
#include "method/fit.h"
#include "method/study.h"
#include "method/unread_items.h"
#include "stages_fixture.h"
#include "title_model.h"

namespace etrlrec {
namespace {

class FullEvaluation : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    fit_ = fit(fit_options());
    make_new_lm(title_model_options(root_ / "data", root_ / "titles"));
    write_card(root_ / "titles");
  }
  static FitOptions fit_options() {
    FitOptions options;
    options.data = root_ / "data";
    options.out = root_ / "fit";
    options.models = {"markov", "sasrec"};
    options.recommender = {{"hidden_size", int64_t{16}}};
    options.trainer.num_train_epochs = 1;
    options.evaluate = "full";
    return options;
  }
  static EvaluateOptions all(const std::string& model) {
    EvaluateOptions options;
    options.data = root_ / "data";
    options.model = model == "random" || model == "teacher" ? model : (root_ / model).string();
    options.candidates = "all";
    return options;
  }
  static void expect_refused(const EvaluateOptions& options, const std::string& part) {
    try {
      run(setup(options));
      ADD_FAILURE() << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  static inline std::vector<FitSummary> fit_;
};

TEST_F(FullEvaluation, gives_the_numbers_of_fit) {
  for (const FitSummary& fitted : fit_) {
    for (const bool mask_seen : {false, true}) {
      EvaluateOptions options = all("fit/" + fitted.model);
      options.mask_seen = mask_seen;
      const Evaluation evaluation = run(setup(options));
      const auto expected = [&](const char* name) {
        return fitted.metrics.at(std::string(mask_seen ? "test/unseen/" : "test/all/") + name);
      };
      const MetricRow& row = evaluation.row;
      EXPECT_EQ(row.n, std::ssize(load_split(root_ / "data").test));
      EXPECT_NEAR(row.hit1.mean, expected("hit@1"), 1e-12) << fitted.model;
      EXPECT_NEAR(row.hit5, expected("hit@5"), 1e-12);
      EXPECT_NEAR(row.hit10, expected("hit@10"), 1e-12);
      EXPECT_NEAR(row.ndcg5, expected("ndcg@5"), 1e-12);
      EXPECT_NEAR(row.ndcg10, expected("ndcg@10"), 1e-12);
      EXPECT_NEAR(row.mrr, expected("mrr"), 1e-12);
      EXPECT_EQ(row.protocol, mask_seen ? "score[all80,mask-seen]" : "score[all80]");
      EXPECT_FALSE(summary_of(evaluation).contains("hit@1_by_slot"));
    }
  }
}

TEST_F(FullEvaluation, new_items_are_an_option_of_recommenders) {
  for (const char* model : {"random", "titles"}) {
    EvaluateOptions options = all(model);
    options.new_items = true;
    expect_refused(options, "--new-items: only recommenders");
  }
  EvaluateOptions options = all("fit/markov");
  const Evaluation without = run(setup(options));
  options.new_items = true;
  const Evaluation with = run(setup(options));
  EXPECT_EQ(with.row.protocol, without.row.protocol);
  const Dataset dataset = load_dataset(root_ / "data");
  Split split = load_split(root_ / "data");
  const auto items = measured_new_items(dataset, split);
  bool is_better = false;
  for (size_t r = 0; r < with.predictions.rows.size(); ++r)
    if (items->is_new[static_cast<size_t>(with.predictions.rows[r].target_slot)])
      is_better |= with.predictions.rows[r].rank < without.predictions.rows[r].rank;
  EXPECT_TRUE(is_better) << "for a target that is new";
  split.valid.clear();
  fs::create_directories(root_ / "unvalidated");
  save_dataset(dataset, split, root_ / "unvalidated");
  options.data = root_ / "unvalidated";
  try {
    setup(options);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    EXPECT_NE(std::string(error.what()).find("asks for a new item"), std::string::npos);
  }
}

TEST_F(FullEvaluation, a_trend_is_an_option_of_models) {
  EvaluateOptions options = all("random");
  options.trend = true;
  expect_refused(options, "--trend: only models and recommenders");
  options = all("titles");
  options.trend = true;
  options.mix = {root_ / "fit/markov"};
  expect_refused(options, "--trend: with --candidates all");
  options.mix.clear();
  options.candidates = (root_ / "data/candidates-valid.jsonl").string();
  options.protocol.name = "title-sum";
  expect_refused(options, "--trend: expected --protocol likelihood");
  // This world has none: whatever is chosen, the rows are those without.
  for (const char* model : {"titles", "fit/markov"}) {
    for (const bool is_full : {false, true}) {
      EvaluateOptions asked = all(model);
      asked.limit = 20;
      if (!is_full) asked.candidates = (root_ / "data/candidates-valid.jsonl").string();
      const Evaluation without = run(setup(asked));
      asked.trend = true;
      const Evaluation with = run(setup(asked));
      EXPECT_EQ(with.trend.has_value(), with.row.protocol.find("+trend") != std::string::npos);
      EXPECT_EQ(summary_of(with).contains("trend"), with.trend.has_value());
      if (!with.trend) {
        EXPECT_EQ(with.row.ndcg10, without.row.ndcg10);
      }
    }
  }
  // A mix is of two models that follow trends of their own.
  EvaluateOptions mixed = all("titles");
  mixed.candidates = (root_ / "data/candidates-valid.jsonl").string();
  mixed.trend = true;
  mixed.mix = {root_ / "fit/markov"};
  const Evaluation both = run(setup(mixed));
  ASSERT_EQ(both.mix_weights.size(), 1u);
  ASSERT_EQ(both.recommender_trends.size(), 1u);
  EXPECT_EQ(both.row.protocol.find("+trend") != std::string::npos,
            both.trend.has_value() || both.recommender_trends[0].has_value());
  EXPECT_EQ(summary_of(both)["recommender_trends"][0].is_null(),
            !both.recommender_trends[0].has_value());
}

TEST_F(FullEvaluation, weights_for_popular_candidates_are_chosen_among_popular_candidates) {
  const fs::path file = root_ / "data/candidates-valid.jsonl", popular = root_ / "popular.jsonl";
  const Study study = open_study(root_ / "data");
  save_candidates(
      among_popular(study.dataset, load_split(root_ / "data"), study.candidates("valid")),
      study.dataset, popular);
  const auto answers = [](const std::string& model, const fs::path& candidates) {
    EvaluateOptions asked = all(model);
    asked.candidates = candidates.string();
    Predictions predictions = run(setup(asked)).predictions;
    predictions.protocol.resize(predictions.protocol.find('['));  // as before it had its full name
    return predictions;
  };
  bool differs = false;
  for (const auto& [first, second] :
       {std::pair{"titles", "fit/markov"}, {"titles", "fit/sasrec"}}) {
    std::vector<double> weights;
    for (const fs::path& candidates : {file, popular}) {
      EvaluateOptions mixed = all(first);
      mixed.candidates = candidates.string();
      mixed.mix = {root_ / second};
      weights.push_back(run(setup(mixed)).mix_weights.at(0));
      EXPECT_EQ(weights.back(),
                choose_mix_weight(answers(first, candidates), answers(second, candidates)));
    }
    differs = differs || weights[0] != weights[1];
  }
  EXPECT_TRUE(differs);
}

TEST_F(FullEvaluation, of_a_language_model_goes_alone_by_beams_and_mixed) {
  EvaluateOptions options = all("titles");
  options.limit = 30;
  options.mask_seen = true;
  const Evaluation alone = run(setup(options));
  EXPECT_EQ(alone.row.protocol, "likelihood[all80,mask-seen]");
  EXPECT_EQ(alone.predictions.rows.size(), 30u);
  for (const Prediction& row : alone.predictions.rows) EXPECT_TRUE(row.scores.empty());
  options.beam = 80;
  const Evaluation beam = run(setup(options));
  EXPECT_EQ(beam.row.protocol, "beam80[all80,mask-seen]");
  EXPECT_EQ(beam.beam_recall, 1.0);
  EXPECT_EQ(beam.recall_rows, 30);
  for (size_t r = 0; r < 30; ++r)
    EXPECT_EQ(beam.predictions.rows[r].rank, alone.predictions.rows[r].rank) << r;
  options.beam = 0;
  options.mix = {root_ / "fit/markov"};
  const Evaluation mixed = run(setup(options));
  ASSERT_EQ(mixed.mix_weights.size(), 1u);
  EXPECT_EQ(mixed.predictions.model, "titles + markov");
  // What is mixed in a second time with all the weight on what is there changes nothing.
  options.mix.push_back(root_ / "fit/markov");
  const Evaluation twice = run(setup(options));
  ASSERT_EQ(twice.mix_weights.size(), 2u);
  EXPECT_EQ(twice.mix_weights[0], mixed.mix_weights[0]);
  EXPECT_EQ(twice.predictions.model, "titles + markov + markov");
  EXPECT_TRUE(twice.mix_weights[1] != 1 || twice.row.ndcg10 == mixed.row.ndcg10);
  EXPECT_GT(plan(setup(options)).total(), 0);
}

// A published folder, which has no card, is judged as it is.
TEST_F(FullEvaluation, a_model_without_card_is_asked_for_titles) {
  EvaluateOptions options = all("base");
  options.limit = 5;
  EXPECT_EQ(run(setup(options)).row.protocol, "likelihood[all80]");
  options.candidates = (root_ / "data/candidates-valid.jsonl").string();
  const EvaluateSetup asked = setup(options);
  EXPECT_EQ(asked.protocol.prompt.answer, AnswerKind::kTitle);
  EXPECT_EQ(asked.protocol.prompt.style, "compact");  // it has no chat template
  EXPECT_FALSE(asked.protocol.prompt.reasoning);
}

TEST_F(FullEvaluation, compares_with_rankings_of_the_same_items_only) {
  const auto save = [](EvaluateOptions options, const std::string& name, int64_t limit) {
    options.limit = limit;
    save_predictions(run(setup(options)).predictions, root_ / name);
    return (root_ / name).string();
  };
  EvaluateOptions masked = all("fit/markov");
  masked.mask_seen = true;
  EvaluateOptions listed = all("fit/markov");
  listed.candidates = root_ / "data/candidates-valid.jsonl";
  const std::string markov = save(all("fit/markov"), "markov.jsonl", 20);
  const std::string titles = save(all("titles"), "titles.jsonl", 20);
  const std::string chance = save(all("random"), "chance.jsonl", 20);
  CompareOptions options;
  options.draws = 100;
  options.runs = {markov, titles, chance};
  EXPECT_EQ(compare_runs(options).pairs.size(), 3u);
  for (const std::string& other :
       {save(masked, "masked.jsonl", 20), save(listed, "listed.jsonl", 20),
        save(all("fit/markov"), "fewer.jsonl", 19)}) {
    options.runs = {markov, other};
    try {
      compare_runs(options);
      ADD_FAILURE() << other;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      EXPECT_NE(std::string(error.what()).find("other candidate rows"), std::string::npos);
    }
  }
}

TEST_F(FullEvaluation, refuses_what_cannot_rank_everything) {
  distill(distill_into("by-number"));
  expect_refused(all("by-number"), "answers by number");
  expect_refused(all("by-number"), "pretrain");
  expect_refused(all("teacher"), "teacher");
  EvaluateOptions options = all("titles");
  options.protocol.name = "title-sum";
  expect_refused(options, "likelihood");
  options = all("titles");
  options.beam = 20;
  options.mix = {root_ / "fit/markov"};
  expect_refused(options, "--mix");
  options.mix.clear();
  options.protocol.reasonings = 2;
  expect_refused(options, "--reasonings");
  options = all("fit/markov");
  options.beam = 20;
  expect_refused(options, "only language models");
  options = all("titles");
  options.candidates = root_ / "data/candidates-valid.jsonl";
  options.mask_seen = true;
  expect_refused(options, "--mask-seen");
  options.mask_seen = false;
  options.beam = 20;
  expect_refused(options, "--beam");
}

}  // namespace
}  // namespace etrlrec
