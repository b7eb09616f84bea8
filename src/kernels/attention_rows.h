// What the attention kernels of all arithmetics share: which keys a row sees, and softmax and its
// gradient on one row of scores. Internal to kernels/.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/attention_tile.h"
#include "kernels/simd.h"

namespace etrlrec {

// A pass over the keys [begin, begin + count) of a span. Row i of the tile sees the keys
// [first_key(i), end_key(i)) of the pass, counted from `begin`; none if that is empty.
struct KeyPass {
  int64_t begin, count, first_visible;
  const int64_t* first_seen;
  int64_t first_key(int64_t row) const {
    return first_seen == nullptr ? 0 : std::clamp<int64_t>(first_seen[row] - begin, 0, count);
  }
  int64_t end_key(int64_t row) const {
    return std::clamp<int64_t>(first_visible + row + 1 - begin, 0, count);
  }
};

// Keys of the span that any row of the tile sees.
inline int64_t num_visible(const QueryTile& tile, const KeySpan& span, int64_t first_visible) {
  return std::min(span.count, first_visible + tile.rows);
}

// Replaces the scores of one row by exp(score - maximum), those outside [first_key, end_key) by 0,
// and updates the running state.
template <int B>
[[gnu::always_inline]] inline void softmax_row(float* row, int64_t first_key, int64_t end_key,
                                               int64_t vecs, float& maximum, float& sum,
                                               float* output, int64_t dim) {
  using simd::kLanes, simd::Vec;
  for (int64_t j = 0; j < first_key; ++j) row[j] = -1e30f;
  for (int64_t j = end_key; j < vecs * kLanes; ++j) row[j] = -1e30f;
  Vec<B> top, x;
  load(top, row);
  for (int64_t v = 1; v < vecs; ++v) {
    load(x, row + v * kLanes);
    simd::maximum(top, x);
  }
  const float new_maximum = std::max(maximum, max_lane(top));
  Vec<B> total;
  fill(total, 0.0f);
  for (int64_t v = 0; v < vecs; ++v) {
    load(x, row + v * kLanes);
    shift(x, -new_maximum);
    exponential(x);
    store(row + v * kLanes, x);
    add(total, x);
  }
  for (int64_t j = 0; j < first_key; ++j) row[j] = 0;
  for (int64_t j = end_key; j < vecs * kLanes; ++j) row[j] = 0;
  if (new_maximum > maximum && sum > 0) {
    const float shrink = std::exp(maximum - new_maximum);
    sum *= shrink;
    for (int64_t d = 0; d < dim; d += kLanes) {
      load(x, output + d);
      scale(x, shrink);
      store(output + d, x);
    }
  }
  maximum = new_maximum;
  sum += simd::sum(total);
}

// scores -> probabilities, products -> gradient of the scores
template <int B>
[[gnu::always_inline]] inline void score_gradient_row(float* row, float* products,
                                                      int64_t first_key, int64_t end_key,
                                                      int64_t vecs, float logsumexp, float delta) {
  using simd::kLanes, simd::Vec;
  Vec<B> p, g;
  for (int64_t v = 0; v < vecs; ++v) {
    load(p, row + v * kLanes);
    shift(p, -logsumexp);
    exponential(p);
    store(row + v * kLanes, p);
    load(g, products + v * kLanes);
    shift(g, -delta);
    mul(g, p);
    store(products + v * kLanes, g);
  }
  for (int64_t j = 0; j < first_key; ++j) row[j] = products[j] = 0;
  for (int64_t j = end_key; j < vecs * kLanes; ++j) row[j] = products[j] = 0;
}

}  // namespace etrlrec
