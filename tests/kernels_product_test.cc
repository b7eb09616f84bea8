// Every kernel of products against the plain loops: all types of weights, shapes that fill no tile,
// every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "isa_scope.h"
#include "kernels/product.h"
#include "kernels/product_reference.h"

namespace etrlrec {
namespace {

using simd::Isa;

std::vector<float> random_values(int64_t count, const std::string& name) {
  Rng rng(1, name);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = static_cast<float>(rng.normal());
  return out;
}

std::vector<uint16_t> rounded(const std::vector<float>& x) {
  std::vector<uint16_t> out;
  for (float value : x) out.push_back(bfloat16_of(value));
  return out;
}

// A weight and its memory.
struct Stored {
  Stored(WeightType type, int64_t out, int64_t in, bool biased)
      : floats(random_values(out * in, "weight")),
        bias(random_values(out, "bias")),
        scale(static_cast<size_t>(out)),
        bytes(static_cast<size_t>(out * in)) {
    rows.type = type;
    rows.out = out;
    rows.in = in;
    rows.bias = biased ? bias.data() : nullptr;
    rows.data = floats.data();
    if (type == WeightType::kBFloat16) {
      halves = rounded(floats);
      rows.data = halves.data();
    } else if (type == WeightType::kInt8) {
      quantize_rows(floats.data(), out, in, bytes.data(), scale.data());
      rows.data = bytes.data();
      rows.scale = scale.data();
    }
  }
  Stored(const Stored&) = delete;
  std::vector<float> floats, bias, scale;
  std::vector<uint16_t> halves;
  std::vector<int8_t> bytes;
  WeightRows rows;
};

struct Shape {
  int64_t rows, in;
  std::vector<int64_t> outs;
};

// Weights side by side and x, with room between its rows.
class Problem {
 public:
  Problem(WeightType type, const Shape& shape, Direction direction) {
    for (int64_t out : shape.outs) {
      stored_.push_back(std::make_unique<Stored>(type, out, shape.in, stored_.empty()));
      weights_.push_back(stored_.back()->rows);
      width_ += out;
    }
    const bool forward = direction == Direction::kForward;
    columns_ = forward ? width_ : shape.in;
    operands.rows = shape.rows;
    operands.x_stride = padded_columns(forward ? shape.in : width_) + 4;
    x_ = random_values(shape.rows * operands.x_stride, "x");
    operands.x = x_.data();
    operands.weights = weights_;
    operands.y_stride = columns_ + 1;
  }
  Problem(const Problem&) = delete;

  template <typename F>
  std::vector<float> result(const F& multiply) {
    std::vector<float> y(static_cast<size_t>(operands.rows * operands.y_stride), 7.0f);
    operands.y = y.data();
    multiply(operands);
    return y;
  }
  // Largest difference to the twin, over the size of a sum of so many terms.
  double error(const std::vector<float>& found, const std::vector<float>& expected) const {
    double most = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      const double difference = std::fabs(double{found[i]} - double{expected[i]});
      most = std::isfinite(difference) ? std::max(most, difference) : HUGE_VAL;
    }
    return most / std::sqrt(static_cast<double>(width_ + weights_[0].in));
  }

  ProductOperands operands;

 private:
  std::vector<std::unique_ptr<Stored>> stored_;
  std::vector<WeightRows> weights_;
  std::vector<float> x_;
  int64_t width_ = 0, columns_ = 0;
};

void expect_kernel_is_its_twin(WeightType type, Direction direction, Arithmetic arithmetic,
                               const Shape& shape) {
  const ProductKernel kernel =
      choose_product({shape.rows, type, arithmetic, direction, shape.in, false}).kernel;
  if (kernel == ProductKernel::kLibrary) return;
  Problem p(type, shape, direction);
  const auto found = p.result([&](const ProductOperands& o) { multiply(kernel, direction, o); });
  const bool integers = kernel == ProductKernel::kNarrow && type == WeightType::kInt8;
  const Arithmetic twin =
      integers || kernel == ProductKernel::kVectors ? Arithmetic::kFloat : arithmetic;
  const auto expected = p.result([&](const ProductOperands& o) {
    if (direction == Direction::kForward) return multiply_reference(o, twin);
    multiply_transposed_reference(o, twin);
  });
  // 14-bit integers: each x is off by at most max |x| / 16382.
  EXPECT_LT(p.error(found, expected), integers ? 5e-4 : 1e-5)
      << name_of(kernel) << ", " << name_of(type) << ", " << shape.rows << " x " << shape.in;
}

// The kernel that the table names for this machine, in every case.
void expect_twin(Arithmetic arithmetic) {
  for (WeightType type : {WeightType::kFloat, WeightType::kBFloat16, WeightType::kInt8}) {
    for (Direction direction : {Direction::kForward, Direction::kTransposed}) {
      for (int64_t rows : {1, 2, 3, 4, 5, 9, 16, 24, 48, 66, 70, 100}) {
        expect_kernel_is_its_twin(type, direction, arithmetic, {rows, 64, {24}});
        expect_kernel_is_its_twin(type, direction, arithmetic, {rows, 100, {7, 30}});
        expect_kernel_is_its_twin(type, direction, arithmetic, {rows, 17, {5, 3}});
      }
      for (int64_t rows : {4, 16})  // rows of weights at multiples of 2,048 bytes
        expect_kernel_is_its_twin(type, direction, arithmetic, {rows, 1024, {50, 7}});
    }
  }
}

TEST(Product, fp32_kernels_agree_with_the_reference_on_every_instruction_set) {
  for (Isa isa : instruction_sets()) {
    const IsaScope scope(isa);
    expect_twin(Arithmetic::kFloat);
  }
}

TEST(Product, bfloat16_kernels_agree_with_the_reference) {
  if (!supports_bfloat16()) GTEST_SKIP() << "no AVX512_BF16";
  expect_twin(Arithmetic::kBFloat16);
}

TEST(Product, the_reference_is_the_formula) {
  Problem p(WeightType::kInt8, {3, 33, {4, 2}}, Direction::kForward);
  const auto found = p.result([](const ProductOperands& o) {
    multiply(ProductKernel::kReference, Direction::kForward, o);
  });
  const ProductOperands& o = p.operands;
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t column = 0; column < 6; ++column) {
      const WeightRows& w = o.weights[column < 4 ? 0 : 1];
      const int64_t row = column < 4 ? column : column - 4;
      double sum = w.bias == nullptr ? 0 : w.bias[row];
      for (int64_t k = 0; k < 33; ++k)
        sum += double{o.x[r * o.x_stride + k]} * double{w.value(row, k)};
      EXPECT_NEAR(found[static_cast<size_t>(r * o.y_stride + column)], sum, 1e-4);
    }
    EXPECT_EQ(found[static_cast<size_t>(r * o.y_stride + 6)], 7.0f);  // between the rows
  }
}

TEST(Product, operands_in_bfloat16_and_sums_to_add_to) {
  for (const bool packed : {false, true}) {
    if (packed && !supports_bfloat16()) continue;
    const auto run = [&](const ProductOperands& o, Direction direction) {
      multiply(packed ? ProductKernel::kPacked : ProductKernel::kReference, direction, o);
    };
    for (Direction direction : {Direction::kForward, Direction::kTransposed}) {
      Problem p(WeightType::kBFloat16, {101, 96, {60, 20}}, direction);
      const std::vector<uint16_t> x =
          rounded(std::vector<float>(p.operands.x, p.operands.x + 101 * p.operands.x_stride));
      p.operands.x = nullptr;
      p.operands.rounded_x = x.data();
      const auto once = p.result([&](const ProductOperands& o) { run(o, direction); });
      p.operands.accumulate = true;
      const auto added = p.result([&](const ProductOperands& o) { run(o, direction); });
      p.operands.accumulate = false;
      std::vector<uint16_t> y(once.size());
      ProductOperands to_rounded = p.operands;
      to_rounded.y = nullptr;
      to_rounded.rounded_y = y.data();
      run(to_rounded, direction);
      const int64_t columns = p.operands.y_stride - 1;
      for (int64_t i = 0; i < 101 * p.operands.y_stride; ++i) {
        if (i % p.operands.y_stride == columns) continue;
        const auto at = static_cast<size_t>(i);
        EXPECT_NEAR(added[at], once[at] + 7.0f, 1e-4);
        EXPECT_NEAR(widened_bfloat16(y[at]), once[at], 0.005 * std::fabs(once[at]) + 1e-6);
      }
    }
  }
}

TEST(Product, what_a_kernel_does_not_take_is_refused) {
  Problem p(WeightType::kBFloat16, {4, 32, {8}}, Direction::kForward);
  const ProductOperands& o = p.operands;
  EXPECT_THROW(multiply(ProductKernel::kLibrary, Direction::kForward, o), Error);
  EXPECT_THROW(multiply(ProductKernel::kVectors, Direction::kTransposed, o), Error);
  ProductOperands added = o;
  added.accumulate = true;
  EXPECT_THROW(multiply(ProductKernel::kVectors, Direction::kForward, added), Error);
  const IsaScope scope(Isa::kBase);
  EXPECT_THROW(multiply(ProductKernel::kPacked, Direction::kForward, o), Error);
  EXPECT_THROW(multiply(ProductKernel::kPacked, Direction::kTransposed, o), Error);
}

TEST(Product, sums_beside_int8_weights_cannot_be_added_up) {
  if (!supports_bfloat16()) GTEST_SKIP() << "no AVX512_BF16";
  Problem p(WeightType::kInt8, {4, 32, {8}}, Direction::kForward);
  p.operands.accumulate = true;
  EXPECT_THROW(multiply(ProductKernel::kPacked, Direction::kForward, p.operands), Error);
}

TEST(BFloat16, rows_round_alike_on_every_instruction_set) {
  const std::vector<float> x = random_values(5 * 40, "x"), scale = random_values(37, "scale");
  for (const float* factor : {static_cast<const float*>(nullptr), scale.data()}) {
    std::vector<uint16_t> expected(5 * 38, 9);
    const auto round = [&](std::vector<uint16_t>& to) {
      round_rows(x.data(), 5, 40, 37, to.data(), factor);
    };
    {
      const IsaScope scope(Isa::kBase);
      round(expected);
    }
    EXPECT_EQ(expected[37], 0);
    for (Isa isa : instruction_sets()) {
      const IsaScope scope(isa);
      std::vector<uint16_t> found(5 * 38, 9);
      round(found);
      EXPECT_EQ(found, expected) << simd::name_of(isa);
      std::vector<float> wide(5 * 38);
      widen_bfloat16(found.data(), 5 * 38, wide.data());
      for (size_t i = 0; i < wide.size(); ++i) EXPECT_EQ(wide[i], widened_bfloat16(found[i]));
    }
  }
}

}  // namespace
}  // namespace etrlrec
