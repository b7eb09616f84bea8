// Weights are packed panel by panel (kernels/product_panels). A panel stays in the second-level
// cache while all rows of x pass by, six at a time, so the inner loop is four loads of weights and
// six broadcasts for 24 instructions of 32 products.
#include "kernels/product_packed.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "kernels/arithmetic.h"
#include "kernels/bfloat16.h"
#include "kernels/parallel.h"
#include "kernels/product_panels.h"
#include "kernels/target.h"

#if ETRLREC_X86
namespace etrlrec {
namespace {

constexpr int64_t kDepth = 5120;    // summed at a time, even: 640 KiB of words
constexpr int64_t kTile = 6;        // rows of x at a time
constexpr int64_t kMinRows = 192;   // worth packing a panel again for another thread
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

// Weights, and where their panels come from. Forward: panels of rows of one weight, summed along
// columns; transposed: panels of columns, summed along the rows of all of them.
struct Problem {
  StackedRows stack;
  bool transposed;
  RoundedRows x;
  float* y;
  uint16_t* rounded_y;  // instead of y, unless null
  int64_t y_stride;
  bool accumulate;
  const WeightRows& weight() const { return stack.weights[0]; }
  int64_t width() const { return transposed ? weight().in : weight().out; }
  int64_t depth() const { return transposed ? stack.size() : weight().in; }
};

// A panel of `vecs` vectors of 16 outputs, the last one with `last` of them.
struct Panel {
  const uint32_t* words;  // [pairs][vecs][16]
  int64_t pairs;
  uint16_t last_mask;
  const float* scale;  // [outputs] or null: multiplies the finished sums
  const float* bias;   // [outputs] or null
  bool accumulate, finish;
  uint16_t mask(int vec, int vecs) const { return vec + 1 == vecs ? last_mask : uint16_t{0xffff}; }
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

ETRLREC_BFLOAT16_BEGIN

// Loops over the sums of a block are unrolled, or the compiler keeps them in memory.
template <int Rows, int Vecs>
struct Block {
  __m512 sums[Rows][Vecs];

  void load(const Panel& p, const Sums& y) {
    ETRLREC_UNROLL(16)
    for (int r = 0; r < Rows; ++r) {
      ETRLREC_UNROLL(4)
      for (int v = 0; v < Vecs; ++v)
        sums[r][v] = _mm512_maskz_loadu_ps(p.mask(v, Vecs), y.values + r * y.stride + v * 16);
    }
  }
  void clear() {
    ETRLREC_UNROLL(16)
    for (int r = 0; r < Rows; ++r) {
      ETRLREC_UNROLL(4)
      for (int v = 0; v < Vecs; ++v) sums[r][v] = _mm512_setzero_ps();
    }
  }
  // sums = sums * scale + bias, each unless null
  void finish(const Panel& p) {
    ETRLREC_UNROLL(4)
    for (int v = 0; v < Vecs; ++v) {
      const __m512 scale = p.scale == nullptr
                               ? _mm512_set1_ps(1)
                               : _mm512_maskz_loadu_ps(p.mask(v, Vecs), p.scale + v * 16);
      const __m512 bias = p.bias == nullptr
                              ? _mm512_setzero_ps()
                              : _mm512_maskz_loadu_ps(p.mask(v, Vecs), p.bias + v * 16);
      ETRLREC_UNROLL(16)
      for (int r = 0; r < Rows; ++r) sums[r][v] = _mm512_fmadd_ps(sums[r][v], scale, bias);
    }
  }
  void store(const Panel& p, const Sums& y) const {
    ETRLREC_UNROLL(16)
    for (int r = 0; r < Rows; ++r) {
      ETRLREC_UNROLL(4)
      for (int v = 0; v < Vecs; ++v)
        _mm512_mask_storeu_ps(y.values + r * y.stride + v * 16, p.mask(v, Vecs), sums[r][v]);
    }
  }
  void store_rounded(const Panel& p, const Sums& y) const {
    ETRLREC_UNROLL(16)
    for (int r = 0; r < Rows; ++r) {
      ETRLREC_UNROLL(4)
      for (int v = 0; v < Vecs; ++v)
        _mm256_mask_storeu_epi16(y.rounded + r * y.rounded_stride + v * 16, p.mask(v, Vecs),
                                 reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums[r][v])));
    }
  }
};

template <int Rows, int Vecs>
void multiply_block(const Panel& p, const uint16_t* x, int64_t x_stride, const Sums& y,
                    Ahead& ahead) {
  Block<Rows, Vecs> block;
  p.accumulate ? block.load(p, y) : block.clear();
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
      for (int v = 0; v < Vecs; ++v)
        block.sums[r][v] = _mm512_dpbf16_ps(block.sums[r][v], left, right[v]);
    }
  }
  if (p.finish && (p.scale != nullptr || p.bias != nullptr)) block.finish(p);
  const bool rounded = p.finish && y.rounded != nullptr;
  rounded ? block.store_rounded(p, y) : block.store(p, y);
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

// Memory of a task: the words of a panel; sums of outputs that are rounded at the end, when what is
// summed takes several panels.
struct Scratch {
  explicit Scratch(int64_t depth)
      : words(new uint32_t[static_cast<size_t>(kPanel * ((std::min(depth, kDepth) + 1) / 2))]) {}
  std::unique_ptr<uint32_t[]> words;
  std::unique_ptr<float[]> sums;
};

Sums sums_of(const Problem& p, int64_t first_output, int64_t begin, int64_t end, Scratch& scratch) {
  const int64_t offset = begin * p.y_stride + first_output;
  if (p.rounded_y == nullptr) return {p.y + offset, p.y_stride, nullptr, 0};
  if (p.depth() > kDepth && !scratch.sums)  // chunks differ by one row at most
    scratch.sums.reset(new float[static_cast<size_t>((end - begin + 1) * kPanel)]);
  return {scratch.sums.get(), kPanel, p.rounded_y + offset, p.y_stride};
}

// What comes after `depth` values of the panel's outputs: its further depths, else the next panel;
// of stacked weights, those of the one it begins in.
Ahead ahead_of(const Problem& p, int64_t first_output, int64_t first, int64_t depth) {
  if (first + depth < p.depth()) {
    first += depth;
  } else {
    first_output += kPanel;
    first = 0;
  }
  if (first_output >= p.width()) return {};
  const StackedRows::Row row = p.stack.at(p.transposed ? first : first_output);
  const WeightRows& w = *row.weight;
  const int64_t value = w.row_bytes() / w.in;
  const int64_t outputs = std::min(kPanel, p.width() - first_output);
  if (!p.transposed)
    return {row.data() + first * value, outputs, std::min(kDepth, w.in - first) * value,
            w.row_bytes()};
  return {row.data() + first_output * value, std::min(kDepth, w.out - row.index), outputs * value,
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
    p.transposed ? pack_columns(p.stack, first_output, count, first, here, words)
                 : pack_rows(p.weight(), first_output, count, first, here, words);
    Panel work{words,
               (here + 1) / 2,
               static_cast<uint16_t>((1u << last_lanes) - 1),
               nullptr,
               nullptr,
               p.accumulate || first > 0,
               first + here == depth};
    if (!p.transposed && p.weight().scale != nullptr) work.scale = p.weight().scale + first_output;
    if (!p.transposed && p.weight().bias != nullptr) work.bias = p.weight().bias + first_output;
    constexpr std::array kMultiply{multiply_panel<1>, multiply_panel<2>, multiply_panel<3>,
                                   multiply_panel<4>};
    Ahead ahead = ahead_of(p, first_output, first, here);
    kMultiply[static_cast<size_t>((count - 1) / 16)](work, p.x.values + begin * p.x.stride + first,
                                                     p.x.stride, end - begin, y, ahead);
  }
}

ETRLREC_BFLOAT16_END

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
  const int64_t wanted = 4 * num_threads();
  const int64_t chunks =
      std::clamp<int64_t>((wanted + panels - 1) / panels, 1, std::max<int64_t>(rows / kMinRows, 1));
  parallel_pieces(panels * chunks, 1, panels * chunks, [&](int64_t begin, int64_t end) {
    Scratch scratch(p.depth());
    for (int64_t task = begin; task < end; ++task) {
      const int64_t chunk = task % chunks;
      multiply_task(p, task / chunks, rows * chunk / chunks, rows * (chunk + 1) / chunks, scratch);
    }
  });
}

// One for each row, 1 where a weight has none; empty where none has any.
std::vector<float> scales_of(const StackedRows& stack) {
  std::vector<float> scales;
  if (std::none_of(stack.weights.begin(), stack.weights.end(),
                   [](const WeightRows& w) { return w.scale != nullptr; }))
    return scales;
  for (const WeightRows& weight : stack.weights) {
    if (weight.scale == nullptr)
      scales.insert(scales.end(), static_cast<size_t>(weight.out), 1.0f);
    else
      scales.insert(scales.end(), weight.scale, weight.scale + weight.out);
  }
  return scales;
}

}  // namespace

void multiply_packed(const ProductOperands& product) {
  check_bfloat16();
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
    solve({{{&weight, 1}}, false, x, y, rounded_y, product.y_stride, product.accumulate});
    column += weight.out;
  }
}

void multiply_transposed_packed(const ProductOperands& product) {
  check_bfloat16();
  CHECK(product.rounded_y == nullptr || !product.accumulate, kUsage,
        "product in bfloat16 arithmetic: expected fp32 for what is added up");
  const StackedRows stack{product.weights};
  std::optional<RoundedCopy> copy;
  if (product.rounded_x == nullptr) {
    const std::vector<float> scales = scales_of(stack);
    copy.emplace(product.x, product.rows, product.x_stride, stack.size(),
                 scales.empty() ? nullptr : scales.data());
  }
  const RoundedRows x =
      copy ? copy->rows() : RoundedRows{product.rounded_x, product.rows, product.x_stride};
  solve({stack, true, x, product.y, product.rounded_y, product.y_stride, product.accumulate});
}

}  // namespace etrlrec
#else
namespace etrlrec {

// Refused: machines other than x86-64 have no such kernel.
void multiply_packed(const ProductOperands&) { check_bfloat16(); }
void multiply_transposed_packed(const ProductOperands&) { check_bfloat16(); }

}  // namespace etrlrec
#endif
