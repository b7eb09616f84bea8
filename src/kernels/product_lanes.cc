// A tile of 12 outputs and 32 rows takes two loads of x and 12 broadcasts of weights for 24
// instructions, and the weights of the next tile come from memory meanwhile.
#include "kernels/product_lanes.h"

#include <algorithm>
#include <cstring>

#include "kernels/arithmetic.h"
#include "kernels/parallel.h"
#include "kernels/target.h"
#include "kernels/word_transpose.h"

#if ETRLREC_X86
namespace etrlrec {
namespace {

constexpr int64_t kWidth = 16;    // lanes of a register
constexpr int64_t kMostVecs = 4;  // registers of lanes at once
constexpr int64_t kStep = 16;     // pairs of weights in a cache line
constexpr int64_t kPairBytes = 4;

// Outputs of a tile with `vecs` registers of lanes: all sums stay in registers.
constexpr int64_t outputs_of(int64_t vecs) { return 24 / vecs; }

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

ETRLREC_BFLOAT16_BEGIN

// Writes sums, one row of y for each lane.
template <int Outs>
void put_sums(const Tile& t, int64_t lane, const __m512 (&sums)[Outs]) {
  const int64_t rows = std::min(t.x->rows - lane, kWidth);
  ETRLREC_UNROLL(2)
  for (int first = 0; first < Outs; first += kWidth) {
    const int64_t count = std::clamp<int64_t>(t.outs - first, 0, kWidth);
    __m512i words[16];
    ETRLREC_UNROLL(16)
    for (int o = 0; o < kWidth; ++o)
      words[o] = first + o < Outs ? _mm512_castps_si512(sums[first + o]) : _mm512_setzero_si512();
    transpose_words(words);
    const auto mask = static_cast<uint16_t>((1u << count) - 1);
    for (int64_t r = 0; r < rows; ++r)
      _mm512_mask_storeu_epi32(t.y + (lane + r) * t.y_stride + first, mask, words[r]);
  }
}

template <int Vecs>
void multiply_tile(const Tile& t, int64_t lane) {
  constexpr int kOuts = outputs_of(Vecs);
  constexpr int kNear = kOuts % 3 == 0 ? 3 : 2;        // addresses: base, + stride, + 2 stride
  constexpr int kLines = (kOuts + kStep - 1) / kStep;  // asked for with each pair of a step
  __m512 sums[Vecs][kOuts];
  ETRLREC_UNROLL(4)
  for (int v = 0; v < Vecs; ++v) {
    ETRLREC_UNROLL(24)
    for (int o = 0; o < kOuts; ++o) sums[v][o] = _mm512_setzero_ps();
  }
  const int64_t lanes = t.x->lanes, stride = t.stride;
  const uint32_t* x = t.x->pairs.data() + lane;
  const char* base[kOuts / kNear];
  ETRLREC_UNROLL(8)
  for (int i = 0; i < kOuts / kNear; ++i) base[i] = t.weight + i * kNear * stride;
  for (int64_t step = 0; step < t.x->depth; step += kStep) {
    const char* line = base[0] + t.ahead;  // of each row of the next tile
    for (int64_t k = 0; k < kStep; ++k, x += lanes) {
      ETRLREC_UNROLL(2)
      for (int i = 0; i < kLines; ++i, line += stride) __builtin_prefetch(line, 0, 2);
      __m512bh left[Vecs];
      for (int v = 0; v < Vecs; ++v)
        left[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(x + v * kWidth));
      ETRLREC_UNROLL(8)
      for (int i = 0; i < kOuts / kNear; ++i) {
        asm("" : "+r"(base[i]));  // or the compiler makes a pointer of its own for every row
        ETRLREC_UNROLL(3)
        for (int o = 0; o < kNear; ++o) {
          int32_t pair;
          std::memcpy(&pair, base[i] + o * stride, sizeof pair);
          const auto right = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
          ETRLREC_UNROLL(4)
          for (int v = 0; v < Vecs; ++v) {
            __m512& sum = sums[v][i * kNear + o];
            sum = _mm512_dpbf16_ps(sum, left[v], right);
          }
        }
        base[i] += kPairBytes;
      }
    }
  }
  ETRLREC_UNROLL(4)
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

// 32 values as bfloat16.
__m512i rounded_pairs(const float* x) {
  return reinterpret_cast<__m512i>(
      _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + kWidth), _mm512_loadu_ps(x)));
}

// At most 16 rows of x, `stride` floats apart, pairs [begin, end), into [depth][lanes].
void transpose_block(const float* x, int64_t rows, int64_t stride, int64_t begin, int64_t end,
                     uint32_t* out, int64_t lanes) {
  for (int64_t k = begin; k < end; k += kStep) {
    __m512i words[16];
    ETRLREC_UNROLL(16)
    for (int64_t r = 0; r < kWidth; ++r)
      words[r] = r < rows ? rounded_pairs(x + r * stride + 2 * k) : _mm512_setzero_si512();
    transpose_words(words);
    ETRLREC_UNROLL(16)
    for (int64_t i = 0; i < kStep; ++i) _mm512_storeu_si512(out + (k + i) * lanes, words[i]);
  }
}

ETRLREC_BFLOAT16_END

// Passes over the weights, and registers of lanes in each.
int64_t passes_of(int64_t rows) { return (rows + kWidth * kMostVecs - 1) / (kWidth * kMostVecs); }
int64_t vecs_of(int64_t rows) {
  const int64_t width = kWidth * passes_of(rows);
  return (rows + width - 1) / width;
}

}  // namespace

void transpose_rows(const float* x, int64_t rows, int64_t stride, int64_t values, LaneRows& out) {
  constexpr int64_t kGrain = 8;  // steps worth a thread
  out.rows = rows;
  out.depth = values / 2;
  out.vecs = vecs_of(rows);
  out.lanes = kWidth * out.vecs * passes_of(rows);
  const auto words = static_cast<size_t>(out.depth * out.lanes);
  if (out.pairs.size() < words) out.pairs.resize(words);
  parallel_for(0, out.depth / kStep, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t lane = 0; lane < out.lanes; lane += kWidth)
      transpose_block(x + lane * stride, std::clamp<int64_t>(rows - lane, 0, kWidth), stride,
                      begin * kStep, end * kStep, out.pairs.data() + lane, out.lanes);
  });
}

void dot_lanes(const LaneRows& x, const WeightRows& w, float* y, int64_t y_stride, int64_t begin,
               int64_t end) {
  constexpr int64_t kSetBytes = 2048;  // rows at multiples share two sets of the first-level cache
  const int64_t outputs = outputs_of(x.vecs), row_bytes = w.row_bytes();
  // Rows that share sets are copied first, and so are the last ones, which do not fill a tile.
  thread_local std::vector<uint32_t> copy;
  const int64_t copy_stride = x.depth + kStep;
  const auto words = static_cast<size_t>(outputs * copy_stride);
  if (copy.size() < words) copy.resize(words);
  for (int64_t o = begin; o < end; o += outputs) {
    const char* weight = static_cast<const char*>(w.data) + o * row_bytes;
    Tile tile{&x, weight, row_bytes, 0, std::min(outputs, end - o), y + o, y_stride};
    if (w.out - o >= 2 * outputs) tile.ahead = outputs * row_bytes;
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
#else
namespace etrlrec {

// Refused: machines other than x86-64 have no such kernel.
void transpose_rows(const float*, int64_t, int64_t, int64_t, LaneRows&) { check_bfloat16(); }
void dot_lanes(const LaneRows&, const WeightRows&, float*, int64_t, int64_t, int64_t) {
  check_bfloat16();
}

}  // namespace etrlrec
#endif
