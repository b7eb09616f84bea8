// The fine-tuning objective against sums written out with a dense softmax, and shared
// beginnings against single rows.
#include <gtest/gtest.h>

#include <numeric>

#include "base/check.h"
#include "nn/forest.h"
#include "threads_scope.h"
#include "train/sft.h"
#include "train_tiny_model.h"

namespace etrlrec {
namespace {

SftRow row(std::vector<int64_t> prompt, std::vector<int64_t> completion, int64_t answer_begin,
           int64_t answer_tokens) {
  SftRow made;
  made.prompt = std::move(prompt);
  made.completion = std::move(completion);
  made.answer_begin = answer_begin;
  made.answer_tokens = answer_tokens;
  return made;
}

std::vector<SftRow> three_rows() {
  return {row({1, 2, 3}, {4, 5, 6, 0}, 2, 1), row({9, 8}, {7, 0}, 0, 1),
          row({1, 2, 3}, {10, 11, 12, 13, 0}, 3, 1)};
}

// -log p of every token of a row but the first, by a dense softmax.
std::vector<double> token_losses(const LanguageModel& model, const SftRow& row) {
  at::NoGradGuard no_grad;
  std::vector<int64_t> ids = row.prompt;
  ids.insert(ids.end(), row.completion.begin(), row.completion.end());
  TokenForest forest;
  forest.add(-1, ids);
  at::Tensor logprobs = model.hidden_states(forest).matmul(model.head_weight().t()).log_softmax(-1);
  std::vector<double> losses;
  for (size_t t = 1; t < ids.size(); ++t)
    losses.push_back(-logprobs[static_cast<int64_t>(t) - 1][ids[t]].item<double>());
  return losses;
}

double loss_of(SftObjective& objective, std::vector<int64_t> rows) {
  Rng rng(1, "unused");
  return objective.loss(rows, 1, rng).loss.item<double>();
}

std::map<std::string, at::Tensor> gradients(LanguageModel& model, SftObjective& objective,
                                            std::vector<int64_t> rows) {
  for (auto& [name, tensor] : model.parameters()) {
    tensor.set_requires_grad(true);
    tensor.mutable_grad() = at::Tensor();
  }
  Rng rng(1, "unused");
  objective.loss(rows, 1, rng).loss.backward();
  std::map<std::string, at::Tensor> found;
  for (auto& [name, tensor] : model.parameters()) found[name] = tensor.grad().clone();
  return found;
}

TEST(Sft, segment_loss_balances_reasoning_and_answer) {
  auto model = tiny_model();
  SftOptions options;
  options.answer_weight = 2;
  SftObjective objective(*model, three_rows(), options);
  auto l = token_losses(*model, three_rows()[0]);  // targets 2 3 | 4 5 6 0, the answer is 6
  EXPECT_NEAR(loss_of(objective, {0}), (l[2] + l[3] + l[5]) / 3 + 2 * l[4], 1e-4);
}

TEST(Sft, token_loss_is_the_mean_over_all_completion_tokens) {
  auto model = tiny_model();
  SftOptions options;
  options.loss_type = "token";
  SftObjective objective(*model, three_rows(), options);
  auto a = token_losses(*model, three_rows()[0]), b = token_losses(*model, three_rows()[1]);
  EXPECT_NEAR(loss_of(objective, {0, 1}), (a[2] + a[3] + a[4] + a[5] + b[1] + b[2]) / 6, 1e-4);
}

TEST(Sft, field_weights_shift_the_mean_inside_a_segment) {
  auto model = tiny_model();
  auto rows = three_rows();
  rows[0].fields = {0, 1, 0, 0};
  SftOptions options;
  options.field_names = {"text", "number"};
  options.field_weights = {{"number", 5}};
  SftObjective objective(*model, {rows[0]}, options);
  auto l = token_losses(*model, rows[0]);
  EXPECT_NEAR(loss_of(objective, {0}), (l[2] + 5 * l[3] + l[5]) / 7 + l[4], 1e-4);
}

TEST(Sft, prompt_weight_adds_the_mean_over_the_prompt) {
  auto model = tiny_model();
  SftOptions plain, weighted;
  weighted.prompt_weight = 0.5;
  SftObjective without(*model, three_rows(), plain), with(*model, three_rows(), weighted);
  auto l = token_losses(*model, three_rows()[0]);
  EXPECT_NEAR(loss_of(with, {0}), loss_of(without, {0}) + 0.5 * (l[0] + l[1]) / 2, 1e-4);
}

TEST(Sft, a_row_weighs_what_it_says) {
  auto model = tiny_model();
  auto rows = three_rows();
  rows[0].weight = 0.25, rows[1].weight = 3;
  for (const char* type : {"segment", "token"}) {
    SftOptions options;
    options.loss_type = type;
    options.prompt_weight = 0.5;
    SftObjective alike(*model, three_rows(), options), weighed(*model, rows, options);
    EXPECT_NEAR(loss_of(weighed, {0}), 0.25 * loss_of(alike, {0}), 1e-5) << type;
    EXPECT_NEAR(loss_of(weighed, {1}), 3 * loss_of(alike, {1}), 1e-5) << type;
  }
}

// Rows that begin with the same 20 tokens: two with one prompt, one that ends where others go on, a
// repeated row, one that shares nothing.
std::vector<SftRow> rows_with_an_instruction() {
  std::vector<int64_t> instruction;
  for (int64_t i = 0; i < 20; ++i) instruction.push_back(1 + i * 5 % 13);
  const auto below = [&](std::vector<int64_t> rest, std::vector<int64_t> completion) {
    std::vector<int64_t> prompt = instruction;
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    return row(prompt, std::move(completion), 0, 1);
  };
  return {below({3, 4, 5}, {6, 7, 0}), below({3, 4, 5}, {8, 0}),    below({9}, {10, 11, 12, 0}),
          below({}, {9, 0}),           below({9}, {10, 11, 12, 0}), row({9, 8}, {7, 0}, 0, 1)};
}

void expect_sum_of_single_rows(const std::vector<SftRow>& rows) {
  auto model = tiny_model();
  SftOptions options;
  options.prompt_weight = 0.3;
  SftObjective objective(*model, rows, options);
  std::vector<int64_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0);
  std::map<std::string, at::Tensor> sum;
  double loss = 0;
  const auto count = static_cast<double>(rows.size());
  for (int64_t r : all) {
    loss += loss_of(objective, {r}) / count;
    for (auto& [name, gradient] : gradients(*model, objective, {r}))
      sum[name] = sum[name].defined() ? sum[name] + gradient / count : gradient / count;
  }
  EXPECT_NEAR(loss_of(objective, all), loss, 1e-5);
  for (auto& [name, gradient] : gradients(*model, objective, all))
    EXPECT_TRUE(at::allclose(gradient, sum[name], 1e-3, 1e-5)) << name;
}

TEST(Sft, shared_beginnings_give_the_loss_and_gradient_of_single_rows) {
  for (int count : {1, 2, 8}) {  // eight ask for four trees
    const ThreadsScope threads(count);
    expect_sum_of_single_rows(three_rows());
    expect_sum_of_single_rows(rows_with_an_instruction());
  }
}

TEST(Sft, parts_have_the_value_and_gradient_of_the_whole) {
  auto model = tiny_model();
  SftOptions in_parts, at_once;
  in_parts.tokens_per_pass = 24;  // rows 0 | 1 | 3, 2, 4 | 5
  at_once.tokens_per_pass = 0;
  in_parts.prompt_weight = at_once.prompt_weight = 0.3;
  in_parts.accuracy_steps = at_once.accuracy_steps = 1;
  SftObjective parts(*model, rows_with_an_instruction(), in_parts);
  SftObjective whole(*model, rows_with_an_instruction(), at_once);
  std::vector<int64_t> all{0, 1, 2, 3, 4, 5};
  const auto expected = gradients(*model, whole, all), found = gradients(*model, parts, all);
  for (auto& [name, gradient] : expected)
    EXPECT_TRUE(at::allclose(found.at(name), gradient, 1e-3, 1e-5)) << name;
  // For training: every part but the last goes to the callback.
  for (auto& [name, tensor] : model->parameters()) {
    tensor.set_requires_grad(true);
    tensor.mutable_grad() = at::Tensor();
  }
  Rng rng(1, "unused");
  int calls = 0;
  LossOutput output = parts.loss_in_parts(all, 1, rng, [&](const at::Tensor& part) {
    ++calls;
    part.backward();
  });
  output.loss.backward();
  EXPECT_EQ(calls, 3);
  const LossOutput expected_output = whole.loss(all, 1, rng);
  EXPECT_NEAR(output.loss.item<double>(), expected_output.loss.item<double>(), 1e-5);
  for (const auto& [name, value] : expected_output.metrics)
    EXPECT_NEAR(output.metrics.at(name), value, 1e-5) << name;
  for (auto& [name, tensor] : model->parameters())
    EXPECT_TRUE(at::allclose(tensor.grad(), expected.at(name), 1e-3, 1e-5)) << name;
}

TEST(Sft, shared_beginnings_are_computed_once) {
  const ThreadsScope single(1);
  auto model = tiny_model();
  SftObjective objective(*model, rows_with_an_instruction(), {});
  Rng rng(1, "unused");
  const auto tokens = [&](std::vector<int64_t> rows) {
    return objective.loss(rows, 1, rng).tokens;
  };
  EXPECT_EQ(tokens({0, 1}), 23 + 2 + 1);
  EXPECT_EQ(tokens({0, 2}), 20 + (3 + 2) + (1 + 3));
  EXPECT_EQ(tokens({2, 3}), 21 + 3);  // the input of row 3 begins that of row 2
  EXPECT_EQ(tokens({2, 4}), 24);
  EXPECT_EQ(tokens({0, 5}), (23 + 2) + (2 + 1));
  SftObjective short_ones(*model, three_rows(), {});  // 3 common tokens are not worth a segment
  EXPECT_EQ(short_ones.loss(std::vector<int64_t>{0, 2}, 1, rng).tokens, (3 + 3) + (3 + 4));
}

TEST(Sft, repeated_rows_of_one_token_completions_work) {
  auto model = tiny_model();
  std::vector<SftRow> rows{row({1, 2}, {3}, 0, 1), row({1, 2}, {4}, 0, 1)};
  SftObjective objective(*model, rows, {});
  auto a = token_losses(*model, rows[0]), b = token_losses(*model, rows[1]);
  EXPECT_NEAR(loss_of(objective, {0, 1}), (a[1] + b[1]) / 2, 1e-5);
}

TEST(Sft, training_raises_the_accuracy_of_every_field_to_one) {
  auto model = tiny_model();
  auto rows = three_rows();
  rows[0].fields = {0, 0, 1, 2};
  SftOptions options;
  options.accuracy_steps = 1;
  options.field_names = {"copy", "lookup", "end"};
  SftObjective objective(*model, {rows[0]}, options);
  std::map<std::string, double> metrics;
  std::vector<int64_t> all{0};
  for (auto& [name, tensor] : model->parameters()) tensor.set_requires_grad(true);
  for (int step = 0; step < 60; ++step) {
    Rng rng(1, "unused");
    LossOutput output = objective.loss(all, step, rng);
    metrics = output.metrics;
    output.loss.backward();
    at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model->parameters()) {
      tensor.sub_(tensor.grad(), 0.05);
      tensor.mutable_grad().zero_();
    }
  }
  for (const char* name : {"accuracy", "accuracy/reasoning", "accuracy/answer", "accuracy/copy",
                           "accuracy/lookup", "accuracy/end"})
    EXPECT_EQ(metrics.at(name), 1) << name;
  EXPECT_LT(metrics.at("nll"), 0.5);
}

TEST(Sft, refuses_rows_that_do_not_fit) {
  auto model = tiny_model();
  EXPECT_THROW(SftObjective(*model, {}, {}), Error);
  EXPECT_THROW(SftObjective(*model, {row({}, {1}, 0, 0)}, {}), Error);
  EXPECT_THROW(SftObjective(*model, {row({1}, {}, 0, 0)}, {}), Error);
  EXPECT_THROW(SftObjective(*model, {row({1}, {1, 2}, 1, 2)}, {}), Error);
  SftRow fields = row({1}, {1, 2}, 0, 1);
  fields.fields = {0, 5};
  EXPECT_THROW(SftObjective(*model, {fields}, {}), Error);
  SftOptions options;
  options.loss_type = "sentence";
  EXPECT_THROW(SftObjective(*model, three_rows(), options), Error);
}

}  // namespace
}  // namespace etrlrec
