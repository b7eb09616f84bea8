// Sampling: probabilities equal to Transformers', draws distributed by them, log-probabilities of
// the unmodified model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "engine/sampling.h"

namespace etrlrec {
namespace {

std::vector<float> normal_logits(int64_t n, double scale = 2) {
  Rng rng(4, "logits");
  std::vector<float> logits(static_cast<size_t>(n));
  for (float& x : logits) x = static_cast<float>(scale * rng.normal());
  return logits;
}

TEST(Sampling, gives_the_probabilities_of_transformers) {
  const std::string path =
      std::string(ETRLREC_SOURCE_DIR) + "/../shared/golden/sampling/golden.json";
  if (!fs::exists(path)) GTEST_SKIP() << "no golden file at " << path;
  const Json golden = read_json(path);
  SamplingScratch scratch;
  int checked = 0;
  for (const Json& entry : golden.at("cases")) {
    SamplingOptions options;
    bool known = true;
    for (const auto& [key, value] : entry.at("options").items()) {
      if (key == "temperature")
        options.temperature = value;
      else if (key == "top_k")
        options.top_k = value;
      else if (key == "top_p")
        options.top_p = value;
      else
        known = false;
    }
    if (!known) continue;
    const Json& vector = golden.at("vectors").at(entry.at("vector").get<std::string>());
    const Json& scores = vector.is_object() ? vector.at("logits") : vector;
    std::vector<float> logits;
    for (const Json& x : scores)
      logits.push_back(x.is_number() ? x.get<float>() : -std::numeric_limits<float>::infinity());
    sampling_probabilities(logits, options, scratch);
    const Json& gap = entry.at("top_p_boundary_gap");
    const bool is_clear = gap.is_null() || gap.get<double>() > 1e-6;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double expected = entry.at("probs")[i];
      EXPECT_NEAR(scratch.probabilities[i], expected, 1e-6) << entry.dump();
      if (is_clear && (expected == 0 || expected > 1e-35)) {  // between: fp32 underflow
        EXPECT_EQ(scratch.probabilities[i] > 1e-40f, expected > 0) << i << entry.dump();
      }
    }
    ++checked;
  }
  EXPECT_GE(checked, 10);
}

TEST(Sampling, draws_every_id_as_often_as_its_probability_says) {
  const auto logits = normal_logits(150, 1);  // more than two blocks and a rest
  SamplingScratch scratch;
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{.temperature = 0.6},
        SamplingOptions{.temperature = 1.3, .top_k = 20, .top_p = 0.8}}) {
    sampling_probabilities(logits, options, scratch);
    const std::vector<float> expected = scratch.probabilities;
    std::vector<int> counts(logits.size());
    Rng rng(5, "draws");
    const int draws = 100000;
    for (int i = 0; i < draws; ++i)
      ++counts[static_cast<size_t>(sample_token(logits, options, rng, scratch).id)];
    double chi2 = 0;
    int cells = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      const double mean = expected[i] * draws;
      if (mean == 0) {
        EXPECT_EQ(counts[i], 0);
      }
      if (mean < 5) continue;
      chi2 += (counts[i] - mean) * (counts[i] - mean) / mean;
      ++cells;
    }
    EXPECT_LT(chi2, cells + 4 * std::sqrt(2.0 * cells));  // four standard deviations
  }
}

TEST(Sampling, records_the_logprob_of_the_unmodified_model) {
  const auto logits = normal_logits(1000);
  double total = 0;
  for (float x : logits) total += std::exp(static_cast<double>(x));
  SamplingScratch scratch;
  EXPECT_NEAR(log_normalizer(logits, scratch), std::log(total), 1e-5);
  Rng rng(6, "logprob");
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{.temperature = 2, .top_k = 5},
        SamplingOptions{.temperature = 0}}) {
    const SampledToken token = sample_token(logits, options, rng, scratch);
    EXPECT_NEAR(token.logprob, logits[static_cast<size_t>(token.id)] - std::log(total), 1e-5);
  }
}

TEST(Sampling, is_greedy_at_temperature_zero) {
  std::vector<float> logits = normal_logits(70);
  logits[3] = logits[66] = 50;
  SamplingScratch scratch;
  Rng rng(7, "greedy");
  const auto before = rng.state();
  EXPECT_EQ(sample_token(logits, {.temperature = 0}, rng, scratch).id, 3);
  EXPECT_EQ(rng.state(), before);
}

TEST(Sampling, gives_nan_for_logits_that_are_not_finite) {
  SamplingScratch scratch;
  Rng rng(8, "nan");
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits = normal_logits(70);
    logits[40] = bad;
    EXPECT_FALSE(std::isfinite(sample_token(logits, {}, rng, scratch).logprob));
  }
}

TEST(Sampling, refuses_impossible_options) {
  EXPECT_THROW(check_sampling({.temperature = -1}), Error);
  EXPECT_THROW(check_sampling({.top_k = -1}), Error);
  EXPECT_THROW(check_sampling({.top_p = 0}), Error);
  EXPECT_THROW(check_sampling({.top_p = 1.5}), Error);
  EXPECT_NO_THROW(check_sampling({}));
}

}  // namespace
}  // namespace etrlrec
