// A tile of 12 outputs and 32 rows takes two loads of x and 12 broadcasts of weights for 24
// instructions, and the weights of the next tile come from memory meanwhile.
#include "nn/lane_product.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "nn/word_transpose.h"

namespace etrlrec {
namespace {

constexpr int64_t kWidth = 16;    // lanes of a register
constexpr int64_t kMostVecs = 4;  // registers of lanes at once
constexpr int64_t kStep = 16;     // pairs of weights in a cache line
constexpr int64_t kPairBytes = 4;

// Outputs of a tile with `vecs` registers of lanes: all sums stay in registers.
constexpr int64_t outputs_of(int64_t vecs) { return vecs == 3 ? 9 : 24 / vecs; }

// outputs_of(vecs) outputs below all lanes, of which `outs` are written.
struct Tile {
  const LaneRows* x;
  const char* weight;  // rows of pairs
  int64_t stride;      // bytes between the rows of weights
  int64_t ahead;       // bytes to weights that are fetched meanwhile, 0: none
  int64_t outs;
  float* y;
  int64_t y_stride;
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // g++ 12's own intrinsics (GCC PR 105593)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,prefer-vector-width=512")

// Writes sums, one row of y for each lane.
template <int Outs>
void put_sums(const Tile& t, int64_t lane, const __m512 (&sums)[Outs]) {
  const int64_t rows = std::min(t.x->rows - lane, kWidth);
  for (int64_t first = 0; first < t.outs; first += kWidth) {
    const int64_t count = std::min(t.outs - first, kWidth);
    __m512i words[16] = {};
    for (int64_t o = 0; o < count; ++o) words[o] = _mm512_castps_si512(sums[first + o]);
    transpose_words(words);
    const auto mask = static_cast<uint16_t>((1u << count) - 1);
    for (int64_t r = 0; r < rows; ++r)
      _mm512_mask_storeu_epi32(t.y + (lane + r) * t.y_stride + first, mask, words[r]);
  }
}

template <int Vecs>
void multiply_tile(const Tile& t, int64_t lane) {
  constexpr int kOuts = outputs_of(Vecs);
  __m512 sums[Vecs][kOuts] = {};
  const int64_t lanes = t.x->lanes, stride = t.stride;
  const uint32_t* x = t.x->pairs.data() + lane;
  const char* weight = t.weight;
  for (int64_t step = 0; step < t.x->depth; step += kStep) {
    if (t.ahead > 0) {
      for (int o = 0; o < kOuts; ++o) __builtin_prefetch(weight + t.ahead + o * stride, 0, 2);
    }
    for (int64_t k = 0; k < kStep; ++k, x += lanes, weight += kPairBytes) {
      __m512bh left[Vecs];
      for (int v = 0; v < Vecs; ++v)
        left[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(x + v * kWidth));
      for (int three = 0; three < kOuts; three += 3) {  // addresses: base, + stride, + 2 stride
        const char* base = weight + three * stride;
        for (int o = 0; o < 3; ++o) {
          int32_t pair;
          std::memcpy(&pair, base + o * stride, sizeof pair);
          const auto right = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
          for (int v = 0; v < Vecs; ++v)
            sums[v][three + o] = _mm512_dpbf16_ps(sums[v][three + o], left[v], right);
        }
      }
    }
  }
  for (int v = 0; v < Vecs; ++v) put_sums<kOuts>(t, lane + v * kWidth, sums[v]);
}

void multiply_lanes(const Tile& t) {
  for (int64_t lane = 0; lane < t.x->lanes; lane += t.x->vecs * kWidth) {
    if (t.x->vecs == 1) {
      multiply_tile<1>(t, lane);
    } else if (t.x->vecs == 2) {
      multiply_tile<2>(t, lane);
    } else if (t.x->vecs == 3) {
      multiply_tile<3>(t, lane);
    } else {
      multiply_tile<4>(t, lane);
    }
  }
}

// At most 16 rows of `depth` pairs, `stride` values apart, into [depth][lanes].
void transpose_block(const uint16_t* x, int64_t rows, int64_t stride, int64_t depth, uint32_t* out,
                     int64_t lanes) {
  for (int64_t k = 0; k < depth; k += kStep) {
    __m512i words[16] = {};
    for (int64_t r = 0; r < rows; ++r) words[r] = _mm512_loadu_si512(x + r * stride + 2 * k);
    transpose_words(words);
    for (int64_t i = 0; i < kStep; ++i) _mm512_storeu_si512(out + (k + i) * lanes, words[i]);
  }
}

#pragma GCC pop_options
#pragma GCC diagnostic pop

// Passes over the weights, and registers of lanes in each.
int64_t passes_of(int64_t rows) { return (rows + kWidth * kMostVecs - 1) / (kWidth * kMostVecs); }
int64_t vecs_of(int64_t rows) {
  const int64_t width = kWidth * passes_of(rows);
  return (rows + width - 1) / width;
}

}  // namespace

bool fills_lanes(int64_t rows) { return 10 * rows >= 7 * kWidth * passes_of(rows) * vecs_of(rows); }

void transpose_rows(const uint16_t* x, int64_t rows, int64_t stride, int64_t values,
                    LaneRows& out) {
  out.rows = rows;
  out.depth = values / 2;
  out.vecs = vecs_of(rows);
  out.lanes = kWidth * out.vecs * passes_of(rows);
  out.pairs.resize(static_cast<size_t>(out.depth * out.lanes));
  for (int64_t lane = 0; lane < out.lanes; lane += kWidth)
    transpose_block(x + lane * stride, std::clamp<int64_t>(rows - lane, 0, kWidth), stride,
                    out.depth, out.pairs.data() + lane, out.lanes);
}

void dot_lanes(const LaneRows& x, const WeightRows& w, float* y, int64_t y_stride, int64_t begin,
               int64_t end) {
  constexpr int64_t kSetBytes = 2048;  // rows at multiples share two sets of the first-level cache
  const int64_t outputs = outputs_of(x.vecs), row_bytes = w.row_bytes();
  // Rows that share sets are copied first, and so are the last ones, which do not fill a tile.
  thread_local std::vector<uint32_t> copy;
  const int64_t copy_stride = x.depth + kStep;
  copy.resize(static_cast<size_t>(outputs * copy_stride));
  for (int64_t o = begin; o < end; o += outputs) {
    const char* weight = static_cast<const char*>(w.data) + o * row_bytes;
    Tile tile{&x, weight, row_bytes, 0, std::min(outputs, end - o), y + o, y_stride};
    if (end - o >= 2 * outputs) tile.ahead = outputs * row_bytes;
    if (row_bytes % kSetBytes == 0 || tile.outs < outputs) {
      for (int64_t i = 0; i < tile.outs; ++i)
        std::memcpy(copy.data() + i * copy_stride, weight + i * row_bytes,
                    static_cast<size_t>(x.depth * kPairBytes));
      tile.weight = reinterpret_cast<const char*>(copy.data());
      tile.stride = copy_stride * kPairBytes;
      tile.ahead = 0;
    }
    multiply_lanes(tile);
  }
}

}  // namespace etrlrec
