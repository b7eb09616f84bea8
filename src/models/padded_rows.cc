#include "models/padded_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

namespace etrlrec {

PaddedRows pad_rows(const TokenForest& forest) {
  PaddedRows rows;
  rows.sequences = static_cast<int64_t>(forest.segments.size());
  for (const Segment& segment : forest.segments)
    rows.length = std::max(rows.length, segment.end - segment.begin);
  std::vector<int64_t> places;
  for (int64_t s = 0; s < rows.sequences; ++s) {
    const Segment& segment = forest.segments[static_cast<size_t>(s)];
    for (int64_t t = segment.begin; t < segment.end; ++t)
      places.push_back(s * rows.length + t - segment.begin);
  }
  rows.places = at::tensor(places);
  rows.real = at::zeros({rows.sequences * rows.length}, at::kBool)
                  .index_fill_(0, rows.places, true)
                  .view({rows.sequences, rows.length});
  return rows;
}

at::Tensor to_heads(const at::Tensor& values, const PaddedRows& rows, int64_t heads) {
  const int64_t width = values.size(1);
  return at::zeros({rows.sequences * rows.length, width}, values.options())
      .index_copy(0, rows.places, values)
      .view({rows.sequences, rows.length, heads, width / heads})
      .transpose(1, 2);
}

at::Tensor from_heads(const at::Tensor& values, const PaddedRows& rows) {
  return values.transpose(1, 2)
      .reshape({rows.sequences * rows.length, -1})
      .index_select(0, rows.places);
}

}  // namespace etrlrec
