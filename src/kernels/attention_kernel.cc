// One instance of each kernel per register width; see attention_kernel.h and simd.h.
#include "kernels/attention_kernel.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention_bfloat16.h"
#include "kernels/attention_rows.h"
#include "kernels/simd.h"
#include "kernels/vectorize.h"

namespace etrlrec {
namespace {

using simd::kLanes;
using simd::Vec;

// out [rows][kKeyBlock] = rows of `a` times the blocked keys of the pass
template <int B>
void scores_of(const QueryTile& tile, const float* a, const float* blocks, const KeyPass& pass,
               float* out) {
  const int64_t dim = tile.head_dim;
  simd::gemm<B>({tile.rows, (pass.count + kLanes - 1) / kLanes, dim, a, simd::padded(dim), 1,
                 blocks + pass.begin * dim, dim * kLanes, kLanes, out, kKeyBlock, false});
}

template <int B>
[[gnu::always_inline]] inline void attend_with(const QueryTile& tile, const KeySpan& span,
                                               int64_t first_visible, const TileState& state,
                                               float* scores) {
  const int64_t dim = simd::padded(tile.head_dim);
  const int64_t end = num_visible(tile, span, first_visible);
  for (int64_t begin = 0; begin < end; begin += kKeyBlock) {
    const KeyPass pass{begin, std::min(kKeyBlock, end - begin), first_visible, tile.first_seen};
    scores_of<B>(tile, tile.query, span.key_blocks, pass, scores);
    const int64_t vecs = (pass.count + kLanes - 1) / kLanes;
    for (int64_t i = 0; i < tile.rows; ++i) {
      float* row = scores + i * kKeyBlock;
      if (pass.end_key(i) <= pass.first_key(i)) {
        std::fill(row, row + vecs * kLanes, 0.0f);
        continue;
      }
      softmax_row<B>(row, pass.first_key(i), pass.end_key(i), vecs, state.maximum[i], state.sum[i],
                     state.output + i * dim, dim);
    }
    simd::gemm<B>({tile.rows, dim / kLanes, pass.count, scores, kKeyBlock, 1,
                   span.value_rows + begin * dim, kLanes, dim, state.output, dim, true});
  }
}

template <int B>
[[gnu::always_inline]] inline void attend_backward_with(const QueryTile& tile, const KeySpan& span,
                                                        int64_t first_visible,
                                                        const TileGradient& gradient,
                                                        float* scores) {
  const int64_t dim = simd::padded(tile.head_dim), vecs_dim = dim / kLanes;
  const int64_t end = num_visible(tile, span, first_visible);
  float* products = scores + kTileRows * kKeyBlock;
  for (int64_t begin = 0; begin < end; begin += kKeyBlock) {
    const KeyPass pass{begin, std::min(kKeyBlock, end - begin), first_visible, tile.first_seen};
    scores_of<B>(tile, tile.query, span.key_blocks, pass, scores);
    scores_of<B>(tile, gradient.output_gradient, span.value_blocks, pass, products);
    const int64_t vecs = (pass.count + kLanes - 1) / kLanes;
    for (int64_t i = 0; i < tile.rows; ++i) {
      score_gradient_row<B>(scores + i * kKeyBlock, products + i * kKeyBlock, pass.first_key(i),
                            pass.end_key(i), vecs, gradient.logsumexp[i], gradient.delta[i]);
    }
    simd::gemm<B>({tile.rows, vecs_dim, pass.count, products, kKeyBlock, 1,
                   span.key_rows + begin * dim, kLanes, dim, gradient.query, dim, true});
    simd::gemm<B>({pass.count, vecs_dim, tile.rows, products, 1, kKeyBlock, tile.query, kLanes, dim,
                   gradient.key_rows + begin * dim, dim, true});
    simd::gemm<B>({pass.count, vecs_dim, tile.rows, scores, 1, kKeyBlock, gradient.output_gradient,
                   kLanes, dim, gradient.value_rows + begin * dim, dim, true});
  }
}

ETRLREC_SIMD_INSTANCES(attend,
                       (const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                        const TileState& state, float* scores),
                       (tile, span, first_visible, state, scores))
ETRLREC_SIMD_INSTANCES(attend_backward,
                       (const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                        const TileGradient& gradient, float* scores),
                       (tile, span, first_visible, gradient, scores))

}  // namespace

ETRLREC_VECTORIZE
void rotate(const float* __restrict x, float* __restrict out, int64_t head_dim, Rotation rotation,
            float factor, bool inverse) {
  if (rotation.cos == nullptr) {
    for (int64_t d = 0; d < head_dim; ++d) out[d] = x[d] * factor;
    return;
  }
  const int64_t half = head_dim / 2;
  const float* __restrict cos = rotation.cos;
  const float* __restrict sin = rotation.sin;
  const float sign = inverse ? -factor : factor;
  for (int64_t d = 0; d < half; ++d) {
    const float c = cos[d] * factor, s = sin[d] * sign;
    out[d] = x[d] * c - x[d + half] * s;
    out[d + half] = x[d + half] * c + x[d] * s;
  }
}

void attend(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
            const TileState& state, float* scores) {
  if (span.key_block_pairs != nullptr)
    return attend_bfloat16(tile, span, first_visible, state, scores);
  attend_best(tile, span, first_visible, state, scores);
}

void attend_backward(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                     const TileGradient& gradient, float* scores) {
  if (span.key_block_pairs != nullptr)
    return attend_backward_bfloat16(tile, span, first_visible, gradient, scores);
  attend_backward_best(tile, span, first_visible, gradient, scores);
}

}  // namespace etrlrec
