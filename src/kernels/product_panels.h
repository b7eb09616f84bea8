// Packed layout of a weight for products of many rows in bfloat16 arithmetic: panels of 64 outputs,
// pairs along the summed dimension K interleaved, [K/2][out/16][16] words of two bfloat16 values,
// zero-padded. Machines with AVX512_BF16 only.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/weight_rows.h"

namespace etrlrec {

inline constexpr int64_t kPanel = 64;  // outputs of a panel

// Rows of several weights with one `in`, one weight after the other.
struct StackedRows {
  std::span<const WeightRows> weights;
  struct Row {
    const WeightRows* weight;
    int64_t index;
    const char* data() const {
      return static_cast<const char*>(weight->data) + index * weight->row_bytes();
    }
  };
  Row at(int64_t row) const {
    const WeightRows* weight = weights.data();
    for (; row >= weight->out; ++weight) row -= weight->out;
    return {weight, row};
  }
  int64_t size() const {
    int64_t rows = 0;
    for (const WeightRows& weight : weights) rows += weight.out;
    return rows;
  }
};

// Rows [begin, begin + count) of a bfloat16 or int8 weight, summed along columns [first,
// first + depth).
void pack_rows(const WeightRows& w, int64_t begin, int64_t count, int64_t first, int64_t depth,
               uint32_t* words);
// Columns [begin, begin + count), summed along rows [first, first + depth).
void pack_columns(const StackedRows& stack, int64_t begin, int64_t count, int64_t first,
                  int64_t depth, uint32_t* words);

}  // namespace etrlrec
