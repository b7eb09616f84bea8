#include "kernels/product_rows.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "kernels/bfloat16.h"
#include "kernels/parallel.h"
#include "kernels/product_lanes.h"
#include "kernels/product_narrow.h"
#include "kernels/product_vectors.h"

namespace etrlrec {
namespace {

// Whole groups of x in two bytes.
struct RoundedRows {
  std::vector<uint16_t> values;
  std::vector<float> scale;  // of int8 weights
};

void round_groups(const ProductOperands& p, RoundedRows& rounded) {
  const int64_t whole = whole_groups(p.weights[0]);
  const bool integers = p.weights[0].type == WeightType::kInt8;
  rounded.values.resize(static_cast<size_t>(p.rows * whole));
  rounded.scale.resize(integers ? static_cast<size_t>(p.rows) : 0);
  for (int64_t r = 0; r < p.rows; ++r) {
    uint16_t* to = rounded.values.data() + r * whole;
    const float* x = p.x + r * p.x_stride;
    if (integers)
      rounded.scale[static_cast<size_t>(r)] =
          round_to_integers(x, whole, reinterpret_cast<int16_t*>(to));
    else
      round_to_bfloat16(x, whole, to);
  }
}

// What does not fill a group, and the bias; `x` as the caller gave it.
void add_rest(const ProductOperands& p, const WeightRows& w, bool rounds, float* y, int64_t begin,
              int64_t end) {
  const int64_t whole = whole_groups(w);
  if (whole == w.in && w.bias == nullptr) return;
  for (int64_t r = 0; r < p.rows; ++r) {
    const float* x = p.x + r * p.x_stride;
    if (whole == w.in) {
      for (int64_t o = begin; o < end; ++o) y[r * p.y_stride + o] += w.bias[o];
      continue;
    }
    for (int64_t o = begin; o < end; ++o) {
      float sum = w.bias == nullptr ? 0.0f : w.bias[o];
      for (int64_t k = whole; k < w.in; ++k)
        sum += (rounds ? widened_bfloat16(bfloat16_of(x[k])) : x[k]) * w.value(o, k);
      y[r * p.y_stride + o] += sum;
    }
  }
}

// Input rows converted to what the kernel reads, in memory of the calling thread.
struct PreparedRows {
  RowKernel kernel;
  const float* x = nullptr;           // kVectors
  const uint16_t* rounded = nullptr;  // kNarrow: bfloat16, or int16 in the same memory
  const float* scale = nullptr;       // [rows] of int16
  int64_t stride = 0;                 // values between rows of x or rounded
  const LaneRows* lanes = nullptr;    // kLanes
};

PreparedRows prepare(const ProductOperands& p, RowKernel kernel) {
  thread_local std::vector<float> split;
  thread_local RoundedRows rounded;
  thread_local LaneRows lanes;
  const WeightRows& w = p.weights[0];
  const int64_t whole = whole_groups(w);
  PreparedRows out{kernel};
  if (kernel == RowKernel::kLanes) {
    transpose_rows(p.x, p.rows, p.x_stride, whole, lanes);
    out.lanes = &lanes;
  } else if (kernel == RowKernel::kNarrow) {
    round_groups(p, rounded);
    out.rounded = rounded.values.data();
    out.scale = w.type == WeightType::kInt8 ? rounded.scale.data() : nullptr;
    out.stride = whole;
  } else if (w.type != WeightType::kFloat) {
    out.x = split_groups(p, split);
    out.stride = whole;
  } else {
    out.x = p.x;
    out.stride = p.x_stride;
  }
  return out;
}

// Outputs [begin, end) of a weight, without what add_rest() adds.
void multiply_outputs(const ProductOperands& p, const PreparedRows& x, const WeightRows& w,
                      float* y, int64_t begin, int64_t end) {
  if (x.kernel == RowKernel::kLanes)
    dot_lanes(*x.lanes, w, y, p.y_stride, begin, end);
  else if (x.kernel == RowKernel::kNarrow)
    dot_narrow({x.rounded, x.scale, p.rows, x.stride, &w, y, p.y_stride}, begin, end);
  else
    dot_vectors({x.x, p.rows, x.stride, &w, y, p.y_stride}, begin, end);
}

constexpr int64_t kChunk = 24;  // outputs, a multiple of every tile

int64_t num_chunks(const WeightRows& w) { return (w.out + kChunk - 1) / kChunk; }

}  // namespace

void multiply_rows(const ProductOperands& p, RowKernel kernel) {
  CHECK(!p.is_rounded() && !p.accumulate, kUsage,
        "product of few rows: expected fp32 operands and nothing to add to");
  if (p.rows == 0) return;
  const PreparedRows x = prepare(p, kernel);
  const bool rounds = kernel != RowKernel::kVectors && p.weights[0].type == WeightType::kBFloat16;
  int64_t chunks = 0;
  for (const WeightRows& w : p.weights) chunks += num_chunks(w);
  constexpr int64_t kWork = 1 << 16;  // multiplications worth a thread
  constexpr int64_t kPieces = 32;     // of a thread at most
  const int64_t grain = std::max<int64_t>(kWork / (kChunk * p.weights[0].in * p.rows), 1);
  const int64_t most = kPieces * num_threads();
  const int64_t piece = std::max(grain, (chunks + most - 1) / most);
  parallel_pieces(chunks, piece, (chunks + grain - 1) / grain, [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // chunk of the weight
    float* y = p.y;
    for (const WeightRows& w : p.weights) {
      const int64_t from = std::max(begin - first, int64_t{0}) * kChunk;
      const int64_t to = std::min(std::min(end - first, num_chunks(w)) * kChunk, w.out);
      if (from < to) {
        multiply_outputs(p, x, w, y, from, to);
        add_rest(p, w, rounds, y, from, to);
      }
      first += num_chunks(w);
      y += w.out;
    }
  });
}

}  // namespace etrlrec
