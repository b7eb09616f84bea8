// Attention of a tile of queries against one span of keys in bfloat16 arithmetic (AVX512_BF16):
// queries, keys, values, probabilities and gradients of scores and outputs are rounded before they
// are multiplied; scores, softmax and all sums are fp32. For spans that hold pairs.
#pragma once

#include "kernels/attention_tile.h"

namespace etrlrec {

// True where the machine has the instructions and the heads are a multiple of 32 values. Everything
// below is an error (kUsage) elsewhere.
bool can_round_attention(int64_t head_dim);

// A pair is a word of two neighbouring bfloat16 values, the first one in the lower half. From rows
// [count, D] of bfloat16, count a multiple of 16:
// blocks [count / 16][D / 2][16]: neighbours along D of 16 rows, for products with rows of queries;
void pack_block_pairs(const uint16_t* rows, int64_t count, int64_t head_dim, uint32_t* blocks);
// pairs [count / 2][D]: neighbours along the rows, for sums over rows.
void pack_row_pairs(const uint16_t* rows, int64_t count, int64_t head_dim, uint32_t* pairs);

// As attend() and attend_backward() of kernels/attention_kernel.
void attend_bfloat16(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                     const TileState& state, float* scores);
void attend_backward_bfloat16(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                              const TileGradient& gradient, float* scores);

}  // namespace etrlrec
