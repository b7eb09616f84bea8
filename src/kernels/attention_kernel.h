// Attention of a tile of queries against one span of keys, forward with a running softmax (Dao et
// al. 2022) and backward by recomputation, on raw pointers. Used by training, prefill and cached
// decoding. Spans that hold pairs of bfloat16 values go to kernels/attention_bfloat16, others to
// one kernel per register width.
#pragma once

#include "kernels/attention_tile.h"

namespace etrlrec {

// One rotation row: cos and sin of D / 2 angles; null pointers: no rotation.
struct Rotation {
  const float* cos = nullptr;
  const float* sin = nullptr;
};
// out[0, D) = factor * rotate(x); rotate-half form. `inverse` applies the transpose. out must not
// be x.
void rotate(const float* x, float* out, int64_t head_dim, Rotation rotation, float factor,
            bool inverse);

// Adds the keys of a span to the running state of the tile: row i sees the keys
// j <= first_visible + i, and not those before first_seen[i]. `scores`: kTileRows * kKeyBlock
// floats.
void attend(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
            const TileState& state, float* scores);
// Adds the gradients of the span's keys and values and of the queries. `scores`: 2 * kTileRows *
// kKeyBlock floats.
void attend_backward(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                     const TileGradient& gradient, float* scores);

}  // namespace etrlrec
