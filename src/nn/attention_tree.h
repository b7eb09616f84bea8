// The walk of attention over a forest on raw pointers: one task per tree and key/value head, tiles
// of queries within it.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attention_kernel.h"
#include "kernels/simd.h"
#include "nn/attention_shape.h"
#include "nn/forest.h"

namespace etrlrec {

// Trees, and tiles of at most kTileRows consecutive tokens of consecutive siblings: such a tile
// sees all keys of the ancestors; of its own segments each row sees its own causally.
class ForestPlan {
 public:
  struct Part {  // a segment and where its keys lie in the packed buffer of its tree
    int64_t begin = 0, end = 0, parent = -1, offset = 0;
  };
  struct Tile {
    int64_t begin = 0, end = 0;  // tokens
    int64_t first = 0;           // first segment that overlaps it
  };
  struct Tree {
    std::vector<int64_t> segments;
    std::vector<Tile> tiles;
    int64_t packed = 0;  // keys, each segment rounded up to whole blocks
  };
  explicit ForestPlan(const TokenForest& forest);

  int64_t num_tokens = 0;
  int64_t max_position = 0;
  std::vector<int64_t> positions;
  std::vector<Part> parts;
  std::vector<Tree> trees;
};

// Rows of one tensor [T, heads, D] with any row stride.
struct Rows {
  float* data = nullptr;
  int64_t stride = 0, head_dim = 0;
  float* at(int64_t token, int64_t head) const { return data + token * stride + head * head_dim; }
};

struct AttentionProblem {
  const ForestPlan* plan = nullptr;
  HeadShape shape;
  float scale = 1;
  const float* cos = nullptr;
  const float* sin = nullptr;
  Rows query, key, value;
  const FrontKeys* front = nullptr;  // forward only

  int64_t width() const { return simd::padded(shape.head_dim); }
  int64_t group() const { return shape.num_heads / shape.num_key_value_heads; }
  Rotation rotation(int64_t token) const {
    if (cos == nullptr) return {};
    const int64_t row = plan->positions[token] * (shape.head_dim / 2);
    return {cos + row, sin + row};
  }
};

// out [T, H, D] and logsumexp [T, H] are written.
void attention_forward(const AttentionProblem& problem, const Rows& out, float* logsumexp);

struct AttentionGradient {
  Rows out, out_gradient;            // [T, H, D]
  const float* logsumexp = nullptr;  // [T, H]
  Rows query, key, value;            // written
};
void attention_backward(const AttentionProblem& problem, const AttentionGradient& gradient);

}  // namespace etrlrec
