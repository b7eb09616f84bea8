#include "nn/attention_dense.h"

#include <ATen/ATen.h>

#include <limits>

namespace etrlrec::plain {
namespace {

using at::Tensor;

constexpr float kHidden = -std::numeric_limits<float>::infinity();

// Tokens of a tree in their order of computation, and the place of each of its segments among them.
struct TreeTokens {
  std::vector<int64_t> tokens, positions;
  std::vector<int64_t> place;  // of every segment of the forest, -1 for those of other trees

  TreeTokens(const ForestPlan& plan, const ForestPlan::Tree& tree) : place(plan.parts.size(), -1) {
    for (const int64_t s : tree.segments) {
      place[s] = std::ssize(tokens);
      for (int64_t t = plan.parts[s].begin; t < plan.parts[s].end; ++t) {
        tokens.push_back(t);
        positions.push_back(plan.positions[t]);
      }
    }
  }
};

// mask [n, front + n]: 0 where a token of the tree sees a key, -inf elsewhere.
Tensor tree_mask(const ForestPlan& plan, const ForestPlan::Tree& tree, const TreeTokens& mine,
                 const std::vector<int64_t>& front, int64_t window) {
  const auto rows = std::ssize(mine.tokens), before = std::ssize(front);
  const Tensor mask = at::full({rows, before + rows}, kHidden);
  float* values = mask.data_ptr<float>();
  for (const int64_t s : tree.segments) {
    for (int64_t t = plan.parts[s].begin; t < plan.parts[s].end; ++t) {
      const int64_t row = mine.place[s] + t - plan.parts[s].begin;
      float* to = values + row * (before + rows);
      const auto show = [&](int64_t key, int64_t position) {
        if (window == 0 || plan.positions[t] - position < window) to[key] = 0;
      };
      for (int64_t k = 0; k < before; ++k) show(k, front[k]);
      for (int64_t a = plan.parts[s].parent; a >= 0; a = plan.parts[a].parent) {
        const int64_t count = plan.parts[a].end - plan.parts[a].begin;
        for (int64_t k = mine.place[a]; k < mine.place[a] + count; ++k)
          show(before + k, mine.positions[k]);
      }
      for (int64_t k = mine.place[s]; k <= row; ++k) show(before + k, mine.positions[k]);
    }
  }
  return mask;
}

}  // namespace

Tensor dense_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                       const Tensor& mask, double scale) {
  const int64_t rows = query.size(0), heads = query.size(1), dim = query.size(2);
  const int64_t keys = key.size(0), key_heads = key.size(1), group = heads / key_heads;
  const Tensor q = query.reshape({rows, key_heads, group, dim})
                       .permute({1, 2, 0, 3})
                       .reshape({key_heads, group * rows, dim});
  const Tensor scores =
      at::bmm(q, key.permute({1, 2, 0})).view({key_heads, group, rows, keys}) * scale + mask;
  const Tensor weights = at::softmax(scores, -1).view({key_heads, group * rows, keys});
  return at::bmm(weights, value.transpose(0, 1))
      .view({key_heads, group, rows, dim})
      .permute({2, 0, 1, 3})
      .reshape({rows, heads, dim});
}

Tensor forest_attention(const Tensor& qkv, const ForestPlan& plan, const HeadShape& shape,
                        const RotaryTable& rotary, double scale, const DenseFront& front) {
  const int64_t keys = shape.num_key_value_heads;
  const Tensor heads =
      qkv.view({qkv.size(0), shape.num_heads + 2 * keys, shape.head_dim});  // [T, H + 2 H_kv, D]
  const Tensor positions = at::tensor(plan.positions, at::kLong).to(qkv.device());
  const Tensor turned = rotated(heads.narrow(1, 0, shape.num_heads + keys), rotary, positions);
  std::vector<Tensor> outs;
  std::vector<int64_t> order;  // tokens of `outs`
  for (int64_t root = 0; root < std::ssize(plan.trees); ++root) {
    const ForestPlan::Tree& tree = plan.trees[root];
    const TreeTokens mine(plan, tree);
    const Tensor index = at::tensor(mine.tokens, at::kLong).to(qkv.device());
    const Tensor own = turned.index_select(0, index);
    Tensor key = own.narrow(1, shape.num_heads, keys);
    Tensor value = heads.narrow(1, shape.num_heads + keys, keys).index_select(0, index);
    DenseKeys before;
    if (front) before = front(root);
    if (!before.positions.empty()) {
      key = at::cat({before.key, key}, 0);
      value = at::cat({before.value, value}, 0);
    }
    const Tensor mask = tree_mask(plan, tree, mine, before.positions, shape.window);
    outs.push_back(dense_attention(own.narrow(1, 0, shape.num_heads), key, value,
                                   mask.to(qkv.device()), scale));
    order.insert(order.end(), mine.tokens.begin(), mine.tokens.end());
  }
  std::vector<int64_t> place(order.size());  // of every token in `outs`
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int64_t>(i);
  return at::cat(outs, 0).index_select(0, at::tensor(place, at::kLong).to(qkv.device())).flatten(1);
}

}  // namespace etrlrec::plain
