// Attention over a forest by one dense mask over all its tokens, written apart from the program:
// the twin that both ways of nn/attention are compared with.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "nn/forest.h"

namespace etrlrec {

inline at::Tensor forest_attention_dense(const at::Tensor& query, const at::Tensor& key,
                                         const at::Tensor& value, const TokenForest& forest,
                                         double scale, int64_t window = 0) {
  const int64_t tokens = forest.num_tokens(), group = query.size(1) / key.size(1);
  at::Tensor mask = at::full({tokens, tokens}, -std::numeric_limits<float>::infinity());
  for (const Segment& segment : forest.segments) {
    at::Tensor rows = mask.narrow(0, segment.begin, segment.end - segment.begin);
    const int64_t length = segment.end - segment.begin;
    rows.narrow(1, segment.begin, length)
        .copy_(at::full({length, length}, -std::numeric_limits<float>::infinity()).triu(1));
    for (int64_t a = segment.parent; a >= 0; a = forest.segments[a].parent) {
      const Segment& ancestor = forest.segments[a];
      rows.narrow(1, ancestor.begin, ancestor.end - ancestor.begin).zero_();
    }
  }
  if (window > 0) {
    const at::Tensor positions = at::tensor(forest.positions);
    mask.masked_fill_(positions.unsqueeze(1) - positions.unsqueeze(0) >= window,
                      -std::numeric_limits<float>::infinity());
  }
  const at::Tensor q = query.transpose(0, 1);  // [H, T, D]
  const at::Tensor k = key.repeat_interleave(group, 1).transpose(0, 1);
  const at::Tensor v = value.repeat_interleave(group, 1).transpose(0, 1);
  const at::Tensor scores = at::matmul(q, k.transpose(1, 2)) * scale + mask;  // [H, T, T]
  return at::matmul(at::softmax(scores, -1), v).transpose(0, 1);
}

}  // namespace etrlrec
