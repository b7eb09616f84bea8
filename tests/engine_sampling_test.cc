// Sampling: probabilities equal to Transformers', draws distributed by them, log-probabilities of
// the unmodified model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "engine/logits_processor.h"
#include "engine/sampling.h"
#include "golden_path.h"

namespace etrlrec {
namespace {

std::vector<float> normal_logits(int64_t n, double scale = 2) {
  Rng rng(4, "logits");
  std::vector<float> logits(static_cast<size_t>(n));
  for (float& x : logits) x = static_cast<float>(scale * rng.normal());
  return logits;
}

SamplingOptions golden_options(const Json& json) {
  SamplingOptions options;
  for (const auto& [key, value] : json.items()) {
    if (key == "top_k") {
      options.top_k = value;
    } else {
      std::map<std::string, double*> fields{{"temperature", &options.temperature},
                                            {"top_p", &options.top_p},
                                            {"min_p", &options.min_p},
                                            {"typical_p", &options.typical_p},
                                            {"repetition_penalty", &options.repetition_penalty}};
      *fields.at(key) = value;
    }
  }
  return options;
}

TEST(Sampling, gives_the_probabilities_of_transformers) {
  const Json golden = read_json(golden_path() / "sampling/golden.json");
  const auto previous = golden.at("previous_tokens").get<std::vector<int64_t>>();
  SamplingScratch scratch;
  size_t checked = 0;
  for (const Json& entry : golden.at("cases")) {
    const SamplingOptions options = golden_options(entry.at("options"));
    const Json& vector = golden.at("vectors").at(entry.at("vector").get<std::string>());
    std::vector<float> logits;
    for (const Json& x : vector)
      logits.push_back(x.is_number() ? x.get<float>() : -std::numeric_limits<float>::infinity());
    sampling_probabilities(process_logits(logits, {previous, {}}, options, {}, scratch), options,
                           scratch);
    const Json& gap = entry.at("top_p_boundary_gap");
    const bool is_clear = gap.is_null() || gap.get<double>() > 1e-6;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double expected = entry.at("probs")[i];
      EXPECT_NEAR(scratch.probabilities[i], expected, 1e-6)
          << entry.at("vector") << entry.at("options") << i;
      if (is_clear && (expected == 0 || expected > 1e-35)) {  // between: fp32 underflow
        EXPECT_EQ(scratch.probabilities[i] > 1e-40f, expected > 0)
            << entry.at("vector") << entry.at("options") << i;
      }
    }
    ++checked;
  }
  EXPECT_EQ(checked, golden.at("cases").size());
  EXPECT_GE(checked, 100u);
}

TEST(Sampling, forbids_what_the_tokens_so_far_rule_out) {
  const std::vector<float> logits{1, -1, 2, 0.5, 3};
  const std::vector<int64_t> prompt{1, 2, 3}, completion{1, 2};
  SamplingScratch scratch;
  const auto processed = [&](const SamplingOptions& options, std::vector<int64_t> forbidden) {
    const auto row = process_logits(logits, {prompt, completion}, options, forbidden, scratch);
    return std::vector<float>(row.begin(), row.end());
  };
  const float off = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(processed({}, {}), logits);
  EXPECT_EQ(processed({}, {0, 4}), (std::vector<float>{off, -1, 2, 0.5, off}));
  EXPECT_EQ(processed({.repetition_penalty = 2}, {}), (std::vector<float>{1, -2, 1, 0.25, 3}));
  EXPECT_EQ(processed({.no_repeat_ngram_size = 1}, {}), (std::vector<float>{1, off, off, off, 3}));
  EXPECT_EQ(processed({.no_repeat_ngram_size = 2}, {}), (std::vector<float>{1, -1, 2, off, 3}));
  EXPECT_EQ(processed({.no_repeat_ngram_size = 3}, {}), (std::vector<float>{1, -1, 2, off, 3}));
  EXPECT_EQ(processed({.no_repeat_ngram_size = 4}, {}), logits);
  EXPECT_EQ(processed({.no_repeat_ngram_size = 9}, {}), logits);
  EXPECT_TRUE(depends_on_tokens({.repetition_penalty = 2}));
  EXPECT_TRUE(depends_on_tokens({.no_repeat_ngram_size = 2}));
  EXPECT_FALSE(depends_on_tokens({.min_p = 0.1}));
}

TEST(Sampling, never_draws_a_forbidden_id) {
  std::vector<float> logits = normal_logits(130, 1);
  for (size_t i = 0; i < logits.size(); ++i)
    if (i % 3 != 1) logits[i] = -std::numeric_limits<float>::infinity();
  SamplingScratch scratch;
  Rng rng(5, "forbidden");
  for (const SamplingOptions& options : {SamplingOptions{}, SamplingOptions{.temperature = 0},
                                         SamplingOptions{.min_p = 0.1, .typical_p = 0.8}})
    for (int i = 0; i < 20000; ++i)
      ASSERT_EQ(sample_token(logits, options, rng, scratch).id % 3, 1);
}

TEST(Sampling, draws_every_id_as_often_as_its_probability_says) {
  const auto logits = normal_logits(150, 1);  // more than two blocks and a rest
  SamplingScratch scratch;
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{.temperature = 0.6},
        SamplingOptions{.temperature = 1.3, .top_k = 20, .top_p = 0.8},
        SamplingOptions{.min_p = 0.05, .typical_p = 0.9}}) {
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
  EXPECT_THROW(check_sampling({.min_p = -0.1}), Error);
  EXPECT_THROW(check_sampling({.typical_p = 0}), Error);
  EXPECT_THROW(check_sampling({.repetition_penalty = 0}), Error);
  EXPECT_THROW(check_sampling({.no_repeat_ngram_size = -1}), Error);
  EXPECT_NO_THROW(check_sampling({}));
}

}  // namespace
}  // namespace etrlrec
