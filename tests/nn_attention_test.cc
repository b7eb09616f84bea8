// Forest attention against its dense twin, forward and backward, on every instruction set of the
// machine.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "forest_attention_twin.h"
#include "isa_scope.h"
#include "kernels/attention_bfloat16.h"
#include "kernels/simd.h"
#include "nn/attention.h"
#include "nn/forest.h"
#include "random_tensor.h"
#include "tensor_difference.h"

namespace etrlrec {
namespace {

at::Tensor attention_tensor(at::IntArrayRef shape, uint64_t index) {
  return random_tensor(shape, "attention-test", index);
}

// Several roots, long and short segments, up to five levels, siblings in a row and apart.
TokenForest random_forest(uint64_t seed, int64_t segments) {
  TokenForest forest;
  Rng rng(seed, "forest");
  for (int64_t s = 0; s < segments; ++s) {
    const bool root = s == 0 || rng.chance(0.2);
    const int64_t parent =
        root ? -1 : std::max<int64_t>(0, s - 1 - static_cast<int64_t>(rng.below(5)));
    const int64_t length = rng.chance(0.2) ? 100 + rng.below(120) : 1 + rng.below(20);
    forest.add(parent, std::vector<int64_t>(length, 1));
  }
  return forest;
}

void expect_equal_to_dense(const TokenForest& forest, int64_t heads, int64_t kv_heads, int64_t dim,
                           int64_t window = 0) {
  const int64_t tokens = forest.num_tokens();
  std::vector<at::Tensor> fast{attention_tensor({tokens, heads, dim}, 1),
                               attention_tensor({tokens, kv_heads, dim}, 2),
                               attention_tensor({tokens, kv_heads, dim}, 3)};
  std::vector<at::Tensor> slow;
  for (at::Tensor& t : fast) slow.push_back(t.clone().requires_grad_(true));
  for (at::Tensor& t : fast) t.requires_grad_(true);
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  const at::Tensor a = forest_attention(fast[0], fast[1], fast[2], forest, scale, window);
  const at::Tensor b = forest_attention_dense(slow[0], slow[1], slow[2], forest, scale, window);
  EXPECT_LT(largest_difference(a, b), 1e-4);
  const at::Tensor weights = attention_tensor({tokens, heads, dim}, 4);
  (a * weights).sum().backward();
  (b * weights).sum().backward();
  for (int i = 0; i < 3; ++i)
    EXPECT_LT(largest_difference(fast[i].grad(), slow[i].grad()), 1e-4) << i;
}

TEST(ForestAttention, equals_dense_attention_on_random_forests) {
  for (uint64_t seed = 1; seed <= 6; ++seed)
    expect_equal_to_dense(random_forest(seed, 14), 2, 2, 16);
}

TEST(ForestAttention, equals_dense_attention_with_grouped_query_heads) {
  expect_equal_to_dense(random_forest(11, 12), 6, 2, 24);
  expect_equal_to_dense(random_forest(12, 12), 4, 1, 64);
}

TEST(ForestAttention, equals_dense_attention_in_a_sliding_window) {
  for (const int64_t window : {1, 2, 7, 40, 130, 1000})
    expect_equal_to_dense(random_forest(31 + window, 14), 4, 2, 16, window);
}

// A forest below a root whose keys come from elsewhere, in two spans, against the whole forest.
TEST(ForestAttention, continues_what_stands_in_front) {
  constexpr int64_t kHeads = 4, kKvHeads = 2, kDim = 20, kFirst = 45, kSecond = 30;
  const int64_t width = simd::padded(kDim);
  for (const int64_t window : {0, 1, 9, 40, 60}) {
    TokenForest whole, rest;
    whole.add(-1, std::vector<int64_t>(kFirst + kSecond, 1));
    const TokenForest below = random_forest(50, 9);
    for (const Segment& segment : below.segments) {
      const std::vector<int64_t> tokens(segment.end - segment.begin, 1);
      whole.add(segment.parent + 1, tokens);
      rest.add(segment.parent, tokens);
    }
    for (int64_t& position : rest.positions) position += kFirst + kSecond;
    HeadShape shape{kHeads, kKvHeads, kDim, window};
    const at::Tensor qkv = attention_tensor({whole.num_tokens(), shape.packed_width()}, 5);
    const RotaryTable table = rotary_table(1000, kDim, {1e4});
    const at::Tensor expected =
        rotary_attention(qkv, plan_forest(whole), shape, table, 0.3).slice(0, kFirst + kSecond);
    const float* data = qkv.const_data_ptr<float>();
    std::vector<float> blocks(kKvHeads * 2 * 48 * kDim), values(kKvHeads * 2 * 48 * width);
    std::vector<std::vector<FrontSpan>> spans(kKvHeads);
    for (int64_t head = 0; head < kKvHeads; ++head) {
      for (const int64_t s : {1, 0}) {
        const int64_t place = head * 2 + s, begin = s * kFirst, count = s == 0 ? kFirst : kSecond;
        for (int64_t j = 0; j < count; ++j) {
          std::vector<float> key(kDim);
          const float* token = data + (begin + j) * shape.packed_width() + (kHeads + head) * kDim;
          const int64_t row = (begin + j) * kDim / 2;
          rotate(token, key.data(), kDim,
                 {table.cos.const_data_ptr<float>() + row, table.sin.const_data_ptr<float>() + row},
                 1.0f, false);
          put_blocked(blocks.data() + place * 48 * kDim, j, key.data(), kDim);
          std::copy(token + kKvHeads * kDim, token + (kKvHeads + 1) * kDim,
                    values.data() + (place * 48 + j) * width);
        }
        KeySpan span;
        span.count = count;
        span.key_blocks = blocks.data() + place * 48 * kDim;
        span.value_rows = values.data() + place * 48 * width;
        spans[head].push_back({span, begin});
      }
    }
    const auto front = [&](int64_t, int64_t head, std::vector<FrontSpan>& out) {
      out.insert(out.end(), spans[head].begin(), spans[head].end());
    };
    const at::Tensor found = rotary_attention_behind(front, qkv.slice(0, kFirst + kSecond),
                                                     plan_forest(rest), shape, table, 0.3);
    EXPECT_LT(largest_difference(found, expected), 1e-5) << window;
  }
}

TEST(RotaryTable, stretches_slow_frequencies_as_published) {
  // Llama 3.1's rule on head_dim 8, theta 1e4, factor 8, wavelengths between 16 and 64 blended.
  const RotaryTable plain = rotary_table(3, 8, {1e4});
  const RotaryTable llama3 = rotary_table(3, 8, {1e4, "llama3", 8, 1, 4, 64});
  const RotaryTable linear = rotary_table(3, 8, {1e4, "linear", 8, 1, 4, 64});
  const auto angle = [](const RotaryTable& t, int64_t d) {
    return std::atan2(t.sin[1][d].item<double>(), t.cos[1][d].item<double>());
  };
  EXPECT_NEAR(angle(llama3, 0), angle(plain, 0), 1e-6);              // wavelength 6.3 < 16: kept
  const double share = (64 / (2 * 3.14159265358979 / 0.1) - 1) / 3;  // wavelength 62.8
  EXPECT_NEAR(angle(llama3, 1), (1 - share) * 0.1 / 8 + share * 0.1, 1e-6);
  EXPECT_NEAR(angle(llama3, 2), 0.01 / 8, 1e-6);  // wavelength 628 > 64: divided
  for (int64_t d = 0; d < 4; ++d) EXPECT_NEAR(angle(linear, d), angle(plain, d) / 8, 1e-6);
  EXPECT_THROW(rotary_table(3, 8, {1e4, "yarn"}), Error);
}

TEST(ForestAttention, takes_head_sizes_that_are_no_multiple_of_a_vector) {
  expect_equal_to_dense(random_forest(13, 8), 2, 1, 6);
  expect_equal_to_dense(random_forest(14, 8), 1, 1, 40);
}

TEST(ForestAttention, takes_a_trie_of_single_tokens) {
  TokenForest forest;
  const int64_t root = forest.add(-1, std::vector<int64_t>(37, 1));
  for (int i = 0; i < 70; ++i) forest.add(root, std::vector<int64_t>(1, 1));
  for (int i = 0; i < 40; ++i) forest.add(root + 1 + i % 3, std::vector<int64_t>(2, 1));
  expect_equal_to_dense(forest, 2, 1, 16);
}

TEST(ForestAttention, keeps_precision_with_large_scores) {
  TokenForest forest;
  forest.add(-1, std::vector<int64_t>(300, 1));
  const at::Tensor q = attention_tensor({300, 1, 16}, 1) * 30,
                   k = attention_tensor({300, 1, 16}, 2) * 30,
                   v = attention_tensor({300, 1, 16}, 3);
  EXPECT_LT(largest_difference(forest_attention(q, k, v, forest, 1),
                               forest_attention_dense(q, k, v, forest, 1)),
            1e-3);  // scores reach several thousand
}

TEST(ForestAttention, agrees_on_every_instruction_set) {
  for (simd::Isa isa : instruction_sets()) {
    const IsaScope scope(isa);
    expect_equal_to_dense(random_forest(21, 8), 4, 2, 32);
  }
}

void expect_rounded_to_be_near(const TokenForest& forest, const HeadShape& shape) {
  const int64_t tokens = forest.num_tokens();
  const at::Tensor qkv = attention_tensor({tokens, shape.packed_width()}, 1),
                   weights = attention_tensor({tokens, shape.num_heads * shape.head_dim}, 4);
  const RotaryTable table = rotary_table(1000, shape.head_dim, {});
  const auto plan = plan_forest(forest);
  std::vector<at::Tensor> outs, gradients;
  for (const bool rounds : {true, false}) {
    HeadShape mine = shape;
    mine.uses_bfloat16_math = rounds;
    const at::Tensor input = qkv.clone().requires_grad_(true);
    outs.push_back(rotary_attention(input, plan, mine, table, 0.3));
    (outs.back() * weights).sum().backward();
    gradients.push_back(input.grad());
  }
  EXPECT_LT(relative_difference(outs[0], outs[1]), 0.008);
  EXPECT_GT(relative_difference(outs[0], outs[1]), 1e-5);  // it does round
  int64_t column = 0;
  for (const int64_t heads :
       {shape.num_heads, shape.num_key_value_heads, shape.num_key_value_heads}) {
    const int64_t width = heads * shape.head_dim;
    EXPECT_LT(relative_difference(gradients[0].narrow(1, column, width),
                                  gradients[1].narrow(1, column, width)),
              0.02)
        << "column " << column;
    column += width;
  }
  for (int64_t t = 0; t < tokens; ++t)  // no token is left out
    EXPECT_LT(relative_difference(outs[0][t], outs[1][t]), 0.05) << t;
}

TEST(ForestAttention, bfloat16_arithmetic_is_near_fp32) {
  if (!can_round_attention(32)) GTEST_SKIP() << "the machine has no AVX512_BF16";
  for (uint64_t seed = 1; seed <= 4; ++seed)
    expect_rounded_to_be_near(random_forest(seed, 14), {2, 2, 32});
  expect_rounded_to_be_near(random_forest(12, 12), {4, 1, 64});
  expect_rounded_to_be_near(random_forest(13, 9), {3, 3, 128});
  for (const int64_t window : {2, 7, 40, 130})
    expect_rounded_to_be_near(random_forest(31 + window, 14), {4, 2, 32, window});
}

TEST(ForestAttention, bfloat16_arithmetic_is_refused_where_it_cannot_be) {
  const TokenForest forest = random_forest(1, 3);
  HeadShape shape{2, 2, 16};
  shape.uses_bfloat16_math = true;
  const at::Tensor qkv = attention_tensor({forest.num_tokens(), shape.packed_width()}, 1);
  EXPECT_THROW(rotary_attention(qkv, plan_forest(forest), shape, {}, 1), Error);
}

TEST(ForestAttention, gradient_of_a_shared_prefix_is_the_sum_over_its_repeats) {
  const int64_t prefix = 20, child = 7, dim = 16;
  TokenForest shared, repeated;
  shared.add(-1, std::vector<int64_t>(prefix, 1));
  for (int i = 0; i < 3; ++i) shared.add(0, std::vector<int64_t>(child, 1));
  for (int i = 0; i < 3; ++i) repeated.add(-1, std::vector<int64_t>(prefix + child, 1));
  at::Tensor qkv = attention_tensor({3, prefix + 3 * child, 1, dim}, 5).requires_grad_(true);
  std::vector<at::Tensor> pieces;
  for (int i = 0; i < 3; ++i) {
    pieces.push_back(qkv.narrow(1, 0, prefix));
    pieces.push_back(qkv.narrow(1, prefix + i * child, child));
  }
  const at::Tensor rows = at::cat(pieces, 1);  // [3, 3 (prefix + child), 1, D]
  const at::Tensor whole = forest_attention(rows[0], rows[1], rows[2], repeated, 0.25);
  at::Tensor loss = at::zeros({});
  for (int i = 0; i < 3; ++i)
    loss = loss + whole.narrow(0, i * (prefix + child) + prefix, child).sum();
  loss.backward();
  const at::Tensor expected = qkv.grad().clone();
  qkv.mutable_grad().zero_();
  forest_attention(qkv[0], qkv[1], qkv[2], shared, 0.25)
      .narrow(0, prefix, 3 * child)
      .sum()
      .backward();
  EXPECT_LT(largest_difference(qkv.grad(), expected), 1e-4);
}

TEST(ForestAttention, rotates_like_the_formula) {
  TokenForest forest;
  forest.add(-1, std::vector<int64_t>(9, 1));
  const HeadShape shape{2, 1, 8};
  const RotaryTable table = rotary_table(16, 8, {10000});
  const at::Tensor qkv = attention_tensor({9, shape.packed_width()}, 6);
  const auto rotate_half = [&](const at::Tensor& x) {  // [T, heads, D]
    const at::Tensor cos = table.cos.narrow(0, 0, 9).repeat({1, 2}).unsqueeze(1);
    const at::Tensor sin = table.sin.narrow(0, 0, 9).repeat({1, 2}).unsqueeze(1);
    return x * cos + at::cat({-x.narrow(2, 4, 4), x.narrow(2, 0, 4)}, 2) * sin;
  };
  const at::Tensor heads = qkv.view({9, 4, 8});
  const at::Tensor expected =
      forest_attention_dense(rotate_half(heads.narrow(1, 0, 2)), rotate_half(heads.narrow(1, 2, 1)),
                             heads.narrow(1, 3, 1), forest, 0.5);
  const at::Tensor found = rotary_attention(qkv, plan_forest(forest), shape, table, 0.5);
  EXPECT_LT(largest_difference(found.view({9, 2, 8}), expected), 1e-5);
  EXPECT_NEAR(table.cos[3][1].item<double>(), std::cos(3 * 0.1), 1e-6);
}

TEST(ForestAttention, refuses_shapes_that_do_not_fit) {
  TokenForest forest;
  forest.add(-1, std::vector<int64_t>(9, 1));
  const auto plan = plan_forest(forest);
  const RotaryTable table = rotary_table(9, 8, {10000}), short_table = rotary_table(8, 8, {10000});
  const at::Tensor qkv = attention_tensor({9, 32}, 1);
  EXPECT_NO_THROW(rotary_attention(qkv, plan, {2, 1, 8}, table, 1));
  EXPECT_THROW(rotary_attention(qkv, plan, {2, 2, 8}, table, 1), Error);
  EXPECT_THROW(rotary_attention(qkv.narrow(0, 0, 8), plan, {2, 1, 8}, table, 1), Error);
  EXPECT_THROW(rotary_attention(attention_tensor({9, 56}, 1), plan, {3, 2, 8}, table, 1), Error);
  EXPECT_THROW(rotary_attention(qkv, plan, {2, 1, 8}, short_table, 1), Error);
  EXPECT_THROW(rotary_table(9, 7, {10000}), Error);
  EXPECT_THROW(plan_forest(TokenForest{}), Error);
}

TEST(TokenForest, counts_positions_from_the_root) {
  TokenForest forest;
  const int64_t root = forest.add(-1, std::vector<int64_t>{5, 6});
  const int64_t child = forest.add(root, std::vector<int64_t>{7});
  forest.add(child, std::vector<int64_t>{8, 9});
  forest.add(root, std::vector<int64_t>{4});
  EXPECT_EQ(forest.positions, (std::vector<int64_t>{0, 1, 2, 3, 4, 2}));
}

TEST(TokenForest, refuses_empty_segments_and_unknown_parents) {
  TokenForest forest;
  EXPECT_THROW(forest.add(-1, {}), Error);
  EXPECT_THROW(forest.add(0, std::vector<int64_t>{1}), Error);
}

}  // namespace
}  // namespace etrlrec
