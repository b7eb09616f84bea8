// Every differentiable piece both ways on the CPU: by the kernels of this program and by plain ATen
// operations (--arithmetic reference, the way of tensors on other devices). Values and gradients
// agree within 2e-5 of the largest value.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"
#include "models/sasrec_ops.h"
#include "nn/attention.h"
#include "nn/attention_dense.h"
#include "nn/embedding.h"
#include "nn/gated_mlp.h"
#include "nn/layers.h"
#include "nn/logprob.h"
#include "nn/noise.h"
#include "nn/weight.h"
#include "own_functions.h"
#include "random_tensor.h"
#include "tensor_difference.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

const Numerics kFast{Arithmetic::kFloat}, kPlain{Arithmetic::kReference};
constexpr double kTolerance = 2e-5;

double relative_error(const Tensor& found, const Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6)).item<double>();
}

// piece(leaves, numerics) is differentiated with respect to all leaves, weighted by noise.
using Piece = std::function<Tensor(const Tensors& leaves, const Numerics& numerics)>;
void expect_both_ways(const std::string& name, const Tensors& inputs, const Piece& piece,
                      bool plain_is_all_aten = true) {
  SCOPED_TRACE(name);
  Tensors fast_leaves, plain_leaves;
  for (const Tensor& t : inputs) {
    fast_leaves.push_back(leaf(t));
    plain_leaves.push_back(leaf(t));
  }
  const Tensor fast = piece(fast_leaves, kFast), plain = piece(plain_leaves, kPlain);
  EXPECT_FALSE(own_functions(fast).empty()) << "the fast way was not taken";
  EXPECT_EQ(own_functions(plain).empty(), plain_is_all_aten);
  EXPECT_LT(relative_error(plain.detach(), fast.detach()), kTolerance);
  const Tensor noise = at::randn(fast.sizes());
  (fast * noise).sum().backward();
  (plain * noise).sum().backward();
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_TRUE(fast_leaves[i].grad().defined() && plain_leaves[i].grad().defined()) << i;
    EXPECT_LT(relative_error(plain_leaves[i].grad(), fast_leaves[i].grad()), kTolerance) << i;
  }
}

// Two trees, siblings, a chain, and a segment that comes late.
TokenForest branched_forest() {
  TokenForest forest;
  const auto add = [&](int64_t parent, int64_t length) {
    return forest.add(parent, std::vector<int64_t>(static_cast<size_t>(length), 1));
  };
  const int64_t root = add(-1, 37), child = add(root, 5);
  add(root, 70);
  const int64_t other = add(-1, 11);
  add(child, 3);
  add(other, 40);
  return forest;
}

TEST(PlainWays, linear_layers_of_every_storage_with_adapters_and_dropout) {
  at::manual_seed(1);
  for (const bool is_int8 : {false, true}) {
    const Tensor frozen =
        is_int8 ? quantized(at::randn({20, 24})) : at::randn({20, 24}).to(at::kBFloat16);
    for (const double rate : {0.0, 0.3}) {
      expect_both_ways(
          fmt::format("int8 {}, dropout {}", is_int8, rate),
          {at::randn({130, 24}), at::randn({4, 24}), at::randn({20, 4}), at::randn({20})},
          [&](const Tensors& t, const Numerics& numerics) {
            return linear(t[0],
                          {{frozen, t[3], t[1], t[2], 0.7, {rate, 5}}, {frozen, {}, {}, {}, 0, {}}},
                          numerics);
          });
    }
  }
  expect_both_ways("trained weights", {at::randn({9, 24}), at::randn({20, 24}), at::randn({20})},
                   [](const Tensors& t, const Numerics& numerics) {
                     return linear(t[0], {{t[1], t[2], {}, {}, 0, {}}}, numerics);
                   });
}

TEST(PlainWays, norms_and_the_gated_block) {
  at::manual_seed(2);
  expect_both_ways("rms_norm", {at::randn({70, 33}), at::randn({33})},
                   [](const Tensors& t, const Numerics& numerics) {
                     return rms_norm(t[0], t[1], 1e-6, numerics);
                   });
  expect_both_ways("add_rms_norm", {at::randn({70, 33}), at::randn({70, 33}), at::randn({33})},
                   [](const Tensors& t, const Numerics& numerics) {
                     const auto [sum, out] = add_rms_norm(t[0], t[1], t[2], 1e-6, numerics);
                     return at::cat({sum, out}, 1);
                   });
  expect_both_ways("swiglu", {at::randn({70, 46})}, [](const Tensors& t, const Numerics& numerics) {
    return swiglu(t[0], false, numerics);
  });
  expect_both_ways("gated_mlp",
                   {at::randn({9, 8}), at::randn({20, 8}), at::randn({20, 8}), at::randn({8, 20})},
                   [](const Tensors& t, const Numerics& numerics) {
                     return gated_mlp(t[0], {{t[1], {}, {}, {}, 0, {}}, {t[2], {}, {}, {}, 0, {}}},
                                      {{t[3], {}, {}, {}, 0, {}}}, numerics);
                   });
}

TEST(PlainWays, attention_over_a_forest_with_shared_heads_windows_and_rotation) {
  at::manual_seed(3);
  const TokenForest forest = branched_forest();
  const auto plan = plan_forest(forest);
  const RotaryTable table = rotary_table(256, 12, {});
  for (const int64_t heads : {2, 6, 66}) {  // 66: more query heads than a tile has rows
    for (const int64_t window : {0, 7}) {
      HeadShape shape{heads, 2, 12, window};
      expect_both_ways(fmt::format("{} heads, window {}", heads, window),
                       {at::randn({forest.num_tokens(), shape.packed_width()})},
                       [&](const Tensors& t, const Numerics& numerics) {
                         return rotary_attention(t[0], plan, shape, table, 0.3, numerics);
                       });
    }
  }
}

TEST(PlainWays, attention_behind_keys_that_were_computed_before) {
  at::manual_seed(4);
  TokenForest whole, rest;
  const std::vector<int64_t> front(19, 1), tail(8, 1);
  whole.add(whole.add(-1, front), tail);
  rest.add(-1, tail);
  for (int64_t& position : rest.positions) position += 19;
  const HeadShape shape{4, 2, 12, 13};
  const RotaryTable table = rotary_table(64, 12, {});
  const Tensor qkv = at::randn({27, shape.packed_width()});
  const Tensor expected = rotary_attention(qkv, plan_forest(whole), shape, table, 0.3, kFast);
  const Tensor heads = qkv.view({27, 8, 12}).narrow(0, 0, 19);
  const plain::DenseFront before = [&](int64_t) {
    plain::DenseKeys keys;
    for (int64_t p = 0; p < 19; ++p) keys.positions.push_back(p);
    keys.key = plain::rotated(heads.narrow(1, 4, 2), table, at::tensor(keys.positions));
    keys.value = heads.narrow(1, 6, 2);
    return keys;
  };
  const Tensor found =
      plain::forest_attention(qkv.narrow(0, 19, 8), *plan_forest(rest), shape, table, 0.3, before);
  EXPECT_LT(relative_error(found, expected.narrow(0, 19, 8)), kTolerance);
}

TEST(PlainWays, log_probabilities_in_chunks) {
  at::manual_seed(5);
  const int64_t rows = 1500, vocab = 301;  // more than one chunk
  const Tensor targets = at::randint(vocab, {rows}, at::kLong), factor = at::rand({rows});
  const Tensor small = at::randint(50, {40}, at::kLong), small_factor = at::rand({40});
  expect_both_ways(
      "logprob", {at::randn({40, 8}), at::randn({50, 8})},
      [&](const Tensors& t, const Numerics& numerics) {
        return linear_logprob(t[0], t[1], small, true, numerics).logprobs;
      },
      false);
  expect_both_ways(
      "nll", {at::randn({40, 8}), at::randn({50, 8})},
      [&](const Tensors& t, const Numerics& numerics) {
        return linear_nll(t[0], t[1], small, small_factor, numerics);
      },
      false);
  const Tensor head = at::randn({vocab, 4}).to(at::kBFloat16);
  expect_both_ways(
      "nll of a frozen head", {at::randn({rows, 4})},
      [&](const Tensors& t, const Numerics& numerics) {
        return linear_nll(t[0], head, targets, factor, numerics);
      },
      false);
  const Tensor h = at::randn({40, 8}), w = at::randn({50, 8});
  EXPECT_LT(relative_error(linear_logprob(h, w, small, true, kPlain).entropy,
                           linear_logprob(h, w, small, true, kFast).entropy),
            kTolerance);
}

TEST(PlainWays, noise_drops_the_same_elements) {
  at::manual_seed(6);
  expect_both_ways("dropout", {at::randn({300, 70})},
                   [](const Tensors& t, const Numerics& numerics) {
                     return masked_dropout(t[0], {0.3, 0x123456789abcdef0}, numerics);
                   });
  expect_both_ways("residual dropout", {at::randn({30, 7}), at::randn({30, 7})},
                   [](const Tensors& t, const Numerics& numerics) {
                     return residual_dropout(t[0], t[1], {0.5, 77}, numerics);
                   });
  EXPECT_TRUE(at::equal(uniform_noise(300, 70, 0xfedcba9876543210, kPlain),
                        uniform_noise(300, 70, 0xfedcba9876543210, kFast)));
}

TEST(PlainWays, embeddings_with_noise_and_virtual_tokens) {
  at::manual_seed(7);
  TokenForest forest;
  forest.add(-1, std::vector<int64_t>{31, 30, 3, 4, 5});
  const Tensor prompt = at::randn({2, 10});
  for (const Tensor& table : {at::randn({30, 10}), at::randn({30, 10}).to(at::kBFloat16),
                              quantized(at::randn({30, 10}))}) {
    Tensors found;
    for (const Numerics& numerics : {kFast, kPlain})
      found.push_back(embed_forest(table, prompt, forest, {true, 9, 5.0}, numerics));
    EXPECT_LT(relative_error(found[1], found[0]), kTolerance);
  }
  const Tensor items = at::tensor({3, 0, 3}, at::kInt), positions = at::tensor({0, 1, 2}, at::kInt);
  expect_both_ways("items", {at::randn({5, 8}), at::randn({3, 8})},
                   [&](const Tensors& t, const Numerics& numerics) {
                     return embed_items(t[0], t[1], items, positions, 1.5, {0.2, 3}, numerics);
                   });
}

TEST(PlainWays, products_without_gradient_of_every_storage) {
  at::manual_seed(8);
  const Tensor weight = at::randn({21, 40}), x = at::randn({130, 40}), g = at::randn({130, 21});
  for (const Tensor& stored : {weight, weight.to(at::kBFloat16), quantized(weight)}) {
    EXPECT_LT(relative_error(weight_product(x, stored, kPlain), weight_product(x, stored, kFast)),
              kTolerance);
    Tensor fast = at::empty({130, 40}), plain = at::empty({130, 40});
    transposed_product_out(fast, g, {stored}, kFast);
    transposed_product_out(plain, g, {stored}, kPlain);
    EXPECT_LT(relative_error(plain, fast), kTolerance);
    Tensor out = at::empty({130, 21}), out_plain = at::empty({130, 21});
    const std::vector<LinearPart> part{{stored, at::randn({21}), {}, {}, 0, {}}};
    linear_out(out, x, part, kFast);
    linear_out(out_plain, x, part, kPlain);
    EXPECT_LT(relative_error(out_plain, out), kTolerance);
    EXPECT_TRUE(at::equal(widened(moved_to(stored, at::kCPU)), widened(stored)));
  }
}

TEST(PlainWays, every_optimiser_takes_the_same_steps) {
  for (const char* rule : {"adamw", "adam", "lion", "sgd"}) {
    Tensors ends;
    for (const Numerics& numerics : {kFast, kPlain}) {
      at::manual_seed(9);
      const Tensor p = leaf(at::randn({30, 7}));
      Optimizer optimizer({{"p", p}}, {.optim = rule}, numerics);
      for (int step = 0; step < 5; ++step) {
        p.mutable_grad() = at::randn({30, 7}) * 3;
        clip_grad_norm(optimizer.parameters(), 1.0, numerics);
        optimizer.step(0.01);
      }
      ends.push_back(p.detach());
    }
    EXPECT_LT(relative_error(ends[1], ends[0]), kTolerance) << rule;
  }
}

}  // namespace
}  // namespace etrlrec
