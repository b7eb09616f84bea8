// Attention over a token forest, forward and backward, with grouped-query heads. Exact: the
// gradient of a shared prefix is the sum over its repeats. Each tree is one unit of work per
// key/value head: its keys are packed once, siblings that follow each other share their tiles
// against the ancestors' keys, parts are merged by a running softmax, and the backward pass
// recomputes the scores from the log-sum-exp.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/attention_kernel.h"
#include "nn/forest.h"

namespace etrlrec {

// query [T, H, D], key and value [T, H_kv, D], fp32 -> [T, H, D]. scale is usually 1/sqrt(D).
at::Tensor forest_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const TokenForest& forest, double scale, int64_t window = 0);

// The slow twin: dense mask over the flattened forest, autograd by LibTorch. For tests.
at::Tensor forest_attention_dense(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const TokenForest& forest, double scale,
                                  int64_t window = 0);

// Rotary tables [positions, D / 2] in the rotate-half form; undefined tensors: no rotation.
struct RotaryTable {
  at::Tensor cos, sin;
};
// Frequencies of the rotary embedding: theta^(-2d/D), stretched for longer texts by "linear" (all
// divided by `factor`) or "llama3" (only the slow ones, with a transition between the two
// wavelengths original_max_position_embeddings / low and / high_freq_factor; Llama 3.1).
struct RopeConfig {
  double theta = 10000;
  std::string type = "default";  // default | linear | llama3
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_max_position_embeddings = 8192;
};
RotaryTable rotary_table(int64_t positions, int64_t head_dim, const RopeConfig& rope);

struct HeadShape {
  int64_t num_heads = 1, num_key_value_heads = 1, head_dim = 1;
  int64_t window = 0;  // a token sees its last `window` positions, itself included; 0: all
  // bfloat16 arithmetic, where can_round_attention() (kernels/attention_bfloat16.h): both sides of
  // every product are rounded.
  bool rounds = false;
  int64_t packed_width() const { return (num_heads + 2 * num_key_value_heads) * head_dim; }
};

// How attention walks a forest: its trees and query tiles. Made once per forest, used by all
// layers.
class ForestPlan;
std::shared_ptr<const ForestPlan> plan_forest(const TokenForest& forest);

// The form of the models: queries, keys and values side by side, qkv [T, (H + 2 H_kv) D], rotated
// on the fly -> [T, H D].
at::Tensor rotary_attention(const at::Tensor& qkv, const std::shared_ptr<const ForestPlan>& plan,
                            const HeadShape& shape, const RotaryTable& rotary, double scale);

// Keys (rotated) and values of one head that stand in front of a root of the forest and were
// computed before. `position`: of the first key.
struct FrontSpan {
  KeySpan keys;
  int64_t position = 0;
};
// Appends the spans in front of the root with this number (roots are counted in the forest's
// order); called from several threads.
using FrontKeys =
    std::function<void(int64_t root, int64_t key_value_head, std::vector<FrontSpan>& spans)>;
// The same where every token also sees what stands in front of its root; the forest's positions
// continue those of the front. No gradient.
at::Tensor rotary_attention_behind(const FrontKeys& front, const at::Tensor& qkv,
                                   const std::shared_ptr<const ForestPlan>& plan,
                                   const HeadShape& shape, const RotaryTable& rotary, double scale);

}  // namespace etrlrec
