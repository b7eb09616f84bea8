// Answers scored through tries: equal to scoring every answer on a row of its own, differentiable,
// in one pass.
#include <gtest/gtest.h>

#include "base/check.h"
#include "engine/scoring.h"
#include "engine_fake_llm.h"
#include "models/decoder.h"

namespace etrlrec {
namespace {

const Answers kSingle{{3}, {7}, {5}, {11}};
const Answers kDigits{{1, 9}, {1, 0, 9}, {1, 1, 9}, {2, 9}, {2, 0, 9}};

// One separate row per answer, summed step by step.
std::vector<double> separate_rows(const FakeLlm& model, std::vector<int64_t> prefix,
                                  const Answers& answers) {
  std::vector<double> scores;
  double total = 0;
  for (const auto& answer : answers) {
    std::vector<int64_t> path = prefix;
    double score = 0;
    for (int64_t id : answer) {
      score += model.next_logprobs(path)[static_cast<size_t>(id)];
      path.push_back(id);
    }
    scores.push_back(score);
    total += std::exp(score);
  }
  for (double& score : scores) score -= std::log(total);
  return scores;
}

void expect_equal(const at::Tensor& row, const std::vector<double>& expected) {
  ASSERT_EQ(row.numel(), static_cast<int64_t>(expected.size()));
  for (size_t k = 0; k < expected.size(); ++k)
    EXPECT_NEAR(row[static_cast<int64_t>(k)].item<double>(), expected[k], 1e-5);
}

TEST(AnswerScoring, equals_separate_rows) {
  const FakeLlm model;
  const std::vector<std::vector<int64_t>> prefixes{{1, 2, 3}, {4, 5}, {6}};
  const std::vector<Answers> answers{kSingle, kDigits, {{2, 3, 4}, {8}}};
  const auto rows = answer_logprobs(model, prefixes, answers);
  for (size_t r = 0; r < rows.size(); ++r)
    expect_equal(rows[r], separate_rows(model, prefixes[r], answers[r]));
}

TEST(AnswerScoring, needs_one_pass_and_no_tokens_below_single_token_answers) {
  const FakeLlm model;
  const std::vector<std::vector<int64_t>> prefixes{{1, 2, 3}, {4, 5}};
  answer_logprobs(model, prefixes, std::vector<Answers>(2, kSingle));
  EXPECT_EQ(model.calls_, 1);
  EXPECT_EQ(model.tokens_, 5);
}

TEST(AnswerScoring, is_independent_of_the_batch) {
  const at::NoGradGuard no_grad;
  const FakeLlm model;
  std::vector<std::vector<int64_t>> prefixes;
  for (int64_t r = 0; r < 9; ++r)
    prefixes.push_back(std::vector<int64_t>(static_cast<size_t>(1 + r % 4), r));
  const std::vector<Answers> answers(9, kDigits);
  const auto together = answer_logprobs(model, prefixes, answers);
  const auto groups = answer_logprobs(model, prefixes, answers, 5);
  for (size_t r = 0; r < together.size(); ++r)
    EXPECT_TRUE(at::allclose(together[r], groups[r], 1e-5, 1e-6));
}

// Two rows of so many titles go the way of whole catalogues, one row does not.
TEST(AnswerScoring, of_a_whole_catalogue_equals_row_by_row) {
  const at::NoGradGuard no_grad;
  LlmConfig config;
  config.vocab_size = 3000;
  config.hidden_size = 8;
  config.head_dim = 4;
  config.num_attention_heads = config.num_key_value_heads = 2;
  config.intermediate_size = 8;
  config.num_hidden_layers = 1;
  config.initializer_range = 0.5;
  const auto model = new_decoder(config, 5);
  Answers titles;
  for (int64_t k = 0; k < 2790; ++k) {
    titles.push_back({k});
    if (k % 10 > 0) titles.back().insert(titles.back().end(), {(7 * k) % 3000, (k * k) % 3000});
    if (k % 10 == 3) titles.push_back({k, (7 * k + 1) % 3000, 2999});
  }
  const std::vector<std::vector<int64_t>> prefixes{{1, 2, 3, 4, 5, 6}, {2999, 17}};
  const auto together = answer_logprobs(*model, prefixes, std::vector<Answers>(2, titles));
  for (size_t r = 0; r < prefixes.size(); ++r) {
    const auto alone = answer_logprobs(*model, std::vector<std::vector<int64_t>>{prefixes[r]},
                                       std::vector<Answers>{titles});
    EXPECT_TRUE(at::allclose(together[r], alone[0], 1e-4, 1e-4));
    EXPECT_NEAR(together[r].exp().sum().item<double>(), 1, 1e-4);
  }
}

TEST(AnswerScoring, has_the_gradient_of_the_dense_computation) {
  FakeLlm model;
  const std::vector<int64_t> prefix{1, 2, 3};
  std::vector<at::Tensor> gradients;
  for (const bool fast : {true, false}) {
    for (auto& [name, tensor] : model.parameters())
      tensor = tensor.detach().clone().set_requires_grad(true);
    at::Tensor row;
    if (fast) {
      row = answer_logprobs(model, std::vector<std::vector<int64_t>>{prefix},
                            std::vector<Answers>{kDigits})[0];
    } else {
      std::vector<at::Tensor> scores;
      for (const auto& answer : kDigits) {
        TokenForest forest;
        std::vector<int64_t> path = prefix;
        path.insert(path.end(), answer.begin(), answer.end());
        forest.add(-1, path);
        const at::Tensor logprobs =
            at::mm(model.hidden_states(forest), model.head_weight().t()).log_softmax(-1);
        at::Tensor score = at::zeros({});
        for (size_t j = 0; j < answer.size(); ++j)
          score = score + logprobs[static_cast<int64_t>(prefix.size() + j) - 1][answer[j]];
        scores.push_back(score);
      }
      row = at::stack(scores).log_softmax(-1);
    }
    (row * at::arange(static_cast<int64_t>(kDigits.size()), at::kFloat)).sum().backward();
    for (auto& [name, tensor] : model.parameters()) gradients.push_back(tensor.grad().clone());
  }
  EXPECT_TRUE(at::allclose(gradients[0], gradients[2], 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(gradients[1], gradients[3], 1e-4, 1e-5));
}

TEST(AnswerScoring, scores_below_segments_of_a_shared_prompt) {
  const FakeLlm model;
  TokenForest forest;
  const int64_t root = forest.add(-1, std::vector<int64_t>{1, 2});
  const std::vector<int64_t> segments{forest.add(root, std::vector<int64_t>{3}),
                                      forest.add(root, std::vector<int64_t>{4, 5})};
  const auto rows = score_answers(model, forest, segments, std::vector<Answers>(2, kDigits));
  expect_equal(rows[0], separate_rows(model, {1, 2, 3}, kDigits));
  expect_equal(rows[1], separate_rows(model, {1, 2, 4, 5}, kDigits));
}

// Titles as they come: equal ones, and ones that begin others.
const Answers kTitles{{5, 6, 7, 8}, {5, 6, 7}, {5, 6, 9, 9, 9}, {3},
                      {5, 6, 7, 8}, {3, 4},    {11, 5, 6}};

TEST(TitleScoring, equals_separate_rows) {
  const FakeLlm model;
  const std::vector<std::vector<int64_t>> prefixes{{1, 2, 3}, {4, 5}, {6}};
  const std::vector<Answers> titles{kTitles, kDigits, {{2, 3, 4, 5, 6, 7}}};
  const auto rows = sequence_logprobs(model, prefixes, titles);
  for (size_t r = 0; r < rows.size(); ++r) {
    ASSERT_EQ(rows[r].numel(), static_cast<int64_t>(titles[r].size()));
    for (size_t k = 0; k < titles[r].size(); ++k) {
      std::vector<int64_t> path = prefixes[r];
      double expected = 0;
      for (int64_t id : titles[r][k]) {
        expected += model.next_logprobs(path)[static_cast<size_t>(id)];
        path.push_back(id);
      }
      EXPECT_NEAR(rows[r][static_cast<int64_t>(k)].item<double>(), expected, 1e-5) << r << " " << k;
    }
  }
}

TEST(TitleScoring, computes_shared_tokens_once_in_one_pass) {
  const FakeLlm model;
  sequence_logprobs(model, std::vector<std::vector<int64_t>>{{1, 2, 3}},
                    std::vector<Answers>{kTitles});
  EXPECT_EQ(model.calls_, 1);
  // prompt, 5 6 | 7 | 9 9 | 3 | 11 5: the last token of a path is predicted, not fed
  EXPECT_EQ(model.tokens_, 3 + 2 + 1 + 2 + 1 + 2);
}

TEST(TitleScoring, equals_separate_rows_of_the_decoder_forward_and_backward) {
  LlmConfig config;
  config.vocab_size = 24;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.initializer_range = 0.3;
  const auto fast = new_decoder(config, 1), slow = new_decoder(config, 1);
  const std::vector<std::vector<int64_t>> prefixes{{1, 2, 3, 4, 5, 6, 7}, {4, 5}};
  const auto rows = sequence_logprobs(*fast, prefixes, std::vector<Answers>(2, kTitles));
  at::Tensor fast_sum = at::zeros({}), slow_sum = at::zeros({});
  for (size_t r = 0; r < prefixes.size(); ++r) {
    for (size_t k = 0; k < kTitles.size(); ++k) {
      std::vector<int64_t> path = prefixes[r];
      path.insert(path.end(), kTitles[k].begin(), kTitles[k].end());
      TokenForest forest;
      forest.add(-1, path);
      const at::Tensor logprobs =
          at::mm(slow->hidden_states(forest), slow->head_weight().t()).log_softmax(-1);
      at::Tensor expected = at::zeros({});
      for (size_t j = 0; j < kTitles[k].size(); ++j)
        expected =
            expected + logprobs[static_cast<int64_t>(prefixes[r].size() + j) - 1][kTitles[k][j]];
      const at::Tensor found = rows[r][static_cast<int64_t>(k)];
      EXPECT_NEAR(found.item<double>(), expected.item<double>(), 2e-4);
      fast_sum = fast_sum + found * static_cast<double>(k + 1);
      slow_sum = slow_sum + expected * static_cast<double>(k + 1);
    }
  }
  fast_sum.backward();
  slow_sum.backward();
  for (const auto& [name, tensor] : fast->parameters()) {
    const at::Tensor expected = slow->parameters().at(name).grad();
    EXPECT_TRUE(
        at::allclose(tensor.grad(), expected, 1e-3, 1e-3 * expected.abs().max().item<double>()))
        << name;
  }
}

TEST(TitleScoring, refuses_empty_and_foreign_sequences) {
  const FakeLlm model;
  const std::vector<std::vector<int64_t>> prefix{{1}};
  for (const Answers& bad : {Answers{}, Answers{{}}, Answers{{24}}, Answers{{-1}}})
    EXPECT_THROW(sequence_logprobs(model, prefix, std::vector<Answers>{bad}), Error);
  EXPECT_THROW(sequence_logprobs(model, prefix, std::vector<Answers>{}), Error);
}

TEST(AnswerScoring, refuses_answers_that_cannot_be_told_apart) {
  EXPECT_THROW(check_answers({}, 24), Error);
  EXPECT_THROW(check_answers({{1}, {}}, 24), Error);
  EXPECT_THROW(check_answers({{1}, {1}}, 24), Error);
  EXPECT_THROW(check_answers({{1, 2}, {3}, {1}}, 24), Error);
  EXPECT_THROW(check_answers({{24}}, 24), Error);
  EXPECT_THROW(check_answers({{-1}}, 24), Error);
  EXPECT_NO_THROW(check_answers(kDigits, 24));
  const FakeLlm model;
  EXPECT_THROW(
      answer_logprobs(model, std::vector<std::vector<int64_t>>{{}}, std::vector<Answers>{kSingle}),
      Error);
  EXPECT_THROW(
      answer_logprobs(model, std::vector<std::vector<int64_t>>{{1}}, std::vector<Answers>{}),
      Error);
}

}  // namespace
}  // namespace etrlrec
