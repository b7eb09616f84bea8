// Attention of a tile against softmax in fp64 and its gradient by the formula, on every instruction
// set; rotation and the row passes against their formulas.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "isa_scope.h"
#include "kernels/attention_kernel.h"
#include "kernels/row_kernels.h"

namespace etrlrec {
namespace {

using simd::padded;

std::vector<float> random_values(int64_t count, const std::string& name) {
  Rng rng(1, name);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = static_cast<float>(rng.normal());
  return out;
}

// [rows, columns] with rows padded(columns) apart and zeros after them.
std::vector<float> random_rows(int64_t rows, int64_t columns, const std::string& name) {
  std::vector<float> out = random_values(rows * padded(columns), name);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = columns; i < padded(columns); ++i)
      out[static_cast<size_t>(r * padded(columns) + i)] = 0;
  return out;
}

std::vector<float> blocked(const std::vector<float>& rows, int64_t count, int64_t dim) {
  std::vector<float> blocks(static_cast<size_t>(padded(count) * dim), 0.5f);
  for (int64_t j = 0; j < count; ++j)
    put_blocked(blocks.data(), j, rows.data() + j * padded(dim), dim);
  return blocks;
}

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

// A tile of queries of which row i sees the keys [first_seen[i], first_visible + i].
struct Tile {
  int64_t rows, keys, dim, first_visible;
  std::vector<float> query = random_rows(rows, dim, "query"), key = random_rows(keys, dim, "key"),
                     value = random_rows(keys, dim, "value"), out = random_rows(rows, dim, "out");
  std::vector<int64_t> first_seen = {};
  int64_t width() const { return padded(dim); }

  std::vector<double> probabilities(int64_t i) const {
    std::vector<double> p(static_cast<size_t>(keys), 0.0);
    double sum = 0;
    for (int64_t j = first_seen[static_cast<size_t>(i)]; j < std::min(keys, first_visible + i + 1);
         ++j)
      sum += p[static_cast<size_t>(j)] =
          std::exp(dot(query.data() + i * width(), key.data() + j * width(), dim));
    for (double& x : p) x = sum > 0 ? x / sum : 0;
    return p;
  }
};

void expect_attention(const Tile& t) {
  const int64_t width = t.width();
  const std::vector<float> key_blocks = blocked(t.key, t.keys, t.dim),
                           value_blocks = blocked(t.value, t.keys, t.dim);
  KeySpan span;
  span.count = t.keys;
  span.key_blocks = key_blocks.data();
  span.value_rows = t.value.data();
  span.key_rows = t.key.data();
  span.value_blocks = value_blocks.data();
  const QueryTile tile{t.rows, t.dim, t.query.data(), t.first_seen.data()};
  const auto count = static_cast<size_t>(t.rows);
  std::vector<float> maximum(count, -1e30f), sum(count, 0), output(count * width, 0.0f),
      scores(2 * kTileRows * kKeyBlock);
  attend(tile, span, t.first_visible, {maximum.data(), sum.data(), output.data()}, scores.data());
  std::vector<float> logsumexp(count), delta(count);
  std::vector<double> query_g(output.size(), 0), key_g(t.key.size(), 0), value_g(t.key.size(), 0);
  for (int64_t i = 0; i < t.rows; ++i) {
    const std::vector<double> p = t.probabilities(i);
    const float* g = t.out.data() + i * width;
    double expected_delta = 0;
    for (int64_t d = 0; d < t.dim; ++d) {
      double expected = 0;
      for (int64_t j = 0; j < t.keys; ++j) expected += p[j] * t.value[j * width + d];
      EXPECT_NEAR(output[i * width + d] / sum[i], expected, 1e-5) << i;
      expected_delta += expected * g[d];
    }
    logsumexp[i] = maximum[i] + std::log(sum[i]);
    delta[i] = static_cast<float>(expected_delta);
    for (int64_t j = 0; j < t.keys; ++j) {
      const double ds = p[j] * (dot(g, t.value.data() + j * width, t.dim) - expected_delta);
      for (int64_t d = 0; d < t.dim; ++d) {
        query_g[i * width + d] += ds * t.key[j * width + d];
        key_g[j * width + d] += ds * t.query[i * width + d];
        value_g[j * width + d] += p[j] * g[d];
      }
    }
  }
  std::vector<float> query(output.size(), 0.0f), key(t.key.size(), 0.0f), value(t.key.size(), 0.0f);
  attend_backward(
      tile, span, t.first_visible,
      {t.out.data(), logsumexp.data(), delta.data(), query.data(), key.data(), value.data()},
      scores.data());
  for (size_t i = 0; i < query.size(); ++i) EXPECT_NEAR(query[i], query_g[i], 2e-5);
  for (size_t i = 0; i < key.size(); ++i) {
    EXPECT_NEAR(key[i], key_g[i], 5e-5);
    EXPECT_NEAR(value[i], value_g[i], 5e-5);
  }
}

TEST(AttentionKernel, a_tile_is_softmax_and_its_gradient) {
  for (simd::Isa isa : instruction_sets()) {
    const IsaScope scope(isa);
    for (int64_t dim : {4, 16, 24}) {
      for (const auto& [rows, keys, first_visible] :
           {std::array<int64_t, 3>{1, 1, 0}, {5, 5, 0}, {32, 150, 118}, {7, 20, kAllKeys}}) {
        Tile t{rows, keys, dim, first_visible};
        for (int64_t i = 0; i < rows; ++i)
          t.first_seen.push_back(i % 3 == 2 ? std::min<int64_t>(i, keys - 1) : 0);
        expect_attention(t);
      }
    }
  }
}

TEST(AttentionKernel, rotation_turns_pairs_and_back) {
  const std::vector<float> x = random_values(12, "x"), angle = random_values(6, "angle");
  std::vector<float> cos(6), sin(6), out(12), back(12);
  for (size_t i = 0; i < 6; ++i) cos[i] = std::cos(angle[i]), sin[i] = std::sin(angle[i]);
  rotate(x.data(), out.data(), 12, {cos.data(), sin.data()}, 0.5f, false);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(out[i], 0.5f * (x[i] * cos[i] - x[i + 6] * sin[i]), 1e-6);
    EXPECT_NEAR(out[i + 6], 0.5f * (x[i + 6] * cos[i] + x[i] * sin[i]), 1e-6);
  }
  rotate(out.data(), back.data(), 12, {cos.data(), sin.data()}, 2, true);
  for (size_t i = 0; i < 12; ++i) EXPECT_NEAR(back[i], x[i], 1e-6);
}

TEST(RowKernels, rms_norm_swiglu_and_softmax_are_their_formulas) {
  const int64_t n = 37;
  for (simd::Isa isa : instruction_sets()) {
    const IsaScope scope(isa);
    const std::vector<float> x = random_values(2 * n, "x"), weight = random_values(n, "weight");
    std::vector<float> out(2 * n), inverse(2);
    RmsNormRows norm;
    norm.x = x.data(), norm.weight = weight.data(), norm.out = out.data();
    norm.inverse_rms = inverse.data(), norm.columns = n, norm.eps = 1e-5f;
    rms_norm_rows(norm, 0, 2);
    for (int64_t row = 0; row < 2; ++row) {
      const double rms = std::sqrt(dot(x.data() + row * n, x.data() + row * n, n) / n + 1e-5);
      for (int64_t i = 0; i < n; ++i)
        EXPECT_NEAR(out[row * n + i], x[row * n + i] / rms * weight[i], 1e-5);
    }
    std::vector<float> gated(n);
    swiglu_rows(x.data(), gated.data(), n, 0, 1);
    for (int64_t i = 0; i < n; ++i)
      EXPECT_NEAR(gated[i], x[i] / (1 + std::exp(-x[i])) * x[n + i], 1e-5);
    std::vector<float> p = x, logsumexp(2), entropy(2);
    const std::vector<float> factor{1, 3};
    softmax_rows({p.data(), 2, n, logsumexp.data(), entropy.data(), factor.data()});
    for (int64_t row = 0; row < 2; ++row) {
      double sum = 0, expected_entropy = 0;
      for (int64_t i = 0; i < n; ++i) sum += std::exp(double{x[row * n + i]});
      for (int64_t i = 0; i < n; ++i) {
        const double q = std::exp(double{x[row * n + i]}) / sum;
        expected_entropy -= q * std::log(q);
        EXPECT_NEAR(p[row * n + i], factor[row] * q, 1e-6);
      }
      EXPECT_NEAR(logsumexp[row], std::log(sum), 1e-5);
      EXPECT_NEAR(entropy[row], expected_entropy, 1e-5);
    }
  }
}

}  // namespace
}  // namespace etrlrec
