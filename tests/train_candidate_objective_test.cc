// Cross-entropy over candidates against every candidate scored as a sequence of its own with a
// dense softmax; parts against one pass; what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "train/candidate_objective.h"
#include "train_tiny_model.h"

namespace etrlrec {
namespace {

// Answers of one to three tokens; two begin alike, and the second row has a reasoning.
std::vector<CandidateRow> candidate_rows() {
  return {{{1, 2, 3}, {}, {{4, 5}, {4, 6}, {7, 5, 8}}, 1},
          {{2, 2}, {9, 10, 11}, {{5}, {4, 6}, {12, 13}}, 2},
          {{3, 1, 6, 7}, {8}, {{1}, {2}, {3}}, 0}};
}

// log p of tokens after a beginning, alone in a forest.
double log_probability(const LanguageModel& model, const std::vector<int64_t>& begin,
                       const std::vector<int64_t>& tokens) {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> all = begin;
  all.insert(all.end(), tokens.begin(), tokens.end());
  TokenForest forest;
  forest.add(-1, all);
  const at::Tensor logprobs =
      model.hidden_states(forest).matmul(model.head_weight().t()).log_softmax(-1);
  double sum = 0;
  for (size_t t = begin.size(); t < all.size(); ++t)
    sum += logprobs[static_cast<int64_t>(t) - 1][all[t]].item<double>();
  return sum;
}

double slow_loss(const LanguageModel& model, const std::vector<CandidateRow>& rows,
                 double answer_weight) {
  double loss = 0;
  for (const CandidateRow& row : rows) {
    std::vector<int64_t> begin = row.prompt;
    begin.insert(begin.end(), row.reasoning.begin(), row.reasoning.end());
    double total = 0, target = 0;
    for (size_t k = 0; k < row.answers.size(); ++k) {
      const double p = std::exp(log_probability(model, begin, row.answers[k]));
      total += p;
      if (static_cast<int32_t>(k) == row.target) target = p;
    }
    loss -= row.weight * answer_weight * std::log(target / total);
    if (!row.reasoning.empty())
      loss -= row.weight * log_probability(model, row.prompt, row.reasoning) /
              static_cast<double>(row.reasoning.size());
  }
  return loss / static_cast<double>(rows.size());
}

TEST(CandidateObjective, is_the_softmax_over_whole_candidates) {
  for (const Arithmetic arithmetic : {Arithmetic::kFloat, Arithmetic::kReference}) {
    const auto model = tiny_model({arithmetic});
    for (const double weight : {1.0, 3.0}) {
      CandidateObjective objective(*model, candidate_rows(), {.answer_weight = weight});
      Rng rng(1, "unused");
      const LossOutput output = objective.loss(std::vector<int64_t>{0, 1, 2}, 0, rng);
      EXPECT_NEAR(output.loss.item<double>(), slow_loss(*model, candidate_rows(), weight), 1e-5);
      EXPECT_GT(output.metrics.at("nll/reasoning"), 0);
    }
  }
}

TEST(CandidateObjective, weighs_rows_in_the_loss_and_not_in_the_metrics) {
  const auto model = tiny_model();
  std::vector<CandidateRow> rows = candidate_rows();
  const auto output = [&] {
    CandidateObjective objective(*model, rows, {});
    Rng rng(1, "unused");
    return objective.loss(std::vector<int64_t>{0, 1, 2}, 0, rng);
  };
  const LossOutput alike = output();
  rows[0].weight = 0.25, rows[1].weight = 2, rows[2].weight = 0.75;
  const LossOutput weighed = output();
  EXPECT_NEAR(weighed.loss.item<double>(), slow_loss(*model, rows, 1), 1e-5);
  EXPECT_NE(weighed.loss.item<double>(), alike.loss.item<double>());
  EXPECT_EQ(weighed.metrics, alike.metrics);
}

TEST(CandidateObjective, has_the_same_gradient_in_parts) {
  const auto make = [](LanguageModel& model, int64_t tokens_per_pass) {
    return CandidateObjective(model, candidate_rows(), {.tokens_per_pass = tokens_per_pass});
  };
  expect_same_gradient_in_parts(make, 4e-6);
}

TEST(CandidateObjective, drops_hidden_values_by_its_stream_alone) {
  const auto model = tiny_model();
  const auto loss = [&](double rate, uint64_t seed) {
    CandidateObjective objective(*model, candidate_rows(), {.hidden_dropout = rate});
    Rng rng(seed, "test/candidates");
    return objective.loss(std::vector<int64_t>{0, 1, 2}, 0, rng).loss.item<double>();
  };
  EXPECT_EQ(loss(0.5, 1), loss(0.5, 1));
  EXPECT_NE(loss(0.5, 1), loss(0.5, 2));
  EXPECT_EQ(loss(0, 1), loss(0, 2));
}

TEST(CandidateObjective, refuses_rows_that_cannot_be_compared) {
  const auto model = tiny_model();
  const auto made = [&](const CandidateRow& second) {
    CandidateObjective(*model, {candidate_rows()[0], second}, {});
  };
  CandidateRow row = candidate_rows()[1];
  row.prompt.clear();
  EXPECT_THROW(made(row), Error);
  row = candidate_rows()[1];
  row.answers.pop_back();
  EXPECT_THROW(made(row), Error);
  row = candidate_rows()[1];
  row.target = 3;
  EXPECT_THROW(made(row), Error);
  EXPECT_THROW(CandidateObjective(*model, {}, {}), Error);
}

}  // namespace
}  // namespace etrlrec
