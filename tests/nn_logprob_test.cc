// Chunked log-probabilities against log_softmax over the whole matrix.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/check.h"
#include "base/rng.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

struct Problem {
  Problem(int64_t rows, int64_t columns, int64_t vocab, double spread = 1.0) {
    Rng rng(3, "logprob-test");
    const auto draw = [&](at::IntArrayRef shape) {
      at::Tensor t = at::empty(shape, at::kFloat);
      for (int64_t i = 0; i < t.numel(); ++i)
        t.data_ptr<float>()[i] = static_cast<float>(rng.normal() * spread);
      return t;
    };
    hidden = draw({rows, columns}).requires_grad_(true);
    weight = draw({vocab, columns}).requires_grad_(true);
    row_weights = draw({rows});
    targets = at::empty({rows}, at::kLong);
    for (int64_t i = 0; i < rows; ++i)
      targets.data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.below(vocab));
    hidden2 = hidden.detach().clone().requires_grad_(true);
    weight2 = weight.detach().clone().requires_grad_(true);
  }
  at::Tensor reference() const {
    return at::log_softmax(at::mm(hidden2, weight2.t()), -1)
        .gather(1, targets.unsqueeze(1))
        .squeeze(1);
  }
  void expect_equal_gradients() const {
    EXPECT_LT((hidden.grad() - hidden2.grad()).abs().max().item<double>(), 2e-4);
    EXPECT_LT((weight.grad() - weight2.grad()).abs().max().item<double>(), 2e-3);
  }
  at::Tensor hidden, weight, hidden2, weight2, targets, row_weights;
};

TEST(LinearLogprob, equals_log_softmax_forward_and_backward) {
  const Problem p(1500, 24, 1001);
  const at::Tensor fast = linear_logprob(p.hidden, p.weight, p.targets).logprobs,
                   slow = p.reference();
  EXPECT_LT((fast - slow).abs().max().item<double>(), 1e-4);
  (fast * p.row_weights).sum().backward();
  (slow * p.row_weights).sum().backward();
  p.expect_equal_gradients();
}

TEST(LinearLogprob, equals_log_softmax_where_workers_share_each_product) {
  const Problem p(200, 90, 100'000, 0.3);  // too large for one weight gradient per worker
  const at::Tensor fast = linear_logprob(p.hidden, p.weight, p.targets).logprobs,
                   slow = p.reference();
  EXPECT_LT((fast - slow).abs().max().item<double>(), 1e-4);
  (fast * p.row_weights).sum().backward();
  (slow * p.row_weights).sum().backward();
  p.expect_equal_gradients();
}

TEST(LinearLogprob, gives_the_entropy_of_every_row) {
  const Problem p(70, 16, 333);
  const at::Tensor logs = at::log_softmax(at::mm(p.hidden2, p.weight2.t()), -1);
  const LogprobOutput out = linear_logprob(p.hidden, p.weight, p.targets, true);
  EXPECT_LT((out.entropy + (logs.exp() * logs).sum(-1)).abs().max().item<double>(), 1e-4);
  EXPECT_FALSE(out.entropy.requires_grad());
  EXPECT_TRUE(out.logprobs.requires_grad());
}

TEST(LinearLogprob, stays_finite_with_huge_logits) {
  const Problem p(40, 8, 50, 40.0);
  const LogprobOutput out = linear_logprob(p.hidden, p.weight, p.targets, true);
  EXPECT_TRUE(at::allclose(out.logprobs, p.reference(), 1e-4, 1e-2));
  EXPECT_TRUE(at::isfinite(out.entropy).all().item<bool>());
}

TEST(LinearLogprob, a_frozen_head_gets_no_gradient) {
  const Problem p(10, 8, 50);
  const at::Tensor frozen = p.weight.detach();
  linear_logprob(p.hidden, frozen, p.targets).logprobs.sum().backward();
  EXPECT_TRUE(p.hidden.grad().defined());
  EXPECT_FALSE(frozen.grad().defined());
}

TEST(LinearNll, equals_the_weighted_sum_of_logprobs_and_its_gradients) {
  const Problem p(1500, 24, 777);
  const at::Tensor fast = linear_nll(p.hidden, p.weight, p.targets, p.row_weights);
  const at::Tensor slow = -(p.reference() * p.row_weights).sum();
  EXPECT_NEAR(fast.item<double>(), slow.item<double>(),
              1e-2 + 1e-5 * std::abs(slow.item<double>()));
  (fast * 0.5).backward();
  (slow * 0.5).backward();
  p.expect_equal_gradients();
}

TEST(LinearNll, gives_the_same_value_without_gradients) {
  const Problem p(50, 24, 777);
  const at::Tensor with = linear_nll(p.hidden, p.weight, p.targets, p.row_weights);
  const at::NoGradGuard no_grad;
  const at::Tensor without = linear_nll(p.hidden, p.weight, p.targets, p.row_weights);
  EXPECT_FALSE(without.requires_grad());
  EXPECT_TRUE(at::equal(with, without));
}

TEST(LinearNll, takes_no_rows) {
  const Problem p(1, 8, 50);
  const at::Tensor loss = linear_nll(p.hidden.narrow(0, 0, 0), p.weight, p.targets.narrow(0, 0, 0),
                                     p.row_weights.narrow(0, 0, 0));
  EXPECT_EQ(loss.item<float>(), 0);
  loss.backward();
  EXPECT_EQ(p.weight.grad().abs().sum().item<float>(), 0);
}

TEST(LinearLogprob, refuses_targets_outside_the_vocabulary) {
  const Problem p(3, 8, 50);
  EXPECT_THROW(linear_logprob(p.hidden, p.weight, at::full({3}, 50, at::kLong)), Error);
  EXPECT_THROW(linear_logprob(p.hidden, p.weight, at::full({3}, -1, at::kLong)), Error);
  EXPECT_THROW(linear_nll(p.hidden, p.weight, p.targets.narrow(0, 0, 2), p.row_weights), Error);
}

}  // namespace
}  // namespace etrlrec
