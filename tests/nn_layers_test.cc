// Fused layers against the same formulas in LibTorch operations.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/rng.h"
#include "isa_scope.h"
#include "kernels/simd.h"
#include "nn/layers.h"
#include "random_tensor.h"
#include "tuning/adapters.h"

namespace etrlrec {
namespace {

at::Tensor layers_tensor(at::IntArrayRef shape, uint64_t index) {
  return random_tensor(shape, "layers-test", index);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& weight) {
  return x * at::rsqrt((x * x).mean(-1, true) + 1e-6) * weight;
}

void expect_norm_twin(int64_t columns) {
  const at::Tensor x = layers_tensor({150, columns}, 1), d = layers_tensor({150, columns}, 2),
                   w = layers_tensor({columns}, 3);
  at::Tensor a[3] = {leaf(x), leaf(d), leaf(w)}, b[3] = {leaf(x), leaf(d), leaf(w)};
  const auto [sum, out] = add_rms_norm(a[0], a[1], a[2], 1e-6);
  const at::Tensor plain_sum = b[0] + b[1], plain = plain_norm(plain_sum, b[2]);
  EXPECT_LT(largest_difference(sum, plain_sum), 1e-6);
  EXPECT_LT(largest_difference(out, plain), 1e-5);
  const at::Tensor u = layers_tensor({150, columns}, 4), v = layers_tensor({150, columns}, 5);
  ((sum * u).sum() + (out * v).sum()).backward();
  ((plain_sum * u).sum() + (plain * v).sum()).backward();
  for (int i = 0; i < 3; ++i) EXPECT_LT(largest_difference(a[i].grad(), b[i].grad()), 1e-4) << i;
}

TEST(Layers, add_rms_norm_equals_its_formula) {
  expect_norm_twin(64);
  expect_norm_twin(72);
  expect_norm_twin(5);
}

TEST(Layers, rms_norm_without_a_sum_equals_its_formula) {
  const at::Tensor x = layers_tensor({70, 48}, 1), w = layers_tensor({48}, 2);
  at::Tensor a[2] = {leaf(x), leaf(w)}, b[2] = {leaf(x), leaf(w)};
  const at::Tensor fast = rms_norm(a[0], a[1], 1e-6), slow = plain_norm(b[0], b[1]);
  EXPECT_LT(largest_difference(fast, slow), 1e-5);
  fast.pow(2).sum().backward();
  slow.pow(2).sum().backward();
  for (int i = 0; i < 2; ++i) EXPECT_LT(largest_difference(a[i].grad(), b[i].grad()), 1e-3) << i;
}

TEST(Layers, swiglu_equals_its_formula_also_for_extreme_gates) {
  at::Tensor x = layers_tensor({90, 2 * 37}, 1) * 4;
  x[0].fill_(-200);
  x[1].fill_(200);
  const at::Tensor a = leaf(x), b = leaf(x);
  const at::Tensor fast = swiglu(a);
  const at::Tensor slow = at::silu(b.narrow(1, 0, 37)) * b.narrow(1, 37, 37);
  EXPECT_TRUE(at::allclose(fast, slow, 1e-5, 1e-5));
  const at::Tensor u = layers_tensor({90, 37}, 2);
  (fast * u).sum().backward();
  (slow * u).sum().backward();
  EXPECT_TRUE(at::allclose(a.grad(), b.grad(), 1e-4, 1e-4));
}

TEST(Layers, swiglu_may_keep_its_input_as_bfloat16) {
  const at::Tensor x = layers_tensor({90, 2 * 37}, 1) * 4, a = leaf(x), b = leaf(x);
  const at::Tensor compact = swiglu(a, true), exact = swiglu(b);
  EXPECT_TRUE(at::equal(compact, exact));
  const at::Tensor u = layers_tensor({90, 37}, 2);
  (compact * u).sum().backward();
  (exact * u).sum().backward();
  const double error = ((a.grad() - b.grad()).norm() / b.grad().norm()).item<double>();
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 4e-3);  // values have 8 bits
}

// Several adapters on one input, with ranks of their own, beside a part without.
TEST(Layers, adapters_beside_each_other_equal_their_formulas) {
  const auto tensors = [] {
    std::vector<at::Tensor> t;
    for (const auto& shape : std::vector<std::vector<int64_t>>{
             {60, 20}, {7, 20}, {2, 20}, {7, 2}, {5, 20}, {9, 20}, {3, 20}, {9, 3}, {9}})
      t.push_back(leaf(layers_tensor(shape, static_cast<uint64_t>(t.size()) + 1)));
    return t;
  };
  const std::vector<at::Tensor> a = tensors(), b = tensors();
  const std::vector<LinearPart> parts{
      {a[1], {}, a[2], a[3], 2.0}, {a[4], {}, {}, {}, 0}, {a[5], a[8], a[6], a[7], 0.5}};
  const at::Tensor fast = linear(a[0], parts);
  const auto product = [&](int x, int w) { return at::mm(b[x], b[w].t()); };
  const at::Tensor slow =
      at::cat({product(0, 1) + 2.0 * at::mm(product(0, 2), b[3].t()), product(0, 4),
               product(0, 5) + 0.5 * at::mm(product(0, 6), b[7].t()) + b[8]},
              1);
  EXPECT_LT(largest_difference(fast, slow), 1e-4);
  const at::Tensor u = layers_tensor({60, 21}, 99);
  (fast * u).sum().backward();
  (slow * u).sum().backward();
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(largest_difference(a[i].grad(), b[i].grad()), 1e-3) << i;
}

TEST(Layers, all_instruction_sets_agree) {
  for (simd::Isa isa : instruction_sets()) {
    const IsaScope scope(isa);
    expect_norm_twin(40);
  }
}

std::vector<LinearPart> parts_of(const std::vector<at::Tensor>& t) {
  LinearPart first{t[0], t[1], t[2], t[3], 2.0}, second{t[4], {}, {}, {}, 0};
  return {first, second};
}

TEST(Layers, linear_with_adapter_equals_its_formula) {
  const std::vector<at::Tensor> values{layers_tensor({6, 10}, 1), layers_tensor({6}, 2),
                                       layers_tensor({3, 10}, 3), layers_tensor({6, 3}, 4),
                                       layers_tensor({5, 10}, 5)};
  std::vector<at::Tensor> a, b;
  for (const at::Tensor& t : values) {
    a.push_back(leaf(t));
    b.push_back(leaf(t));
  }
  const at::Tensor x = leaf(layers_tensor({33, 10}, 6)), y = leaf(x);
  const at::Tensor fast = linear(x, parts_of(a));
  const at::Tensor low_rank = at::mm(at::mm(y, b[2].t()), b[3].t()) * 2.0;
  const at::Tensor slow = at::cat({at::mm(y, b[0].t()) + b[1] + low_rank, at::mm(y, b[4].t())}, 1);
  EXPECT_LT(largest_difference(fast, slow), 1e-4);
  const at::Tensor u = layers_tensor({33, 11}, 7);
  (fast * u).sum().backward();
  (slow * u).sum().backward();
  EXPECT_LT(largest_difference(x.grad(), y.grad()), 1e-3);
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(largest_difference(a[i].grad(), b[i].grad()), 1e-3) << i;
}

TEST(Layers, frozen_weights_get_no_gradient) {
  std::vector<at::Tensor> t{layers_tensor({6, 10}, 1), layers_tensor({6}, 2),
                            leaf(layers_tensor({3, 10}, 3)), leaf(layers_tensor({6, 3}, 4)),
                            layers_tensor({5, 10}, 5)};
  linear(layers_tensor({4, 10}, 6), parts_of(t)).sum().backward();
  EXPECT_FALSE(t[0].grad().defined());
  EXPECT_FALSE(t[4].grad().defined());
  EXPECT_TRUE(t[2].grad().defined());
}

TEST(Layers, adjacent_weights_give_the_same_product_as_separate_ones) {
  std::vector<at::Tensor> packed = allocate_packed({{6, 10}, {5, 10}});
  const at::Tensor first = layers_tensor({6, 10}, 1), second = layers_tensor({5, 10}, 2),
                   x = layers_tensor({9, 10}, 3);
  packed[0].copy_(first);
  packed[1].copy_(second);
  EXPECT_EQ(packed[0].data_ptr<float>() + 60, packed[1].data_ptr<float>());
  const at::Tensor a = linear(x, {{packed[0], {}, {}, {}, 0}, {packed[1], {}, {}, {}, 0}});
  const at::Tensor b = linear(x, {{first, {}, {}, {}, 0}, {second, {}, {}, {}, 0}});
  EXPECT_TRUE(at::equal(a, b));
}

TEST(Layers, linear_part_refuses_a_missing_weight_and_half_an_adapter) {
  ParameterMap parameters{{"m.weight", layers_tensor({2, 2}, 1)},
                          {"m.lora_A.weight", layers_tensor({1, 2}, 2)}};
  EXPECT_THROW(linear_part(parameters, "n", 0), Error);
  EXPECT_THROW(linear_part(parameters, "m", 1.0), Error);
  EXPECT_FALSE(linear_part(parameters, "m", 0).lora_A.defined());
}

}  // namespace
}  // namespace etrlrec
