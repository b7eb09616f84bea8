// Weights are packed panel by panel: 64 outputs, words of two neighbours along the summed
// dimension. A panel stays in the second-level cache while all rows of x pass by, six at a time, so
// the inner loop is four loads of weights and six broadcasts for 24 instructions of 32 products.
// Few rows are not worth the packing: nn/narrow_rows.
#include "nn/bfloat16_product.h"

#include <ATen/Parallel.h>
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>

#include "base/check.h"
#include "nn/word_transpose.h"

namespace etrlrec {
namespace {

constexpr int64_t kPanel = 64;      // outputs of a panel
constexpr int64_t kDepth = 2048;    // summed at a time, even
constexpr int64_t kTile = 6;        // rows of x at a time
constexpr int64_t kMinRows = 192;   // worth packing a panel again for another thread
constexpr int64_t kGroup = 32;      // values of a register
constexpr int64_t kRowGrain = 64;   // rows rounded by a thread at least
constexpr int64_t kLinePairs = 16;  // of a cache line

// Rows of x as bfloat16, each padded with 0 to whole words.
struct RoundedRows {
  const uint16_t* values;
  int64_t rows, stride;
};

// Where sums go: fp32, the finished ones as bfloat16 instead unless `rounded` is null.
struct Sums {
  float* values;
  int64_t stride;
  uint16_t* rounded;
  int64_t rounded_stride;
  Sums at(int64_t row) const {
    return {values + row * stride, stride,
            rounded == nullptr ? nullptr : rounded + row * rounded_stride, rounded_stride};
  }
};

// One weight, and where its panels come from. Forward: panels of rows, summed along columns;
// transposed: panels of columns, summed along rows.
struct Problem {
  const WeightRows* weight;
  bool transposed;
  RoundedRows x;
  float* y;
  uint16_t* rounded_y;  // instead of y, unless null
  int64_t y_stride;
  bool accumulate;
  int64_t width() const { return transposed ? weight->in : weight->out; }
  int64_t depth() const { return transposed ? weight->out : weight->in; }
};

// A panel of `vecs` vectors of 16 outputs, the last one with `last` of them.
struct Panel {
  const uint32_t* words;  // [pairs][vecs][16]
  int64_t pairs;
  uint16_t last_mask;
  const float* scale;  // [outputs] or null: multiplies the finished sums
  const float* bias;   // [outputs] or null
  bool accumulate, finish;
};

// The stored weights of the next panel, asked for line by line while this one is multiplied.
struct Ahead {
  static constexpr int64_t kLine = 64;
  const char* row = nullptr;
  int64_t rows = 0, row_bytes = 0, stride = 0;
  int64_t lines_per_call = 0, offset = 0;
  void spread_over(int64_t calls) {
    lines_per_call = (rows * ((row_bytes + kLine - 1) / kLine) + calls - 1) / calls;
  }
  void fetch() {
    for (int64_t i = 0; i < lines_per_call && rows > 0; ++i) {
      __builtin_prefetch(row + offset, 0, 2);
      offset += kLine;
      if (offset < row_bytes) continue;
      offset = 0;
      row += stride;
      --rows;
    }
  }
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // g++ 12's own intrinsics (GCC PR 105593)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,prefer-vector-width=512")

template <int Rows, int Vecs>
void multiply_block(const Panel& p, const uint16_t* x, int64_t x_stride, const Sums& y,
                    Ahead& ahead) {
  __m512 sums[Rows][Vecs];
  const auto mask = [&](int v) { return v + 1 == Vecs ? p.last_mask : uint16_t{0xffff}; };
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vecs; ++v)
      sums[r][v] = p.accumulate ? _mm512_maskz_loadu_ps(mask(v), y.values + r * y.stride + v * 16)
                                : _mm512_setzero_ps();
  const uint32_t* words = p.words;
  for (int64_t k = 0; k < p.pairs; ++k, words += Vecs * 16) {
    if (k % kLinePairs == 0) {
      for (int r = 0; r < Rows; ++r)  // the rows after these
        __builtin_prefetch(x + (r + Rows) * x_stride + 2 * k, 0, 2);
      ahead.fetch();
    }
    __m512bh right[Vecs];
    for (int v = 0; v < Vecs; ++v)
      right[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(words + v * 16));
    for (int r = 0; r < Rows; ++r) {
      int32_t pair;
      std::memcpy(&pair, x + r * x_stride + 2 * k, sizeof pair);
      const auto left = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
      for (int v = 0; v < Vecs; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], left, right[v]);
    }
  }
  for (int v = 0; v < Vecs; ++v) {
    const __m512 scale = p.finish && p.scale != nullptr
                             ? _mm512_maskz_loadu_ps(mask(v), p.scale + v * 16)
                             : _mm512_set1_ps(1);
    const __m512 bias = p.finish && p.bias != nullptr
                            ? _mm512_maskz_loadu_ps(mask(v), p.bias + v * 16)
                            : _mm512_setzero_ps();
    for (int r = 0; r < Rows; ++r) {
      const __m512 sum = _mm512_fmadd_ps(sums[r][v], scale, bias);
      if (p.finish && y.rounded != nullptr) {
        _mm256_mask_storeu_epi16(y.rounded + r * y.rounded_stride + v * 16, mask(v),
                                 reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sum)));
      } else {
        _mm512_mask_storeu_ps(y.values + r * y.stride + v * 16, mask(v), sum);
      }
    }
  }
}

// All rows of x, their values from `x` on.
template <int Vecs>
void multiply_panel(const Panel& p, const uint16_t* x, int64_t x_stride, int64_t rows,
                    const Sums& y, Ahead& ahead) {
  ahead.spread_over((rows + kTile - 1) / kTile * ((p.pairs + kLinePairs - 1) / kLinePairs));
  int64_t r = 0;
  for (; r + kTile <= rows; r += kTile)
    multiply_block<kTile, Vecs>(p, x + r * x_stride, x_stride, y.at(r), ahead);
  const auto rest = [&]<int Rows>() {
    multiply_block<Rows, Vecs>(p, x + r * x_stride, x_stride, y.at(r), ahead);
  };
  switch (rows - r) {
    case 1:
      return rest.template operator()<1>();
    case 2:
      return rest.template operator()<2>();
    case 3:
      return rest.template operator()<3>();
    case 4:
      return rest.template operator()<4>();
    case 5:
      return rest.template operator()<5>();
  }
}

__m512 widened(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }

// 32 neighbours of a row as bfloat16, those beyond `count` as 0.
__m512i load_neighbours(const WeightRows& w, int64_t row, int64_t column, int64_t count) {
  const auto mask = static_cast<uint32_t>(count >= 32 ? ~uint64_t{0} : (uint64_t{1} << count) - 1);
  const int64_t i = row * w.in + column;
  if (w.type == WeightType::kBFloat16)
    return _mm512_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(w.data) + i);
  const __m256i bytes = _mm256_maskz_loadu_epi8(mask, static_cast<const int8_t*>(w.data) + i);
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(widened(_mm256_extracti128_si256(bytes, 1)),
                                                       widened(_mm256_castsi256_si128(bytes))));
}

// 16 neighbours as floats.
__m512i load_floats(const WeightRows& w, int64_t row, int64_t column, uint16_t mask) {
  const int64_t i = row * w.in + column;
  if (w.type == WeightType::kBFloat16)
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(
                                 mask, static_cast<const uint16_t*>(w.data) + i)),
                             16);
  const __m128i bytes = _mm_maskz_loadu_epi8(mask, static_cast<const int8_t*>(w.data) + i);
  return _mm512_castps_si512(widened(bytes));
}

// Outputs [begin, begin + count) of a forward problem, columns [first, first + depth).
void pack_rows(const WeightRows& w, int64_t begin, int64_t count, int64_t first, int64_t depth,
               uint32_t* words) {
  const int64_t vecs = (count + 15) / 16, pairs = (depth + 1) / 2;
  for (int64_t v = 0; v < vecs; ++v) {
    for (int64_t k = 0; k < pairs; k += 16) {
      __m512i r[16];
      for (int64_t lane = 0; lane < 16; ++lane)
        r[lane] = v * 16 + lane < count
                      ? load_neighbours(w, begin + v * 16 + lane, first + 2 * k, depth - 2 * k)
                      : _mm512_setzero_si512();
      transpose_words(r);
      const int64_t last = std::min<int64_t>(pairs - k, 16);
      for (int64_t i = 0; i < last; ++i)
        _mm512_storeu_si512(words + ((k + i) * vecs + v) * 16, r[i]);
    }
  }
}

// A whole panel of columns of two bfloat16 rows, one word for each column.
void interleave_rows(const uint16_t* a, const uint16_t* b, uint32_t* words) {
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  for (int64_t i = 0; i < kPanel; i += kGroup) {
    const __m512i above = _mm512_loadu_si512(a + i), below = _mm512_loadu_si512(b + i);
    const __m512i low = _mm512_unpacklo_epi16(above, below);
    const __m512i high = _mm512_unpackhi_epi16(above, below);
    _mm512_storeu_si512(words + i, _mm512_permutex2var_epi64(low, first, high));
    _mm512_storeu_si512(words + i + 16, _mm512_permutex2var_epi64(low, second, high));
  }
}

// Columns [begin, begin + count) of a transposed problem, rows [first, first + depth).
void pack_columns(const WeightRows& w, int64_t begin, int64_t count, int64_t first, int64_t depth,
                  uint32_t* words) {
  const int64_t vecs = (count + 15) / 16, pairs = (depth + 1) / 2;
  const __m512i high = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
  const bool whole = w.type == WeightType::kBFloat16 && count == kPanel;
  for (int64_t k = 0; k < pairs; ++k) {
    if (whole && 2 * k + 1 < depth) {
      const auto* a = static_cast<const uint16_t*>(w.data) + (first + 2 * k) * w.in + begin;
      interleave_rows(a, a + w.in, words + k * kPanel);
      continue;
    }
    for (int64_t v = 0; v < vecs; ++v) {
      const int64_t lanes = std::min<int64_t>(count - v * 16, 16);
      const auto mask = static_cast<uint16_t>((1u << lanes) - 1);
      const __m512i a = load_floats(w, first + 2 * k, begin + v * 16, mask);
      const __m512i b = 2 * k + 1 < depth ? load_floats(w, first + 2 * k + 1, begin + v * 16, mask)
                                          : _mm512_setzero_si512();
      _mm512_storeu_si512(words + (k * vecs + v) * 16,
                          _mm512_or_si512(_mm512_srli_epi32(a, 16), _mm512_and_si512(b, high)));
    }
  }
}

// out[i] = bfloat16 of x[i] * scale[i] (scale may be null)
void round_row(const float* x, const float* scale, int64_t count, uint16_t* out) {
  for (int64_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<uint16_t>(count - i >= 16 ? 0xffff : (1u << (count - i)) - 1);
    __m512 values = _mm512_maskz_loadu_ps(mask, x + i);
    if (scale != nullptr) values = _mm512_mul_ps(values, _mm512_maskz_loadu_ps(mask, scale + i));
    _mm256_mask_storeu_epi16(out + i, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
  }
}

void widen_row(const uint16_t* x, int64_t count, float* out) {
  for (int64_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<uint16_t>(count - i >= 16 ? 0xffff : (1u << (count - i)) - 1);
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x + i));
    _mm512_mask_storeu_epi32(out + i, mask, _mm512_slli_epi32(words, 16));
  }
}

// Memory of a task: the words of a panel; sums of outputs that are rounded at the end, when what is
// summed takes several panels.
struct Scratch {
  std::unique_ptr<uint32_t[]> words{new uint32_t[kPanel * kDepth / 2]};
  std::unique_ptr<float[]> sums;
};

Sums sums_of(const Problem& p, int64_t first_output, int64_t begin, int64_t end, Scratch& scratch) {
  const int64_t offset = begin * p.y_stride + first_output;
  if (p.rounded_y == nullptr) return {p.y + offset, p.y_stride, nullptr, 0};
  if (p.depth() > kDepth && !scratch.sums)  // chunks differ by one row at most
    scratch.sums.reset(new float[static_cast<size_t>((end - begin + 1) * kPanel)]);
  return {scratch.sums.get(), kPanel, p.rounded_y + offset, p.y_stride};
}

// What comes behind `depth` values of the panel's outputs: its further depths, else the next panel.
Ahead ahead_of(const Problem& p, int64_t first_output, int64_t first, int64_t depth) {
  if (first + depth < p.depth()) {
    first += depth;
  } else {
    first_output += kPanel;
    first = 0;
  }
  if (first_output >= p.width()) return {};
  const WeightRows& w = *p.weight;
  const int64_t value = w.row_bytes() / w.in;
  const int64_t outputs = std::min(kPanel, p.width() - first_output);
  const int64_t summed = std::min(kDepth, p.depth() - first);
  const int64_t row = p.transposed ? first : first_output;
  const int64_t column = p.transposed ? first_output : first;
  return {static_cast<const char*>(w.data) + row * w.row_bytes() + column * value,
          p.transposed ? summed : outputs, (p.transposed ? outputs : summed) * value,
          w.row_bytes()};
}

// Rows [begin, end) of x below panel `panel`.
void multiply_task(const Problem& p, int64_t panel, int64_t begin, int64_t end, Scratch& scratch) {
  const int64_t first_output = panel * kPanel;
  const int64_t count = std::min(kPanel, p.width() - first_output), depth = p.depth();
  const auto last_lanes = static_cast<unsigned>((count - 1) % 16 + 1);
  const Sums y = sums_of(p, first_output, begin, end, scratch);
  uint32_t* const words = scratch.words.get();
  for (int64_t first = 0; first < depth; first += kDepth) {
    const int64_t here = std::min(kDepth, depth - first);
    (p.transposed ? pack_columns : pack_rows)(*p.weight, first_output, count, first, here, words);
    Panel work{words,
               (here + 1) / 2,
               static_cast<uint16_t>((1u << last_lanes) - 1),
               nullptr,
               nullptr,
               p.accumulate || first > 0,
               first + here == depth};
    if (!p.transposed) {
      if (p.weight->type == WeightType::kInt8) work.scale = p.weight->scale + first_output;
      if (p.weight->bias != nullptr) work.bias = p.weight->bias + first_output;
    }
    constexpr std::array kMultiply{multiply_panel<1>, multiply_panel<2>, multiply_panel<3>,
                                   multiply_panel<4>};
    Ahead ahead = ahead_of(p, first_output, first, here);
    kMultiply[static_cast<size_t>((count - 1) / 16)](work, p.x.values + begin * p.x.stride + first,
                                                     p.x.stride, end - begin, y, ahead);
  }
}

#pragma GCC pop_options
#pragma GCC diagnostic pop

// x as bfloat16 in memory of its own.
class RoundedCopy {
 public:
  RoundedCopy(const float* x, int64_t rows, int64_t stride, int64_t columns, const float* scale)
      : values_(new uint16_t[static_cast<size_t>(rows * padded_columns(columns))]),
        rows_(rows),
        stride_(padded_columns(columns)) {
    round_rows(x, rows, stride, columns, values_.get(), scale);
  }
  RoundedRows rows() const { return {values_.get(), rows_, stride_}; }

 private:
  std::unique_ptr<uint16_t[]> values_;
  int64_t rows_, stride_;
};

void solve(const Problem& p) {
  const int64_t panels = (p.width() + kPanel - 1) / kPanel, rows = p.x.rows;
  if (rows == 0) return;
  const int64_t wanted = 4 * at::get_num_threads();
  const int64_t chunks =
      std::clamp<int64_t>((wanted + panels - 1) / panels, 1, std::max<int64_t>(rows / kMinRows, 1));
  at::parallel_for(0, panels * chunks, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t chunk = task % chunks;
      multiply_task(p, task / chunks, rows * chunk / chunks, rows * (chunk + 1) / chunks, scratch);
    }
  });
}

void check_support() {
  CHECK(supports_bfloat16(), kUsage,
        "bfloat16 arithmetic: expected a machine with AVX512_BF16 and AVX512_VNNI\n"
        "hint: --arithmetic float32, or auto");
}

std::atomic<Arithmetic>& chosen() {
  static std::atomic<Arithmetic> arithmetic{supports_bfloat16() ? Arithmetic::kBFloat16
                                                                : Arithmetic::kFloat};
  return arithmetic;
}

}  // namespace

bool supports_bfloat16() {
  static const bool supported =
      __builtin_cpu_supports("avx512bf16") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0;
  return supported;
}

Arithmetic frozen_arithmetic() { return chosen(); }

const char* frozen_arithmetic_name() {
  return frozen_arithmetic() == Arithmetic::kBFloat16 ? "bfloat16" : "float32";
}

void set_frozen_arithmetic(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kBFloat16) check_support();
  chosen() = arithmetic;
}

uint16_t bfloat16_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float widened_bfloat16(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void round_to_bfloat16(const float* x, int64_t count, uint16_t* out, const float* scale) {
  check_support();
  round_row(x, scale, count, out);
}

void widen_bfloat16(const uint16_t* x, int64_t count, float* out) {
  check_support();
  widen_row(x, count, out);
}

void round_rows(const float* x, int64_t rows, int64_t x_stride, int64_t columns, uint16_t* out,
                const float* scale) {
  check_support();
  const int64_t stride = padded_columns(columns);
  at::parallel_for(0, rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      uint16_t* const to = out + row * stride;
      round_row(x + row * x_stride, scale, columns, to);
      if (columns < stride) to[columns] = 0;
    }
  });
}

void multiply_bfloat16(const BFloat16Product& product) {
  check_support();
  const bool scaled = std::any_of(product.weights.begin(), product.weights.end(),
                                  [](const WeightRows& w) { return w.scale != nullptr; });
  CHECK(!product.accumulate || (product.rounded_y == nullptr && !scaled), kUsage,
        "product in bfloat16 arithmetic: expected fp32 and bfloat16 weights for what is added up");
  std::optional<RoundedCopy> copy;
  if (product.rounded_x == nullptr)
    copy.emplace(product.x, product.rows, product.x_stride, product.weights[0].in, nullptr);
  const RoundedRows x =
      copy ? copy->rows() : RoundedRows{product.rounded_x, product.rows, product.x_stride};
  int64_t column = 0;
  for (const WeightRows& weight : product.weights) {
    float* const y = product.y == nullptr ? nullptr : product.y + column;
    uint16_t* const rounded_y = product.rounded_y == nullptr ? nullptr : product.rounded_y + column;
    solve({&weight, false, x, y, rounded_y, product.y_stride, product.accumulate});
    column += weight.out;
  }
}

void multiply_transposed_bfloat16(const BFloat16Product& product) {
  check_support();
  CHECK(product.rounded_y == nullptr || (product.weights.size() == 1 && !product.accumulate),
        kUsage, "product in bfloat16 arithmetic: expected fp32 for what is added up");
  int64_t column = 0;
  for (const WeightRows& weight : product.weights) {
    std::optional<RoundedCopy> copy;
    if (product.rounded_x == nullptr)
      copy.emplace(product.x + column, product.rows, product.x_stride, weight.out, weight.scale);
    const RoundedRows x =
        copy ? copy->rows()
             : RoundedRows{product.rounded_x + column, product.rows, product.x_stride};
    solve({&weight, true, x, product.y, product.rounded_y, product.y_stride,
           product.accumulate || column > 0});
    column += weight.out;
  }
}

}  // namespace etrlrec
