#include "engine/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "kernels/vectorize.h"

namespace etrlrec {
namespace {

constexpr int64_t kBlock = 64;     // logits per partial sum
constexpr float kLowest = -86.0f;  // exp below it counts as exp(kLowest) = 4e-38

// e^x for x <= 0 to 3e-7 relative: 2^n from the exponent bits times a polynomial on [-ln2/2,
// ln2/2].
[[gnu::always_inline]] inline float exp_of(float x) {
  x = x < kLowest ? kLowest : x;
  const auto n =
      static_cast<int32_t>(x * 1.44269504f - 0.5f);  // x <= 0: truncation rounds to nearest
  const float t =
      (x - static_cast<float>(n) * 0.693359375f) + static_cast<float>(n) * 2.12194440e-4f;
  float p = 1.0f / 5040;
  p = p * t + 1.0f / 720;
  p = p * t + 1.0f / 120;
  p = p * t + 1.0f / 24;
  p = p * t + 1.0f / 6;
  p = p * t + 0.5f;
  p = p * t + 1.0f;
  p = p * t + 1.0f;
  const int32_t bits = (n + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

ETRLREC_VECTORIZE float maximum(const float* x, int64_t n) {
  float best[kBlock];
  for (int64_t j = 0; j < kBlock; ++j) best[j] = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock)
    for (int64_t j = 0; j < kBlock; ++j) best[j] = x[i + j] > best[j] ? x[i + j] : best[j];
  for (; i < n; ++i) best[0] = x[i] > best[0] ? x[i] : best[0];
  float top = best[0];
  for (int64_t j = 1; j < kBlock; ++j) top = best[j] > top ? best[j] : top;
  return top;
}

// out[j] = exp((x[j] - shift) * scale); returns the sum.
ETRLREC_VECTORIZE float exp_block(const float* x, int64_t n, float shift, float scale, float* out) {
  float sum = 0;
  if (n == kBlock) {
    for (int64_t j = 0; j < kBlock; ++j) out[j] = exp_of((x[j] - shift) * scale);
    for (int64_t j = 0; j < kBlock; ++j) sum += out[j];
  } else {
    for (int64_t j = 0; j < n; ++j) sum += out[j] = exp_of((x[j] - shift) * scale);
  }
  return sum;
}

// Sum over the row; sums[b] over block b.
double exp_sums(std::span<const float> x, float shift, float scale, std::vector<float>& sums) {
  const auto n = static_cast<int64_t>(x.size());
  float values[kBlock];
  sums.resize(static_cast<size_t>((n + kBlock - 1) / kBlock));
  double total = 0;
  for (size_t b = 0; b < sums.size(); ++b) {
    const int64_t begin = static_cast<int64_t>(b) * kBlock;
    sums[b] = exp_block(x.data() + begin, std::min(kBlock, n - begin), shift, scale, values);
    total += sums[b];
  }
  return total;
}

// Inverse of the cumulative sum: first the block, then inside it.
int64_t find_cumulative(std::span<const float> x, float shift, float scale, double target,
                        const std::vector<float>& sums) {
  size_t block = 0;
  while (block + 1 < sums.size() && target >= sums[block]) target -= sums[block++];
  const int64_t begin = static_cast<int64_t>(block) * kBlock;
  const int64_t count = std::min(kBlock, static_cast<int64_t>(x.size()) - begin);
  float values[kBlock];
  exp_block(x.data() + begin, count, shift, scale, values);
  int64_t j = 0;
  while (j + 1 < count && target >= values[j]) target -= values[j++];
  return begin + j;
}

int64_t first_maximum(std::span<const float> x) {
  return std::max_element(x.begin(), x.end()) - x.begin();
}

bool is_plain(const SamplingOptions& options, size_t choices) {
  return options.top_p >= 1 && options.min_p <= 0 && options.typical_p >= 1 &&
         (options.top_k <= 0 || options.top_k >= static_cast<int64_t>(choices));
}

// Draws from scratch.probabilities, which sum to 1 up to rounding.
int64_t draw(Rng& rng, const std::vector<float>& probabilities) {
  double left = rng.uniform();
  int64_t last = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] == 0) continue;
    last = static_cast<int64_t>(i);
    left -= probabilities[i];
    if (left < 0) break;
  }
  return last;
}

// Indices that survive top-k (all ties of the k-th stay) in scratch.order.
void keep_top_k(std::span<const float> logits, int64_t top_k, SamplingScratch& scratch) {
  scratch.order.resize(logits.size());
  std::iota(scratch.order.begin(), scratch.order.end(), 0);
  if (top_k <= 0 || top_k >= static_cast<int64_t>(logits.size())) return;
  scratch.sums.assign(logits.begin(), logits.end());
  std::nth_element(scratch.sums.begin(), scratch.sums.begin() + top_k - 1, scratch.sums.end(),
                   std::greater<>());
  const float threshold = scratch.sums[static_cast<size_t>(top_k) - 1];
  std::erase_if(scratch.order,
                [&](int64_t i) { return logits[static_cast<size_t>(i)] < threshold; });
}

// Sets the probabilities that top-p cuts off to 0: those whose ascending cumulative sum stays at or
// below 1 - top_p. Of equal tokens the one with the lower index goes first; the last one always
// stays.
void cut_top_p(double top_p, SamplingScratch& scratch) {
  std::vector<float>& p = scratch.probabilities;
  std::vector<int64_t>& order = scratch.order;
  const auto value = [&p](int64_t i) { return p[static_cast<size_t>(i)]; };
  // Tokens below (1 - top_p) / n are the lowest and cannot exceed the sum together: they need no
  // sorting.
  const double floor = (1 - top_p) / static_cast<double>(order.size());
  double cumulative = 0;
  const float highest = value(*std::max_element(
      order.begin(), order.end(), [&](int64_t a, int64_t b) { return value(a) < value(b); }));
  std::erase_if(order, [&](int64_t i) {
    if (value(i) >= floor || value(i) == highest) return false;
    cumulative += value(i);
    p[static_cast<size_t>(i)] = 0;
    return true;
  });
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return value(a) < value(b); });
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    cumulative += value(order[i]);
    if (cumulative > 1 - top_p) break;
    p[static_cast<size_t>(order[i])] = 0;
  }
}

// Cuts what is below min_p times the highest probability.
void cut_min_p(double min_p, SamplingScratch& scratch) {
  std::vector<float>& p = scratch.probabilities;
  const float lowest = static_cast<float>(min_p) * *std::max_element(p.begin(), p.end());
  for (int64_t i : scratch.order)
    if (p[static_cast<size_t>(i)] < lowest) p[static_cast<size_t>(i)] = 0;
}

// Keeps the tokens whose surprise is nearest to the entropy until their probabilities reach the
// mass; all ties of the last one stay.
void cut_typical_p(double typical_p, SamplingScratch& scratch) {
  std::vector<float>& p = scratch.probabilities;
  std::erase_if(scratch.order, [&](int64_t i) { return p[static_cast<size_t>(i)] == 0; });
  double entropy = 0;
  for (int64_t i : scratch.order)
    entropy -= p[static_cast<size_t>(i)] * std::log(static_cast<double>(p[static_cast<size_t>(i)]));
  std::vector<std::pair<double, int64_t>> distances;
  for (int64_t i : scratch.order)
    distances.emplace_back(
        std::abs(std::log(static_cast<double>(p[static_cast<size_t>(i)])) + entropy), i);
  std::sort(distances.begin(), distances.end());
  double cumulative = 0;
  size_t last = 0;
  for (; last + 1 < distances.size(); ++last) {
    cumulative += p[static_cast<size_t>(distances[last].second)];
    if (cumulative >= typical_p) break;
  }
  for (const auto& [distance, i] : distances)
    if (distance > distances[last].first) p[static_cast<size_t>(i)] = 0;
}

}  // namespace

void check_sampling(const SamplingOptions& options) {
  CHECK(std::isfinite(options.temperature) && options.temperature >= 0, kUsage,
        "--temperature: expected a number >= 0, found {}", options.temperature);
  CHECK(options.top_p > 0 && options.top_p <= 1, kUsage,
        "--top-p: expected a number in (0, 1], found {}", options.top_p);
  CHECK(options.top_k >= 0, kUsage, "--top-k: expected a number >= 0, found {}", options.top_k);
  CHECK(options.min_p >= 0 && options.min_p <= 1, kUsage,
        "--min-p: expected a number in [0, 1], found {}", options.min_p);
  CHECK(options.typical_p > 0 && options.typical_p <= 1, kUsage,
        "--typical-p: expected a number in (0, 1], found {}", options.typical_p);
  CHECK(std::isfinite(options.repetition_penalty) && options.repetition_penalty > 0, kUsage,
        "--repetition-penalty: expected a number > 0, found {}", options.repetition_penalty);
  CHECK(options.no_repeat_ngram_size >= 0, kUsage,
        "--no-repeat-ngram-size: expected a number >= 0, found {}", options.no_repeat_ngram_size);
}

float log_normalizer(std::span<const float> logits, SamplingScratch& scratch) {
  const float top = maximum(logits.data(), static_cast<int64_t>(logits.size()));
  return top + static_cast<float>(std::log(exp_sums(logits, top, 1, scratch.sums)));
}

void sampling_probabilities(std::span<const float> logits, const SamplingOptions& options,
                            SamplingScratch& scratch) {
  std::vector<float>& p = scratch.probabilities;
  p.assign(logits.size(), 0);
  if (options.temperature == 0) {
    p[static_cast<size_t>(first_maximum(logits))] = 1;
    return;
  }
  keep_top_k(logits, options.top_k, scratch);
  const auto temperature = static_cast<float>(options.temperature);  // divided in fp32 as there
  const double top = *std::max_element(logits.begin(), logits.end()) / temperature;
  const auto normalize = [&](const auto& weight) {
    double total = 0;
    for (int64_t i : scratch.order) total += weight(static_cast<size_t>(i));
    for (int64_t i : scratch.order)
      p[static_cast<size_t>(i)] = static_cast<float>(weight(static_cast<size_t>(i)) / total);
  };
  normalize([&](size_t i) { return std::exp(static_cast<double>(logits[i] / temperature) - top); });
  const auto cut = [&](bool is_on, double limit, void (*function)(double, SamplingScratch&)) {
    if (!is_on) return;
    function(limit, scratch);
    normalize([&](size_t i) { return static_cast<double>(p[i]); });
  };
  cut(options.top_p < 1, options.top_p, cut_top_p);
  cut(options.min_p > 0, options.min_p, cut_min_p);
  cut(options.typical_p < 1, options.typical_p, cut_typical_p);
}

SampledToken sample_token(std::span<const float> logits, const SamplingOptions& options, Rng& rng,
                          SamplingScratch& scratch) {
  const float top = maximum(logits.data(), static_cast<int64_t>(logits.size()));
  double total = exp_sums(logits, top, 1, scratch.sums);
  const double log_total = top + std::log(total);
  SampledToken token;
  if (options.temperature == 0) {
    token.id = first_maximum(logits);
  } else if (is_plain(options, logits.size())) {
    const auto scale = static_cast<float>(1 / options.temperature);
    if (scale != 1) total = exp_sums(logits, top, scale, scratch.sums);
    token.id = find_cumulative(logits, top, scale, rng.uniform() * total, scratch.sums);
    // A forbidden id after the last allowed one is reached by the rounding of the sums only.
    if (std::isinf(logits[static_cast<size_t>(token.id)])) token.id = first_maximum(logits);
  } else {
    sampling_probabilities(logits, options, scratch);
    token.id = draw(rng, scratch.probabilities);
  }
  token.logprob = static_cast<float>(logits[static_cast<size_t>(token.id)] - log_total);
  return token;
}

int64_t sample_choice(std::span<const float> logprobs, const SamplingOptions& options, Rng& rng,
                      SamplingScratch& scratch) {
  if (options.temperature == 0) return first_maximum(logprobs);
  sampling_probabilities(logprobs, options, scratch);
  return draw(rng, scratch.probabilities);
}

}  // namespace etrlrec
