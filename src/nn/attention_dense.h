// Attention over a token forest in plain ATen operations: one dense mask per tree, autograd by
// LibTorch. The way of tensors that are not on the CPU and of --arithmetic reference, and the slow
// twin of nn/attention in the tests. Memory grows with the square of a tree's tokens.
#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

#include "nn/attention_shape.h"
#include "nn/attention_tree.h"
#include "nn/forest.h"
#include "nn/rotary.h"

namespace etrlrec::plain {

// Keys (rotated) and values with the position of each key.
struct DenseKeys {
  at::Tensor key, value;           // [S, H_kv, D]
  std::vector<int64_t> positions;  // [S]
};
// What comes before a root of the forest; roots are counted in the forest's order.
using DenseFront = std::function<DenseKeys(int64_t root)>;

// softmax(scale * query key^T + mask) value. query [T, H, D] (rotated), key and value [S, H_kv, D],
// mask [T, S] with 0 or -inf -> [T, H, D]. Differentiable.
at::Tensor dense_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const at::Tensor& mask, double scale);

// As rotary_attention() (nn/attention.h): qkv [T, (H + 2 H_kv) D] -> [T, H D]. With `front`, every
// token also sees what comes before its root, as in rotary_attention_behind(). Differentiable
// in qkv.
at::Tensor forest_attention(const at::Tensor& qkv, const ForestPlan& plan, const HeadShape& shape,
                            const RotaryTable& rotary, double scale, const DenseFront& front = {});

}  // namespace etrlrec::plain
