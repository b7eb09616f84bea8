// Attention over a token forest, forward and backward, with grouped-query heads. Exact: the
// gradient of a shared prefix is the sum over its repeats. On the CPU each tree is one unit of work
// per key/value head: its keys are packed once, siblings that follow each other share their tiles
// against the ancestors' keys, parts are merged by a running softmax, and the backward pass
// recomputes the scores from the log-sum-exp. The plain way is nn/attention_dense.
#pragma once

#include <torch/types.h>

#include <memory>

#include "nn/attention_shape.h"
#include "nn/forest.h"
#include "nn/numerics.h"
#include "nn/rotary.h"

namespace etrlrec {

// query [T, H, D], key and value [T, H_kv, D], fp32 -> [T, H, D]. scale is usually 1/sqrt(D).
at::Tensor forest_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const TokenForest& forest, double scale, int64_t window = 0,
                            const Numerics& numerics = {});

// How attention walks a forest: its trees and query tiles. Made once per forest, used by all
// layers.
class ForestPlan;
std::shared_ptr<const ForestPlan> plan_forest(const TokenForest& forest);

// The form of the models: queries, keys and values side by side, qkv [T, (H + 2 H_kv) D], rotated
// on the fly -> [T, H D].
at::Tensor rotary_attention(const at::Tensor& qkv, const std::shared_ptr<const ForestPlan>& plan,
                            const HeadShape& shape, const RotaryTable& rotary, double scale,
                            const Numerics& numerics = {});

// The same where every token also sees what comes before its root; the forest's positions
// continue those of the front. No gradient; on the CPU only (plain::forest_attention otherwise).
at::Tensor rotary_attention_behind(const FrontKeys& front, const at::Tensor& qkv,
                                   const std::shared_ptr<const ForestPlan>& plan,
                                   const HeadShape& shape, const RotaryTable& rotary, double scale);

}  // namespace etrlrec
