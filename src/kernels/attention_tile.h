// The operands of attention of a tile of queries against one span of keys, on raw pointers. Keys
// are packed in blocks of 16, so that 16 scores are one vector.
#pragma once

#include <cstdint>

namespace etrlrec {

inline constexpr int64_t kTileRows = 32;  // queries of a tile at most
inline constexpr int64_t kKeyBlock =
    128;  // keys of a pass: its scores stay in the first-level cache
inline constexpr int64_t kAllKeys = int64_t{1} << 40;

// Stores x [D] as key `index` of a blocked span: blocks [n / 16][D][16].
inline void put_blocked(float* blocks, int64_t index, const float* x, int64_t head_dim) {
  float* out = blocks + index / 16 * 16 * head_dim + index % 16;
  for (int64_t d = 0; d < head_dim; ++d) out[d * 16] = x[d];
}

// Keys and values of one head. Row-wise buffers have a row stride of padded(D) and zeros after D.
// Blocked buffers hold whole blocks; keys beyond `count` may have any finite value.
struct KeySpan {
  int64_t count = 0;
  const float* key_blocks = nullptr;    // [ceil(count / 16)][D][16]
  const float* value_rows = nullptr;    // [count][padded(D)]
  const float* key_rows = nullptr;      // backward only
  const float* value_blocks = nullptr;  // backward only
  // Instead of all of them, for bfloat16 arithmetic; kernels/attention_bfloat16.h says how.
  const uint32_t* key_block_pairs = nullptr;
  const uint32_t* value_pairs = nullptr;
  const uint32_t* key_pairs = nullptr;          // backward only
  const uint32_t* value_block_pairs = nullptr;  // backward only
};

// Queries of one head, already rotated and scaled. Row i sees the keys j <= first_visible + i of
// the span.
struct QueryTile {
  int64_t rows = 0;
  int64_t head_dim = 0;
  const float* query = nullptr;  // [rows][padded(D)]
  // Sliding window: row i does not see the keys j < first_seen[i]; null: it sees all before it.
  const int64_t* first_seen = nullptr;
};

// Running state of a tile: maximum, sum and unnormalised output; begin with -1e30, 0 and 0.
struct TileState {
  float* maximum = nullptr;  // [rows]
  float* sum = nullptr;      // [rows]
  float* output = nullptr;   // [rows][padded(D)]
};

struct TileGradient {
  const float* output_gradient = nullptr;  // [rows][padded(D)]
  const float* logsumexp = nullptr;        // [rows] of the whole softmax
  const float* delta = nullptr;            // [rows] sum of output * output gradient
  float* query = nullptr;                  // [rows][padded(D)], added to
  float* key_rows = nullptr;               // [count][padded(D)], added to
  float* value_rows = nullptr;             // [count][padded(D)], added to
};

}  // namespace etrlrec
