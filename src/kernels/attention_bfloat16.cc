// Every product sums over pairs: along D for scores, along keys for outputs and gradients of
// queries, along queries for gradients of keys and values.
#include "kernels/attention_bfloat16.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/arithmetic.h"
#include "kernels/attention_rows.h"
#include "kernels/target.h"
#include "kernels/word_transpose.h"

namespace etrlrec {

bool can_round_attention(int64_t head_dim) { return supports_bfloat16() && head_dim % 32 == 0; }

#if ETRLREC_X86
namespace {

using simd::kLanes;

using PairProduct = simd::Product<uint32_t>;  // of pairs

constexpr int64_t kBlockPairs = kKeyBlock / 2, kTilePairs = kTileRows / 2;

// Rounded rows of a tile, in memory of the thread.
struct TilePairs {
  std::vector<uint32_t> query, gradient;            // [rows][D / 2]
  std::vector<uint32_t> query_rows, gradient_rows;  // [rows / 2][D], neighbours along the rows
  void resize(int64_t head_dim) {
    for (auto* pairs : {&query, &gradient, &query_rows, &gradient_rows})
      pairs->resize(static_cast<size_t>(kTilePairs * head_dim));
  }
};

TilePairs& thread_pairs(int64_t head_dim) {
  thread_local TilePairs pairs;
  pairs.resize(head_dim);
  return pairs;
}

ETRLREC_BFLOAT16_BEGIN

// Unrolled: rolled loops over the sums keep them in memory.
template <int Rows, int Vecs>
void multiply_block(const PairProduct& p, int64_t row, int64_t vec) {
  __m512 sums[Rows][Vecs];
  const int64_t c_row = p.c_row, a_row = p.a_row, b_vec = p.b_vec;
  float* const c = p.c + row * c_row + vec * kLanes;
  if (p.accumulate) {
    ETRLREC_UNROLL(8)
    for (int r = 0; r < Rows; ++r) {
      ETRLREC_UNROLL(2)
      for (int v = 0; v < Vecs; ++v) sums[r][v] = _mm512_loadu_ps(c + r * c_row + v * kLanes);
    }
  } else {
    ETRLREC_UNROLL(8)
    for (int r = 0; r < Rows; ++r) {
      ETRLREC_UNROLL(2)
      for (int v = 0; v < Vecs; ++v) sums[r][v] = _mm512_setzero_ps();
    }
  }
  const uint32_t* a = p.a + row * a_row;
  const uint32_t* b = p.b + vec * b_vec;
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_col, b += p.b_row) {
    __m512bh right[Vecs];
    ETRLREC_UNROLL(2)
    for (int v = 0; v < Vecs; ++v)
      right[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + v * b_vec));
    ETRLREC_UNROLL(8)
    for (int r = 0; r < Rows; ++r) {
      const auto left =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[r * a_row])));
      ETRLREC_UNROLL(2)
      for (int v = 0; v < Vecs; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], left, right[v]);
    }
  }
  ETRLREC_UNROLL(8)
  for (int r = 0; r < Rows; ++r) {
    ETRLREC_UNROLL(2)
    for (int v = 0; v < Vecs; ++v) _mm512_storeu_ps(c + r * c_row + v * kLanes, sums[r][v]);
  }
}

template <int Rows, int Vecs>
void multiply_last(const PairProduct& p, int64_t row, int64_t vec) {
  if constexpr (Rows > 0) {
    if (p.rows - row == Rows) return multiply_block<Rows, Vecs>(p, row, vec);
    multiply_last<Rows - 1, Vecs>(p, row, vec);
  }
}

template <int Rows, int Vecs>
void multiply_panel(const PairProduct& p, int64_t vec) {
  int64_t row = 0;
  for (; row + Rows <= p.rows; row += Rows) multiply_block<Rows, Vecs>(p, row, vec);
  multiply_last<Rows - 1, Vecs>(p, row, vec);
}

void multiply(const PairProduct& p) {
  int64_t vec = 0;
  for (; vec + 2 <= p.vecs; vec += 2) multiply_panel<8, 2>(p, vec);
  if (vec < p.vecs) multiply_panel<8, 1>(p, vec);
}

__m256i rounded(const float* x) {
  return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(x)));
}

// count: a multiple of 16.
void round_row(const float* x, int64_t count, uint32_t* out) {
  for (int64_t i = 0; i < count; i += kLanes)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i / 2), rounded(x + i));
}

__m512i paired(__m256i even, __m256i odd) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(even),
                         _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

// Rows [rows, stride] of fp32 to [ceil(rows / 2), stride] pairs of neighbouring rows.
void pair_rows(const float* x, int64_t rows, int64_t stride, int64_t count, uint32_t* out) {
  for (int64_t r = 0; r < rows; r += 2) {
    const float* even = x + r * stride;
    for (int64_t i = 0; i < count; i += kLanes) {
      const __m256i odd = r + 1 < rows ? rounded(even + stride + i) : _mm256_setzero_si256();
      _mm512_storeu_si512(out + r / 2 * stride + i, paired(rounded(even + i), odd));
    }
  }
}

void put_block_pairs(const uint16_t* rows, int64_t count, int64_t head_dim, uint32_t* blocks) {
  const int64_t depth = head_dim / 2;
  for (int64_t row = 0; row < count; row += kLanes) {
    for (int64_t k = 0; k < depth; k += kLanes) {
      __m512i words[16];
      for (int64_t i = 0; i < kLanes; ++i)
        words[i] = _mm512_loadu_si512(rows + (row + i) * head_dim + 2 * k);
      transpose_words(words);
      for (int64_t i = 0; i < kLanes; ++i)
        _mm512_storeu_si512(blocks + row * depth + (k + i) * kLanes, words[i]);
    }
  }
}

__m256i loaded(const uint16_t* x) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
}

void put_row_pairs(const uint16_t* rows, int64_t count, int64_t head_dim, uint32_t* pairs) {
  for (int64_t row = 0; row < count; row += 2) {
    const uint16_t* even = rows + row * head_dim;
    for (int64_t d = 0; d < head_dim; d += kLanes)
      _mm512_storeu_si512(pairs + row / 2 * head_dim + d,
                          paired(loaded(even + d), loaded(even + head_dim + d)));
  }
}

void score(const QueryTile& tile, const std::vector<uint32_t>& rows, const uint32_t* blocks,
           const KeyPass& pass, float* out) {
  const int64_t depth = tile.head_dim / 2;
  multiply({tile.rows, simd::padded(pass.count) / kLanes, depth, rows.data(), depth, 1,
            blocks + pass.begin * depth, depth * kLanes, kLanes, out, kKeyBlock, false});
}

void attend_pairs(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                  const TileState& state, float* scores) {
  const int64_t dim = tile.head_dim, end = num_visible(tile, span, first_visible);
  TilePairs& pairs = thread_pairs(dim);
  for (int64_t i = 0; i < tile.rows; ++i)
    round_row(tile.query + i * dim, dim, pairs.query.data() + i * dim / 2);
  uint32_t weights[kTileRows * kBlockPairs];
  for (int64_t begin = 0; begin < end; begin += kKeyBlock) {
    const KeyPass pass{begin, std::min(kKeyBlock, end - begin), first_visible, tile.first_seen};
    score(tile, pairs.query, span.key_block_pairs, pass, scores);
    const int64_t vecs = simd::padded(pass.count) / kLanes;
    for (int64_t i = 0; i < tile.rows; ++i) {
      float* row = scores + i * kKeyBlock;
      if (pass.end_key(i) > pass.first_key(i))
        softmax_row<64>(row, pass.first_key(i), pass.end_key(i), vecs, state.maximum[i],
                        state.sum[i], state.output + i * dim, dim);
      else
        std::fill(row, row + vecs * kLanes, 0.0f);
      round_row(row, vecs * kLanes, weights + i * kBlockPairs);
    }
    multiply({tile.rows, dim / kLanes, (pass.count + 1) / 2, weights, kBlockPairs, 1,
              span.value_pairs + begin / 2 * dim, kLanes, dim, state.output, dim, true});
  }
}

void attend_backward_pairs(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                           const TileGradient& gradient, float* scores) {
  const int64_t dim = tile.head_dim, vecs_dim = dim / kLanes, row_pairs = (tile.rows + 1) / 2;
  const int64_t end = num_visible(tile, span, first_visible);
  float* products = scores + kTileRows * kKeyBlock;
  TilePairs& pairs = thread_pairs(dim);
  for (int64_t i = 0; i < tile.rows; ++i) {
    round_row(tile.query + i * dim, dim, pairs.query.data() + i * dim / 2);
    round_row(gradient.output_gradient + i * dim, dim, pairs.gradient.data() + i * dim / 2);
  }
  pair_rows(tile.query, tile.rows, dim, dim, pairs.query_rows.data());
  pair_rows(gradient.output_gradient, tile.rows, dim, dim, pairs.gradient_rows.data());
  uint32_t along_keys[kTileRows * kBlockPairs], along_rows[kTilePairs * kKeyBlock];
  for (int64_t begin = 0; begin < end; begin += kKeyBlock) {
    const KeyPass pass{begin, std::min(kKeyBlock, end - begin), first_visible, tile.first_seen};
    score(tile, pairs.query, span.key_block_pairs, pass, scores);
    score(tile, pairs.gradient, span.value_block_pairs, pass, products);
    const int64_t keys = simd::padded(pass.count);
    for (int64_t i = 0; i < tile.rows; ++i) {
      float* row = products + i * kKeyBlock;
      score_gradient_row<64>(scores + i * kKeyBlock, row, pass.first_key(i), pass.end_key(i),
                             keys / kLanes, gradient.logsumexp[i], gradient.delta[i]);
      round_row(row, keys, along_keys + i * kBlockPairs);
    }
    multiply({tile.rows, vecs_dim, (pass.count + 1) / 2, along_keys, kBlockPairs, 1,
              span.key_pairs + begin / 2 * dim, kLanes, dim, gradient.query, dim, true});
    pair_rows(products, tile.rows, kKeyBlock, keys, along_rows);
    multiply({pass.count, vecs_dim, row_pairs, along_rows, 1, kKeyBlock, pairs.query_rows.data(),
              kLanes, dim, gradient.key_rows + begin * dim, dim, true});
    pair_rows(scores, tile.rows, kKeyBlock, keys, along_rows);
    multiply({pass.count, vecs_dim, row_pairs, along_rows, 1, kKeyBlock, pairs.gradient_rows.data(),
              kLanes, dim, gradient.value_rows + begin * dim, dim, true});
  }
}

ETRLREC_BFLOAT16_END

}  // namespace

void pack_block_pairs(const uint16_t* rows, int64_t count, int64_t head_dim, uint32_t* blocks) {
  put_block_pairs(rows, count, head_dim, blocks);
}

void pack_row_pairs(const uint16_t* rows, int64_t count, int64_t head_dim, uint32_t* pairs) {
  put_row_pairs(rows, count, head_dim, pairs);
}

void attend_bfloat16(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                     const TileState& state, float* scores) {
  attend_pairs(tile, span, first_visible, state, scores);
}

void attend_backward_bfloat16(const QueryTile& tile, const KeySpan& span, int64_t first_visible,
                              const TileGradient& gradient, float* scores) {
  attend_backward_pairs(tile, span, first_visible, gradient, scores);
}

#else
// Refused: machines other than x86-64 have no such kernel.
void pack_block_pairs(const uint16_t*, int64_t, int64_t, uint32_t*) { check_bfloat16(); }
void pack_row_pairs(const uint16_t*, int64_t, int64_t, uint32_t*) { check_bfloat16(); }
void attend_bfloat16(const QueryTile&, const KeySpan&, int64_t, const TileState&, float*) {
  check_bfloat16();
}
void attend_backward_bfloat16(const QueryTile&, const KeySpan&, int64_t, const TileGradient&,
                              float*) {
  check_bfloat16();
}
#endif

}  // namespace etrlrec
