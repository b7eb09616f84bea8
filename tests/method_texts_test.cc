// What results of the stages look like: lines for people and documents for programs.
#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"
#include "base/json.h"
#include "method/construct.h"
#include "method/distill.h"
#include "method/evaluate.h"
#include "method/evaluation_text.h"
#include "method/fit.h"
#include "method/inspect.h"
#include "method/recommend_users.h"
#include "method/reinforce.h"
#include "method/stage.h"
#include "method/text_generation.h"
#include "refusal.h"

namespace etrlrec {
namespace {

TEST(Texts, of_fit_have_a_line_for_each_set_of_rows_that_was_judged) {
  FitSummary summary;
  summary.model = "markov";
  summary.folder = "fit/markov";
  for (const char* part : {"test/unseen/", "valid/all/"})
    for (const char* metric : {"hit@1", "hit@10", "ndcg@10", "mrr"})
      summary.metrics[std::string(part) + metric] = 0.25;
  EXPECT_EQ(format_fit({&summary, 1}),
            "markov      valid, all items     hit@1 0.2500  hit@10 0.2500  ndcg@10 0.2500  "
            "mrr 0.2500\n"
            "markov      test, seen masked    hit@1 0.2500  hit@10 0.2500  ndcg@10 0.2500  "
            "mrr 0.2500\n");
  const OrderedJson document = to_json({&summary, 1});
  EXPECT_EQ(document["models"][0]["folder"], "fit/markov");
  EXPECT_EQ(document["models"][0]["metrics"]["valid/all/mrr"], 0.25);
}

TEST(Texts, of_construct_count_what_each_filter_lets_through) {
  const ConstructSummary summary{.rows = 10,
                                 .rows_kept = 4,
                                 .draws = 40,
                                 .kept = 4,
                                 .hinted = 1,
                                 .rejected = {{"format", 10}, {"precision", 15}}};
  EXPECT_EQ(format_summary(summary),
            "rows 10, with reasoning 4 (40.0 %), of these hinted draws 1\n"
            "draws 40\n"
            "  format        passed  75.0 % (30 of 40)\n"
            "  betrayal      passed 100.0 % (30 of 30)\n"
            "  wrong_answer  passed 100.0 % (30 of 30)\n"
            "  precision     passed  50.0 % (15 of 30)\n"
            "  repeated      passed 100.0 % (15 of 15)\n");
  EXPECT_NE(format_summary({}).find("(0.0 %)"), std::string::npos) << "no rows, no division";
}

TEST(Texts, of_a_plan_of_construct_say_what_is_left) {
  const ConstructPlan plan{.rows = 9, .rows_done = 2, .most_draws = 42};
  EXPECT_EQ(format_plan(plan), "9 rows, 2 of them done; at most 42 draws of the teacher are left");
  EXPECT_EQ(
      to_json(plan),
      (OrderedJson{{"schema_version", 1}, {"rows", 9}, {"rows_done", 2}, {"most_draws", 42}}));
}

TEST(Texts, of_checked_rewards_end_in_the_samples) {
  const RewardCheck check{.prompts = 2,
                          .completions = 8,
                          .valid = 0.5,
                          .reward = 0.25,
                          .zero_variance_share = 1,
                          .parts = {{"label", 0.125}},
                          .samples = {{7, -0.5, "text", ""}, {9, 1, "more", "  why\n"}}};
  EXPECT_EQ(format_check(check),
            "2 prompts, 8 completions, valid 0.500\n"
            "  reward                 0.2500\n"
            "  label                  0.1250\n"
            "  zero-variance share    1.0000\n"
            "\n[7] reward -0.5000\ntext\n"
            "\n[9] reward 1.0000\nmore\n  why\n");
}

TEST(Texts, of_a_training_name_its_metric) {
  const TrainingResult result{.steps = 30,
                              .best_step = 20,
                              .best_metric = 0.5,
                              .tokens = 900,
                              .seconds = 12,
                              .findings = {}};
  TrainerOptions trainer;
  trainer.metric_for_best_model = "hit@1";
  EXPECT_EQ(format_training(result, trainer),
            "30 steps, 900 tokens, 00:12; best validation hit@1 0.5000 at step 20\n");
  const OrderedJson document = to_json(result, trainer, "student");
  EXPECT_EQ(document["hit@1"], 0.5);
  EXPECT_EQ(document["best_step"], 20);
  EXPECT_EQ(document["out"], "student");
  TrainingResult unjudged = result;
  unjudged.best_metric.reset();
  EXPECT_EQ(format_training(unjudged, trainer), "30 steps, 900 tokens, 00:12\n");
  EXPECT_FALSE(to_json(unjudged, trainer, "student").contains("hit@1"));
}

TEST(Texts, of_an_evaluation_say_what_chance_reaches_and_what_beams_miss) {
  Evaluation evaluation;
  evaluation.row.model = "policy";
  evaluation.row.protocol = "likelihood";
  evaluation.row.n = 50;
  evaluation.row.hit1 = {0.5, 0.4, 0.6};
  evaluation.num_candidates = 20;
  EXPECT_EQ(format_evaluation(evaluation),
            "policy · likelihood · 50 rows\nhit@1 0.5000 [0.4000, 0.6000]  hit@5 0.0000  hit@10 "
            "0.0000  ndcg@10 0.0000  mrr 0.0000  valid 0.000  (random hit@1 0.0500)\n");
  evaluation.row.calibration = Calibration{.ece = 0.0314, .nll = 1.5, .bins = {}};
  EXPECT_TRUE(format_evaluation(evaluation)
                  .ends_with("its probabilities: calibration error (ECE) 0.031, -log p of the "
                             "target 1.500\n"));
  evaluation.row.calibration.reset();
  evaluation.beam_recall = 0.75;
  evaluation.recall_rows = 30;
  EXPECT_TRUE(
      format_evaluation(evaluation)
          .ends_with("recall@10 of the beam against exact scores: 0.7500 (first 30 rows)\n"));
}

TEST(Texts, of_a_table_of_many_users_tell_the_rate_of_this_call) {
  const RecommendUsersSummary summary{.users = 100, .users_now = 40, .seconds = 8};
  EXPECT_EQ(summary.users_per_second(), 5);
  EXPECT_EQ(RecommendUsersSummary{}.users_per_second(), 0) << "nothing was left to do";
  const OrderedJson document = to_json(summary, "top.csv");
  EXPECT_EQ(document["users_per_second"], 5.0);
  EXPECT_EQ(document["out"], "top.csv");
}

TEST(Texts, of_generation_sum_the_logarithms) {
  const GeneratedTexts generated{.prompt = "p",
                                 .prompt_tokens = 3,
                                 .reused_tokens = 2,
                                 .texts = {{"ab", "stop", {5, 6}, {-0.5F, -0.25F}}}};
  const OrderedJson document = to_json(generated);
  EXPECT_EQ(document["prompt_tokens"], 3);
  EXPECT_EQ(document["reused_tokens"], 2);
  EXPECT_EQ(document["completions"][0]["logprob"], -0.75);
  EXPECT_EQ(document["completions"][0]["finish_reason"], "stop");
}

TEST(Texts, of_an_inspection_hold_every_number_of_its_document) {
  const OrderedJson document = {
      {"path", "shop"},
      {"users", 20},
      {"items", 30},
      {"interactions", 200},
      {"density", 0.25},
      {"history_length", {{"min", 3}, {"max", 9}}},
      {"first_time", "1970"},
      {"last_time", "1971"},
      {"ties", 1},
      {"repeats", 2},
      {"top_percent_share", 0.5},
      {"unused_items", 3},
      {"cold_items", 4},
      {"duplicate_titles", 5},
      {"attributes", {{"genre", 6}}},
      {"split", "global_time"},
      {"train_rows", 7},
      {"valid_rows", 8},
      {"test_rows", 9},
      {"candidates", {{"test", {{"rows", 9}, {"kind", "uniform"}, {"count", 5}, {"seed", 42}}}}},
      {"advice", {"more rows"}}};
  EXPECT_EQ(format_inspection(document),
            "shop: 20 users · 30 items · 200 interactions · density 25.0000 %\n"
            "history length: min 3 max 9\n"
            "times: 1970 ... 1971 · 1 ties · 2 repeats of the previous item\n"
            "items: top 1 % has 50.0 % of the events · 3 without events · 4 cold · 5 with a title "
            "seen before\n"
            "attribute genre: 6 values\n"
            "split global_time: 7 train, 8 valid, 9 test rows\n"
            "candidates test: 9 rows of 5 (uniform, seed 42)\n"
            "advice: more rows\n");
}

TEST(TextGenerator, refuses_contradicting_options_before_it_opens_a_model) {
  TextGenerationOptions options;
  options.max_new_tokens = 3;
  options.min_new_tokens = 5;
  EXPECT_EQ(usage_refusal([&] { TextGenerator generator(options); }),
            "--min-new-tokens: expected at most the 3 of --max-new-tokens, found 5");
  options = {};
  options.conversation = true;
  options.num_return_sequences = 2;
  EXPECT_EQ(usage_refusal([&] { TextGenerator generator(options); }),
            "--num-return-sequences: a conversation goes on with one answer");
  options = {};
  options.sampling.temperature = -1;
  EXPECT_NE(usage_refusal([&] { TextGenerator generator(options); }).find("temperature"),
            std::string::npos);
}

TEST(Distill, a_field_weight_is_a_name_with_a_positive_number) {
  SftOptions options;
  add_field_weight("pick/2=5", options);
  EXPECT_EQ(options.field_weights.at("pick/2"), 5);
  for (const char* text : {"pick", "pick=", "pick=x", "pick=2x", "pick=0", "pick=-1"})
    EXPECT_EQ(usage_refusal([&] { add_field_weight(text, options); }),
              fmt::format("--field-weight: expected NAME=WEIGHT with a positive weight, found "
                          "\"{}\"",
                          text));
}

}  // namespace
}  // namespace etrlrec
