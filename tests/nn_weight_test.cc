// Products with stored weights against LibTorch on the widened weights: all types, shapes that fill
// no tile, every instruction set of this machine, both arithmetics of frozen weights.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "isa_scope.h"
#include "kernels/bfloat16.h"
#include "kernels/simd.h"
#include "nn/weight.h"
#include "tensor_difference.h"
#include "threads_scope.h"

namespace etrlrec {
namespace {

std::vector<at::Tensor> stored(const at::Tensor& weight) {
  return {weight, weight.to(at::kBFloat16), quantized(weight)};
}

at::Tensor operand(const at::Tensor& x, bool rounds) {
  return (rounds ? x.to(at::kBFloat16) : x).to(at::kDouble);
}

// What a product with `weight` sees of x [rows, in]. Few rows beside int8 weights: whole groups of
// 64 as integers of 14 bits, what is left in fp32.
at::Tensor seen_by(const at::Tensor& weight, const at::Tensor& x, const Numerics& numerics) {
  const bool rounds = uses_bfloat16_math(weight, numerics);
  if (!rounds || !is_int8(weight) || x.size(0) > 96) return operand(x, rounds);
  const int64_t whole = x.size(1) / 64 * 64;
  if (whole == 0) return x.to(at::kDouble);
  const at::Tensor groups = x.narrow(1, 0, whole);
  const at::Tensor most = groups.abs().amax(1, true);
  const at::Tensor integers = at::round(groups * (8191 / most)).to(at::kDouble);
  return at::cat({integers * (most / 8191), x.narrow(1, whole, x.size(1) - whole)}, 1);
}

// The transposed product multiplies g by the scales before it is rounded.
at::Tensor transposed_twin(const at::Tensor& g, const at::Tensor& weight,
                           const Numerics& numerics) {
  const at::Tensor w = widened(weight).to(at::kDouble);
  if (!uses_bfloat16_math(weight, numerics)) return at::mm(g.to(at::kDouble), w);
  if (!is_int8(weight)) return at::mm(operand(g, true), w);
  const at::Tensor values = weight.to(at::kDouble);
  const at::Tensor scale = at::where(values.abs().amax(1) > 0, w.abs().amax(1) / 127, 0.0);
  return at::mm(operand(g * scale.to(at::kFloat), true), values);
}

void expect_products(const Numerics& numerics, int64_t rows, int64_t in,
                     std::vector<int64_t> outs) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({rows, in});
  std::vector<std::vector<at::Tensor>> weights(3);
  std::vector<at::Tensor> biases;
  int64_t width = 0;
  for (size_t i = 0; i < outs.size(); ++i) {
    const std::vector<at::Tensor> types = stored(at::randn({outs[i], in}));
    for (size_t type = 0; type < 3; ++type) weights[type].push_back(types[type]);
    biases.push_back(i == 1 ? at::Tensor() : at::randn({outs[i]}));
    width += outs[i];
  }
  for (size_t type = 0; type < 3; ++type) {
    std::vector<at::Tensor> expected;
    at::Tensor back = at::zeros({rows, in}, at::kDouble);
    const at::Tensor g = at::randn({rows, width});
    int64_t column = 0;
    for (size_t i = 0; i < outs.size(); ++i) {
      const at::Tensor& weight = weights[type][i];
      const at::Tensor w = widened(weight).to(at::kDouble);
      expected.push_back(at::mm(seen_by(weight, x, numerics), w.t()));
      if (biases[i].defined()) expected.back() += biases[i];
      back += transposed_twin(g.narrow(1, column, outs[i]), weight, numerics);
      column += outs[i];
    }
    at::Tensor found = at::full({rows, width}, 7.0f), found_back = at::full({rows, in}, 7.0f);
    weights_product_out(found, x, weights[type], biases, numerics);
    transposed_product_out(found_back, g, weights[type], numerics);
    const auto terms = static_cast<double>(in + width);
    const double tolerance = 3e-6 * std::sqrt(terms) + 1e-7 * terms;  // random and one-sided errors
    EXPECT_LT(largest_difference(found, at::cat(expected, 1)), tolerance)
        << "type " << type << ", " << rows << " x " << in;
    EXPECT_LT(largest_difference(found_back, back), tolerance) << "type " << type;
  }
}

TEST(Weight, products_of_all_types_and_instruction_sets) {
  const Numerics exact{Arithmetic::kFloat};
  for (simd::Isa isa : instruction_sets()) {
    const IsaScope scope(isa);
    for (int64_t rows : {1, 2, 3, 4, 5, 9, 33, 130}) {
      expect_products(exact, rows, 64, {24});
      expect_products(exact, rows, 100, {7, 30, 1});
      expect_products(exact, rows, 17, {5, 3});
      expect_products(exact, rows, 512, {49, 25});
    }
  }
}

TEST(Weight, bfloat16_arithmetic_rounds_both_sides_and_nothing_else) {
  if (!supports_bfloat16()) GTEST_SKIP() << "the machine has no AVX512_BF16";
  const Numerics rounded{Arithmetic::kBFloat16};
  for (int64_t rows : {1, 2, 3, 4, 5, 9, 12, 16, 24, 33, 48, 64, 70, 96, 100, 130, 400}) {
    expect_products(rounded, rows, 17, {5, 3});  // first: no memory of an earlier product
    expect_products(rounded, rows, 64, {24});
    expect_products(rounded, rows, 100, {7, 30, 1});
    expect_products(rounded, rows, 512, {49, 256, 80});
    expect_products(rounded, rows, 1024, {50, 7});  // rows at multiples of 2,048 bytes
  }
  expect_products(rounded, 130, 5300, {70});  // more than is summed at a time
  expect_products(rounded, 130, 96, {2600, 2701, 302});
  expect_products(rounded, 5, 96, {4200});
}

TEST(Weight, values_that_are_not_finite_stay_so) {
  for (const at::Tensor& weight : stored(at::randn({40, 64}))) {
    for (int64_t rows : {1, 5, 16, 130}) {
      for (double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
        at::Tensor x = at::randn({rows, 64});
        x[0][7] = bad;
        const at::Tensor found = weight_product(x, weight);
        EXPECT_FALSE(found[0].isfinite().all().item<bool>()) << rows << " " << bad;
        EXPECT_TRUE(found.slice(0, 1).isfinite().all().item<bool>()) << rows;
      }
    }
  }
}

TEST(Weight, values_are_rounded_to_the_nearest_bfloat16) {
  const at::Tensor x = at::cat({at::randn({1000}), at::randn({24}) * 1e30, at::zeros({2})});
  const at::Tensor expected = x.to(at::kBFloat16).to(at::kFloat);
  for (int64_t i = 0; i < x.numel(); ++i)
    EXPECT_EQ(widened_bfloat16(bfloat16_of(x[i].item<float>())), expected[i].item<float>());
  EXPECT_TRUE(std::isnan(widened_bfloat16(bfloat16_of(std::nanf("")))));
  EXPECT_EQ(widened_bfloat16(bfloat16_of(INFINITY)), INFINITY);
}

TEST(Weight, bfloat16_arithmetic_without_the_instructions_is_refused) {
  const IsaScope scope(simd::Isa::kBase);
  EXPECT_THROW(parse_arithmetic("bfloat16"), Error);
  EXPECT_EQ(parse_arithmetic("auto"), Arithmetic::kFloat);
}

TEST(Weight, the_result_does_not_depend_on_the_threads) {
  for (int64_t rows : {5, 32}) {  // 32: lanes
    const at::Tensor x = at::randn({rows, 300});
    for (const at::Tensor& weight : stored(at::randn({700, 300}))) {
      const ThreadsScope single(1);
      const at::Tensor one = weight_product(x, weight);
      const ThreadsScope both(2);
      EXPECT_TRUE(at::equal(one, weight_product(x, weight)));
    }
  }
}

TEST(Weight, large_matrices_are_widened_in_blocks) {
  const Numerics exact{Arithmetic::kFloat};
  const at::Tensor x = at::randn({120, 512}), weight = at::randn({9001, 512}).to(at::kBFloat16);
  EXPECT_LT(
      largest_difference(weight_product(x, weight, exact), at::mm(x, weight.to(at::kFloat).t())),
      1e-3);
  const at::Tensor g = at::randn({3, 9001});
  at::Tensor back = at::empty({3, 512});
  transposed_product_out(back, g, {weight}, exact);
  EXPECT_LT(largest_difference(back, at::mm(g, weight.to(at::kFloat))), 2e-3);
}

TEST(Weight, int8_is_symmetric_per_row_and_within_half_a_step) {
  at::Tensor weight = at::randn({6, 50});
  weight[2].zero_();
  weight[3] *= 1e-20;
  const at::Tensor error = (widened(quantized(weight)) - weight).abs();
  const at::Tensor step = std::get<0>(weight.abs().max(1)) / 127;
  for (int64_t row = 0; row < 6; ++row)
    EXPECT_LE(error[row].max().item<float>(), 0.5001f * step[row].item<float>()) << row;
  EXPECT_TRUE(at::equal(widened(quantized(-weight)), -widened(quantized(weight))));
}

TEST(Weight, rows_are_gathered_from_every_type) {
  const at::Tensor ids = at::tensor({3, 0, 3}, at::kLong);
  for (const at::Tensor& weight : stored(at::randn({5, 20})))
    EXPECT_TRUE(at::equal(weight_rows(weight, ids), widened(weight).index_select(0, ids)));
}

TEST(Weight, arithmetic_names) {
  for (const char* name : {"float32", "reference"})
    EXPECT_STREQ(name_of(parse_arithmetic(name)), name);
  EXPECT_EQ(parse_arithmetic("auto"), best_arithmetic());
  EXPECT_THROW(parse_arithmetic("float16"), Error);
}

TEST(Weight, storage_names) {
  EXPECT_EQ(parse_storage("int8"), Storage::kInt8);
  EXPECT_THROW(parse_storage("fp8"), Error);
}

}  // namespace
}  // namespace etrlrec
