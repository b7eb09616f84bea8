// Layers between frozen weights in bfloat16 arithmetic (the default of a machine that has it)
// against their formulas in fp64 on the widened weights: values and gradients within what 8 bits
// allow, rounded somewhere, for bfloat16 and int8.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "nn/gated_mlp.h"
#include "nn/layers.h"
#include "nn/logprob.h"
#include "nn/weight.h"
#include "random_tensor.h"
#include "tensor_difference.h"
#include "tuning/adapters.h"

namespace etrlrec {
namespace {

class RoundedLayers : public testing::Test {
 protected:
  void SetUp() override {
    if (!supports_bfloat16()) GTEST_SKIP() << "the machine has no AVX512_BF16";
    at::manual_seed(1);
  }
};

at::Tensor wide_leaf(const at::Tensor& t) { return leaf(t.to(at::kDouble)); }
at::Tensor wide(const at::Tensor& weight) { return widened(weight).to(at::kDouble); }

at::Tensor frozen(at::IntArrayRef shape, Storage storage) {
  const at::Tensor weight = at::randn(shape) / std::sqrt(static_cast<double>(shape[1]));
  return storage == Storage::kInt8 ? quantized(weight) : weight.to(at::kBFloat16);
}

LinearPart plain(const at::Tensor& weight) { return linear_part({{"l.weight", weight}}, "l", 0.0); }

// Neither exact, which would mean that another path ran, nor further off than `most`.
void expect_rounded(const at::Tensor& found, const at::Tensor& exact, double most,
                    const std::string& what) {
  const double error = relative_difference(found.to(at::kDouble), exact);
  EXPECT_GT(error, 1e-5) << what;
  EXPECT_LT(error, most) << what;
}

void expect_gated_mlp(int64_t rows, int64_t hidden, int64_t inner, Storage storage) {
  const at::Tensor gate = frozen({inner, hidden}, storage), up = frozen({inner, hidden}, storage),
                   down = frozen({hidden, inner}, storage), x = at::randn({rows, hidden});
  const at::Tensor a = leaf(x), b = wide_leaf(x);
  const at::Tensor found = gated_mlp(a, {plain(gate), plain(up)}, {plain(down)});
  const at::Tensor exact =
      at::mm(at::silu(at::mm(b, wide(gate).t())) * at::mm(b, wide(up).t()), wide(down).t());
  const std::string shape = fmt::format("{} x {} x {}", rows, hidden, inner);
  expect_rounded(found, exact, 5e-3, shape);
  const at::Tensor u = at::randn({rows, hidden});
  (found * u).sum().backward();
  (exact * u).sum().backward();
  expect_rounded(a.grad(), b.grad(), 8e-3, shape);
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(gated_mlp(x, {plain(gate), plain(up)}, {plain(down)}), found)) << shape;
}

TEST_F(RoundedLayers, gated_mlp_equals_its_formula) {
  for (Storage storage : {Storage::kBFloat16, Storage::kInt8}) {
    expect_gated_mlp(130, 48, 100, storage);
    expect_gated_mlp(97, 35, 66, storage);      // rows of an odd number of values
    expect_gated_mlp(200, 2500, 130, storage);  // more inputs than are summed at a time
  }
}

TEST_F(RoundedLayers, gated_mlp_with_adapters_or_few_rows_is_the_composition) {
  const at::Tensor gate = frozen({64, 32}, Storage::kBFloat16),
                   up = frozen({64, 32}, Storage::kBFloat16),
                   down = frozen({32, 64}, Storage::kBFloat16);
  const std::vector<LinearPart> bare{plain(gate), plain(up)},
      adapted{plain(gate), {up, {}, at::randn({4, 32}), at::randn({64, 4}), 2.0, {}}};
  const auto composed = [&](const at::Tensor& x, const std::vector<LinearPart>& gate_up) {
    return linear(swiglu(linear(x, gate_up), true), {plain(down)});
  };
  const at::Tensor few = at::randn({8, 32}), many = at::randn({120, 32});
  EXPECT_TRUE(at::equal(gated_mlp(few, bare, {plain(down)}), composed(few, bare)));
  EXPECT_TRUE(at::equal(gated_mlp(many, adapted, {plain(down)}), composed(many, adapted)));
  EXPECT_FALSE(at::equal(gated_mlp(many, bare, {plain(down)}), composed(many, bare)));
}

// Two adapters of an odd and an even rank beside a part without, biases, an odd number of rows.
void expect_adapters(Storage storage, bool trained) {
  const int64_t rows = 131, in = 70;
  const std::vector<at::Tensor> weights{frozen({40, in}, storage), frozen({66, in}, storage),
                                        frozen({10, in}, storage)};
  const at::Tensor bias = at::randn({40}), x = at::randn({rows, in});
  const std::vector<at::Tensor> values{at::randn({3, in}), at::randn({40, 3}), at::randn({4, in}),
                                       at::randn({10, 4})};
  std::vector<at::Tensor> a, b;
  for (const at::Tensor& t : values) {
    a.push_back(trained ? leaf(t) : t);
    b.push_back(wide_leaf(t));
  }
  const at::Tensor xa = leaf(x), xb = wide_leaf(x);
  const at::Tensor found = linear(xa, {{weights[0], bias, a[0], a[1], 0.5, {}},
                                       plain(weights[1]),
                                       {weights[2], {}, a[2], a[3], 0.3, {}}});
  const auto product = [&](int w) { return at::mm(xb, wide(weights[static_cast<size_t>(w)]).t()); };
  const auto adapter = [&](size_t A) { return at::mm(at::mm(xb, b[A].t()), b[A + 1].t()); };
  const at::Tensor exact =
      at::cat({product(0) + bias + 0.5 * adapter(0), product(1), product(2) + 0.3 * adapter(2)}, 1);
  expect_rounded(found, exact, 5e-3, "value");
  const at::Tensor u = at::randn({rows, 116});
  (found * u).sum().backward();
  (exact * u).sum().backward();
  expect_rounded(xa.grad(), xb.grad(), 5e-3, "x");
  for (size_t i = 0; trained && i < a.size(); ++i)
    expect_rounded(a[i].grad(), b[i].grad(), 6e-3, fmt::format("adapter tensor {}", i));
}

TEST_F(RoundedLayers, adapters_equal_their_formulas) {
  for (Storage storage : {Storage::kBFloat16, Storage::kInt8}) {
    expect_adapters(storage, true);
    expect_adapters(storage, false);  // one that is only used, below trained prompts
  }
}

TEST_F(RoundedLayers, a_frozen_head_passes_on_the_gradient_of_its_formula) {
  const int64_t rows = 150;
  for (Storage storage : {Storage::kBFloat16, Storage::kInt8}) {
    for (int64_t vocab : {301, 11002}) {  // rows of the logits in whole words or not
      const at::Tensor weight = frozen({vocab, 24}, storage), hidden = at::randn({rows, 24}) * 3;
      const at::Tensor targets = at::randint(vocab, {rows}, at::kLong), factor = at::rand({rows});
      const at::Tensor a = leaf(hidden), b = wide_leaf(hidden);
      const at::Tensor found = linear_nll(a, weight, targets, factor);
      const at::Tensor exact =
          -(at::log_softmax(at::mm(b, wide(weight).t()), 1).gather(1, targets.unsqueeze(1)) *
            factor.unsqueeze(1))
               .sum();
      EXPECT_LT(relative_difference(found.to(at::kDouble), exact), 1e-3);
      found.backward();
      exact.backward();
      expect_rounded(a.grad(), b.grad(), 8e-3, fmt::format("vocabulary of {}", vocab));
    }
  }
}

// Operands and results that are bfloat16 already: the fp32 ones, rounded.
TEST_F(RoundedLayers, products_take_and_give_bfloat16) {
  for (Storage storage : {Storage::kBFloat16, Storage::kInt8}) {
    for (int64_t in : {33, 70, 5300}) {
      const at::Tensor weight = frozen({86, in}, storage), x = at::randn({205, in});
      const std::vector<at::Tensor> none{at::Tensor()};
      at::Tensor sums = at::empty({205, 86}), rounded = at::empty({205, 86}, at::kBFloat16);
      weights_product_out(sums, x, {weight}, none);
      weights_product_out(rounded, rounded_rows(x), {weight}, none);
      EXPECT_TRUE(at::equal(sums.to(at::kBFloat16), rounded)) << in;
      at::Tensor added = at::ones({205, 86});
      if (storage == Storage::kInt8) {  // scales would multiply what was there
        EXPECT_THROW(add_weight_product(added, rounded_rows(x), weight), Error);
      } else {
        add_weight_product(added, rounded_rows(x), weight);
        EXPECT_LT(largest_difference(added, sums + 1), 1e-4) << in;
      }

      at::Tensor g = at::randn({205, 86});
      at::Tensor back = at::empty({205, in}), back_rounded = at::empty({205, in}, at::kBFloat16);
      transposed_product_out(back, g, {weight});
      const float* scales = row_scales(weight);
      for (int64_t o = 0; scales != nullptr && o < 86; ++o) g.select(1, o).mul_(scales[o]);
      transposed_product_out(back_rounded, rounded_rows(g), {weight});
      EXPECT_TRUE(at::equal(back.to(at::kBFloat16), back_rounded)) << in;
      at::Tensor back_added = at::ones({205, in});
      add_transposed_product(back_added, rounded_rows(g), weight);
      EXPECT_LT(largest_difference(back_added, back + 1), 1e-4) << in;
    }
  }
}

// Below each other, whatever their types, and pairs of rows from two of them.
TEST_F(RoundedLayers, transposed_products_sum_over_all_weights) {
  const std::vector<at::Tensor> weights{frozen({33, 70}, Storage::kBFloat16),
                                        frozen({40, 70}, Storage::kInt8),
                                        frozen({5105, 70}, Storage::kBFloat16)};
  const at::Tensor g = at::randn({130, 33 + 40 + 5105});
  at::Tensor back = at::empty({130, 70}), rounded = at::empty({130, 70}, at::kBFloat16);
  transposed_product_out(back, g, weights);
  transposed_product_out(rounded, g, weights);
  EXPECT_TRUE(at::equal(back.to(at::kBFloat16), rounded));
  at::Tensor sum = at::zeros({130, 70}), part = at::empty({130, 70});
  int64_t column = 0;
  for (const at::Tensor& weight : weights) {
    transposed_product_out(part, g.narrow(1, column, weight.size(0)), {weight});
    sum += part;
    column += weight.size(0);
  }
  EXPECT_LT(largest_difference(back, sum), 1e-3);
}

TEST_F(RoundedLayers, no_rows_are_no_work) {
  const at::Tensor weight = frozen({70, 36}, Storage::kBFloat16);
  at::Tensor back = at::empty({0, 36}), out = at::empty({0, 70}, at::kBFloat16);
  transposed_product_out(back, at::empty({0, 70}), {weight});
  weights_product_out(out, rounded_rows(at::empty({0, 36})), {weight}, {at::Tensor()});
  const at::Tensor x = at::empty({0, 36}, at::kFloat).requires_grad_(true);
  linear(x, {{weight, {}, leaf(at::randn({4, 36})), leaf(at::randn({70, 4})), 1.0, {}}})
      .sum()
      .backward();
  EXPECT_EQ(x.grad().size(0), 0);
}

TEST_F(RoundedLayers, bfloat16_beside_weights_that_do_not_round_is_refused) {
  at::Tensor out = at::empty({4, 6});
  const at::Tensor weight = at::randn({6, 8});
  EXPECT_THROW(weights_product_out(out, rounded_rows(at::randn({4, 8})), {weight}, {at::Tensor()}),
               Error);
  at::Tensor back = at::empty({4, 8});
  EXPECT_THROW(transposed_product_out(back, rounded_rows(at::randn({4, 6})), {weight}), Error);
}

}  // namespace
}  // namespace etrlrec
