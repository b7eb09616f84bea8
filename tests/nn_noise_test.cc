// Dropout and NEFTune noise: rates, masks of backward passes, golden values, forests.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/check.h"
#include "base/json.h"
#include "golden_path.h"
#include "nn/noise.h"
#include "nn/safetensors.h"
#include "threads_scope.h"

namespace etrlrec {
namespace {

TEST(Dropout, keeps_the_mean_and_repeats_its_mask_in_the_backward_pass) {
  at::Tensor x = at::ones({300, 100}).requires_grad_();
  const at::Tensor y = masked_dropout(x, {0.2, 99});
  EXPECT_NEAR((y == 0).to(at::kFloat).mean().item<double>(), 0.2, 0.01);
  EXPECT_NEAR(y.max().item<double>(), 1.25, 1e-6);
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), y));
  EXPECT_TRUE(at::equal(y, masked_dropout(x, {0.2, 99})));
  EXPECT_FALSE(at::equal(y, masked_dropout(x, {0.2, 98})));
  EXPECT_TRUE(at::equal(masked_dropout(x, {}), x));
  EXPECT_THROW(masked_dropout(x, {1.0, 1}), Error);
}

TEST(Dropout, does_not_depend_on_the_number_of_threads) {
  const at::Tensor x = at::ones({500, 101});
  const ThreadsScope single(1);
  const at::Tensor one = masked_dropout(x, {0.5, 7});
  const ThreadsScope several(3);
  const at::Tensor three = masked_dropout(x, {0.5, 7});
  EXPECT_TRUE(at::equal(one, three));
}

TEST(UniformNoise, covers_its_range_evenly) {
  const at::Tensor noise = uniform_noise(400, 250, 3);
  EXPECT_GE(noise.min().item<double>(), -1);
  EXPECT_LT(noise.max().item<double>(), 1);
  EXPECT_NEAR(noise.mean().item<double>(), 0, 0.01);
  EXPECT_NEAR(noise.square().mean().item<double>(), 1.0 / 3, 0.01);
  EXPECT_FALSE(at::equal(noise, uniform_noise(400, 250, 4)));
}

// Rows of the padded golden tensors without their padding.
at::Tensor packed(const at::Tensor& padded, const at::Tensor& mask) {
  std::vector<at::Tensor> rows;
  for (int64_t r = 0; r < padded.size(0); ++r)
    rows.push_back(padded[r].narrow(0, 0, mask[r].sum().item<int64_t>()));
  return at::cat(rows, 0);
}

TEST(Neftune, equals_the_golden_values_of_both_forms) {
  const std::filesystem::path folder = golden_path() / "peft/neftune";
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const double alpha = read_json(folder / "golden.json")["alpha"].get<double>();
  const at::Tensor mask = golden.at("attention_mask");
  TokenForest forest;
  for (int64_t r = 0; r < mask.size(0); ++r)
    forest.add(-1, std::vector<int64_t>(static_cast<size_t>(mask[r].sum().item<int64_t>()), 0));
  const at::Tensor embeddings = packed(golden.at("embeddings"), mask),
                   unit = packed(golden.at("unit_noise"), mask);
  const auto expect = [&](NeftuneLength length, const char* name) {
    const at::Tensor found =
        embeddings + unit * neftune_magnitudes(forest, embeddings.size(1), alpha, length);
    const double difference = (found - packed(golden.at(name), mask)).abs().max().item<double>();
    EXPECT_LT(difference, 1e-6) << name;
    testing::Test::RecordProperty(name, fmt::format("{:.2g}", difference));
  };
  expect(NeftuneLength::kBatch, "output_transformers");
  expect(NeftuneLength::kRow, "output_per_row_length");
}

TEST(Neftune, a_shared_prefix_has_the_length_of_its_longest_row) {
  TokenForest forest;
  const int64_t root = forest.add(-1, std::vector<int64_t>(4, 0));
  forest.add(root, std::vector<int64_t>(2, 0));
  forest.add(root, std::vector<int64_t>(5, 0));
  forest.add(-1, std::vector<int64_t>(1, 0));
  const at::Tensor found = neftune_magnitudes(forest, 1, 6).view(-1);
  const auto expect = [&](int64_t token, double length) {
    EXPECT_FLOAT_EQ(found[token].item<float>(), static_cast<float>(6 / std::sqrt(length))) << token;
  };
  expect(0, 9);
  expect(4, 6);
  expect(6, 9);
  expect(11, 1);
}

}  // namespace
}  // namespace etrlrec
