// See attention_tree.h. Every task owns the queries of its heads and the keys of its tree, so
// gradients need no locks.
#include "nn/attention_tree.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "base/check.h"
#include "kernels/attention_bfloat16.h"
#include "kernels/bfloat16.h"
#include "kernels/parallel.h"

namespace etrlrec {

ForestPlan::ForestPlan(const TokenForest& forest)
    : num_tokens(forest.num_tokens()), positions(forest.positions) {
  CHECK(num_tokens > 0, kInput, "token forest: expected at least one token");
  max_position = *std::max_element(positions.begin(), positions.end());
  std::vector<int64_t> tree_of;
  for (const Segment& segment : forest.segments) {
    const bool root = segment.parent < 0;
    tree_of.push_back(root ? static_cast<int64_t>(trees.size()) : tree_of[segment.parent]);
    if (root) trees.emplace_back();
    Tree& tree = trees[tree_of.back()];
    const int64_t index = static_cast<int64_t>(parts.size());
    const bool joins = !root && !tree.segments.empty() && tree.segments.back() == index - 1 &&
                       parts.back().parent == segment.parent;
    for (int64_t t = segment.begin; t < segment.end;) {
      const bool extend = joins && t == segment.begin && tree.tiles.back().end == t &&
                          t - tree.tiles.back().begin < kTileRows;
      if (!extend) tree.tiles.push_back({t, t, index});
      Tile& tile = tree.tiles.back();
      tile.end = t = std::min(segment.end, tile.begin + kTileRows);
    }
    tree.segments.push_back(index);
    parts.push_back({segment.begin, segment.end, segment.parent, tree.packed});
    tree.packed += simd::padded(segment.end - segment.begin);
  }
}

namespace {

// Scratch memory of one thread, cut into pieces; contents are undefined unless cleared.
class Scratch {
 public:
  void reserve(int64_t floats) {
    if (static_cast<int64_t>(memory_.size()) < floats + kSlack) memory_.resize(floats + kSlack);
    used_ = 0;
  }
  float* take(int64_t floats) {
    float* out = memory_.data() + used_;
    used_ += simd::padded(floats);
    return out;
  }
  float* take_zeros(int64_t floats) {
    float* out = take(floats);
    std::fill(out, out + floats, 0.0f);
    return out;
  }

 private:
  static constexpr int64_t kSlack = 512;
  std::vector<float> memory_;
  int64_t used_ = 0;
};

Scratch& thread_scratch() {
  thread_local Scratch scratch;
  return scratch;
}

// Packed keys and values of a tree for one key/value head: floats, or pairs of bfloat16.
struct PackedTree {
  float* key_blocks = nullptr;
  float* value_rows = nullptr;
  float* key_rows = nullptr;
  float* value_blocks = nullptr;
  uint32_t* key_block_pairs = nullptr;
  uint32_t* value_pairs = nullptr;
  uint32_t* key_pairs = nullptr;
  uint32_t* value_block_pairs = nullptr;

  KeySpan span(const AttentionProblem& p, const ForestPlan::Part& part) const {
    const int64_t rows = part.offset * p.width(), blocks = part.offset * p.shape.head_dim,
                  pairs = blocks / 2;
    const auto at = [](auto* memory, int64_t offset) {
      return memory == nullptr ? nullptr : memory + offset;
    };
    KeySpan out;
    out.count = part.end - part.begin;
    out.key_blocks = at(key_blocks, blocks);
    out.value_rows = at(value_rows, rows);
    out.key_rows = at(key_rows, rows);
    out.value_blocks = at(value_blocks, blocks);
    out.key_block_pairs = at(key_block_pairs, pairs);
    out.value_pairs = at(value_pairs, pairs);
    out.key_pairs = at(key_pairs, pairs);
    out.value_block_pairs = at(value_block_pairs, pairs);
    return out;
  }
};

// Calls put(place in the packed order, token) for every token of the tree.
template <typename F>
void for_each_token(const AttentionProblem& p, const ForestPlan::Tree& tree, const F& put) {
  for (int64_t index : tree.segments) {
    const ForestPlan::Part& part = p.plan->parts[index];
    for (int64_t t = part.begin; t < part.end; ++t) put(part.offset + t - part.begin, t);
  }
}

PackedTree pack_rounded(const AttentionProblem& p, const ForestPlan::Tree& tree, int64_t head,
                        bool backward, Scratch& scratch) {
  const int64_t dim = p.shape.head_dim, floats = tree.packed * dim / 2;
  const auto take = [&] { return reinterpret_cast<uint32_t*>(scratch.take(floats)); };
  auto* keys = reinterpret_cast<uint16_t*>(scratch.take_zeros(floats));
  auto* values = reinterpret_cast<uint16_t*>(scratch.take_zeros(floats));
  float* row = scratch.take(dim);
  for_each_token(p, tree, [&](int64_t j, int64_t t) {
    rotate(p.key.at(t, head), row, dim, p.rotation(t), 1.0f, false);
    round_to_bfloat16(row, dim, keys + j * dim);
    round_to_bfloat16(p.value.at(t, head), dim, values + j * dim);
  });
  PackedTree out;
  out.key_block_pairs = take();
  out.value_pairs = take();
  pack_block_pairs(keys, tree.packed, dim, out.key_block_pairs);
  pack_row_pairs(values, tree.packed, dim, out.value_pairs);
  if (!backward) return out;
  out.key_pairs = take();
  out.value_block_pairs = take();
  pack_row_pairs(keys, tree.packed, dim, out.key_pairs);
  pack_block_pairs(values, tree.packed, dim, out.value_block_pairs);
  return out;
}

PackedTree pack(const AttentionProblem& p, const ForestPlan::Tree& tree, int64_t head,
                bool backward, Scratch& scratch) {
  if (p.shape.uses_bfloat16_math) return pack_rounded(p, tree, head, backward, scratch);
  const int64_t dim = p.shape.head_dim, width = p.width();
  PackedTree out;
  out.key_blocks = scratch.take_zeros(tree.packed * dim);
  out.value_rows = scratch.take_zeros(tree.packed * width);
  if (backward) {
    out.key_rows = scratch.take_zeros(tree.packed * width);
    out.value_blocks = scratch.take_zeros(tree.packed * dim);
  }
  float* row = scratch.take(width);
  for_each_token(p, tree, [&](int64_t j, int64_t t) {
    const float* value = p.value.at(t, head);
    rotate(p.key.at(t, head), row, dim, p.rotation(t), 1.0f, false);
    put_blocked(out.key_blocks, j, row, dim);
    std::copy(value, value + dim, out.value_rows + j * width);
    if (!backward) return;
    std::copy(row, row + dim, out.key_rows + j * width);
    put_blocked(out.value_blocks, j, value, dim);
  });
  return out;
}

void load_queries(const AttentionProblem& p, const ForestPlan::Tile& tile, int64_t head,
                  float* out) {
  for (int64_t t = tile.begin; t < tile.end; ++t) {
    rotate(p.query.at(t, head), out + (t - tile.begin) * p.width(), p.shape.head_dim, p.rotation(t),
           p.scale, false);
  }
}

// Calls visit(first row, rows, part, first visible key) for every span that the tile sees:
// ancestors with all rows, then each overlapping segment with its own rows.
template <typename F>
void for_each_span(const ForestPlan& plan, const ForestPlan::Tile& tile, const F& visit) {
  for (int64_t a = plan.parts[tile.first].parent; a >= 0; a = plan.parts[a].parent) {
    visit(int64_t{0}, tile.end - tile.begin, a, kAllKeys);
  }
  for (int64_t s = tile.first; s < static_cast<int64_t>(plan.parts.size()); ++s) {
    const ForestPlan::Part& part = plan.parts[s];
    if (part.begin >= tile.end) break;
    const int64_t begin = std::max(part.begin, tile.begin), end = std::min(part.end, tile.end);
    visit(begin - tile.begin, end - begin, s, begin - part.begin);
  }
}

// With a sliding window: the first key of the part that each row of the tile sees.
class WindowStart {
 public:
  WindowStart(const AttentionProblem& p, const ForestPlan::Tile& tile) : p_(p), tile_(tile) {}
  // Null without a window. `row`, `count`: the rows of the tile that look at the part.
  const int64_t* of(int64_t row, int64_t count, const ForestPlan::Part& part) {
    return behind(row, count, p_.plan->positions[part.begin]);
  }
  // The same of keys that begin at this position.
  const int64_t* behind(int64_t row, int64_t count, int64_t position) {
    if (p_.shape.window == 0) return nullptr;
    for (int64_t i = 0; i < count; ++i)
      starts_[i] = p_.plan->positions[tile_.begin + row + i] - p_.shape.window + 1 - position;
    return starts_;
  }

 private:
  const AttentionProblem& p_;
  const ForestPlan::Tile& tile_;
  int64_t starts_[kTileRows] = {};
};

// Asks for a head's rows of a tile, which lie far apart: to be called a tile before they are read.
void fetch_rows(const Rows& rows, const ForestPlan::Tile& tile, int64_t head) {
  constexpr int64_t kLineFloats = 16;
  for (int64_t t = tile.begin; t < tile.end; ++t)
    for (int64_t d = 0; d < rows.head_dim; d += kLineFloats)
      __builtin_prefetch(rows.at(t, head) + d, 0, 2);
}

// Calls work(tile, head) for every query head of the key/value head; `read`: what it reads.
template <typename F>
void for_each_tile(const AttentionProblem& p, const ForestPlan::Tree& tree, int64_t kv_head,
                   std::initializer_list<Rows> read, const F& work) {
  const int64_t first = kv_head * p.group(), end = first + p.group();
  const size_t tiles = tree.tiles.size();
  for (int64_t head = first; head < end; ++head) {
    for (size_t i = 0; i < tiles; ++i) {
      const int64_t next_head = i + 1 < tiles ? head : head + 1;
      if (next_head < end)
        for (const Rows& rows : read) fetch_rows(rows, tree.tiles[(i + 1) % tiles], next_head);
      work(tree.tiles[i], head);
    }
  }
}

int64_t packed_floats(const AttentionProblem& p, const ForestPlan::Tree& tree) {
  return tree.packed * (p.width() + p.shape.head_dim) + 2 * p.width() + 64;
}

void forward_tile(const AttentionProblem& p, const ForestPlan::Tile& tile, const PackedTree& packed,
                  const std::vector<FrontSpan>& front, int64_t head, const Rows& out,
                  float* logsumexp, float* work) {
  const int64_t width = p.width(), dim = p.shape.head_dim, rows = tile.end - tile.begin;
  float* query = work;
  float* output = query + kTileRows * width;
  float* maximum = output + kTileRows * width;
  float* sum = maximum + kTileRows;
  float* scores = sum + kTileRows;
  load_queries(p, tile, head, query);
  std::fill(output, output + rows * width, 0.0f);
  std::fill(maximum, maximum + rows, -1e30f);
  std::fill(sum, sum + rows, 0.0f);
  WindowStart window(p, tile);
  for (const FrontSpan& span : front)
    attend({rows, dim, query, window.behind(0, rows, span.position)}, span.keys, kAllKeys,
           {maximum, sum, output}, scores);
  for_each_span(*p.plan, tile, [&](int64_t row, int64_t count, int64_t index, int64_t visible) {
    const ForestPlan::Part& part = p.plan->parts[index];
    attend({count, dim, query + row * width, window.of(row, count, part)}, packed.span(p, part),
           visible, {maximum + row, sum + row, output + row * width}, scores);
  });
  for (int64_t i = 0; i < rows; ++i) {
    float* to = out.at(tile.begin + i, head);
    const float inverse = 1.0f / sum[i];
    for (int64_t d = 0; d < dim; ++d) to[d] = output[i * width + d] * inverse;
    logsumexp[(tile.begin + i) * p.shape.num_heads + head] = maximum[i] + std::log(sum[i]);
  }
}

void forward_tree(const AttentionProblem& p, int64_t index, int64_t kv_head, const Rows& out,
                  float* logsumexp) {
  const ForestPlan::Tree& tree = p.plan->trees[index];
  std::vector<FrontSpan> front;
  if (p.front != nullptr) (*p.front)(index, kv_head, front);
  const int64_t work_floats = kTileRows * (2 * p.width() + 2 + kKeyBlock);
  Scratch& scratch = thread_scratch();
  scratch.reserve(packed_floats(p, tree) + work_floats);
  const PackedTree packed = pack(p, tree, kv_head, false, scratch);
  float* work = scratch.take_zeros(work_floats);
  for_each_tile(p, tree, kv_head, {p.query}, [&](const ForestPlan::Tile& tile, int64_t head) {
    forward_tile(p, tile, packed, front, head, out, logsumexp, work);
  });
}

// Gradients of a tree's keys and values while its tiles are walked, in packed order.
struct KeyGradient {
  float* key_rows;
  float* value_rows;
};

void backward_tile(const AttentionProblem& p, const ForestPlan::Tile& tile,
                   const PackedTree& packed, int64_t head, const AttentionGradient& g,
                   const KeyGradient& sums, float* work) {
  const int64_t width = p.width(), dim = p.shape.head_dim, rows = tile.end - tile.begin;
  float* query = work;
  float* query_gradient = query + kTileRows * width;
  float* out_gradient = query_gradient + kTileRows * width;
  float* logsumexp = out_gradient + kTileRows * width;
  float* delta = logsumexp + kTileRows;
  float* scores = delta + kTileRows;
  load_queries(p, tile, head, query);
  std::fill(query_gradient, query_gradient + rows * width, 0.0f);
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = g.out_gradient.at(tile.begin + i, head);
    const float* out = g.out.at(tile.begin + i, head);
    float dot = 0;
    for (int64_t d = 0; d < dim; ++d) dot += from[d] * out[d];
    std::copy(from, from + dim, out_gradient + i * width);
    delta[i] = dot;
    logsumexp[i] = g.logsumexp[(tile.begin + i) * p.shape.num_heads + head];
  }
  WindowStart window(p, tile);
  for_each_span(*p.plan, tile, [&](int64_t row, int64_t count, int64_t index, int64_t visible) {
    const ForestPlan::Part& part = p.plan->parts[index];
    attend_backward(
        {count, dim, query + row * width, window.of(row, count, part)}, packed.span(p, part),
        visible,
        {out_gradient + row * width, logsumexp + row, delta + row, query_gradient + row * width,
         sums.key_rows + part.offset * width, sums.value_rows + part.offset * width},
        scores);
  });
  for (int64_t t = tile.begin; t < tile.end; ++t) {
    rotate(query_gradient + (t - tile.begin) * width, g.query.at(t, head), dim, p.rotation(t),
           p.scale, true);
  }
}

void backward_tree(const AttentionProblem& p, const ForestPlan::Tree& tree, int64_t kv_head,
                   const AttentionGradient& g) {
  const int64_t width = p.width();
  const int64_t work_floats = kTileRows * (3 * width + 2 + 2 * kKeyBlock);
  Scratch& scratch = thread_scratch();
  scratch.reserve(2 * packed_floats(p, tree) + 2 * tree.packed * width + work_floats);
  const PackedTree packed = pack(p, tree, kv_head, true, scratch);
  const KeyGradient sums{scratch.take_zeros(tree.packed * width),
                         scratch.take_zeros(tree.packed * width)};
  float* work = scratch.take_zeros(work_floats);
  for_each_tile(p, tree, kv_head, {p.query, g.out_gradient, g.out},
                [&](const ForestPlan::Tile& tile, int64_t head) {
                  backward_tile(p, tile, packed, head, g, sums, work);
                });
  for_each_token(p, tree, [&](int64_t j, int64_t t) {
    const float* value = sums.value_rows + j * width;
    rotate(sums.key_rows + j * width, g.key.at(t, kv_head), p.shape.head_dim, p.rotation(t), 1.0f,
           true);
    std::copy(value, value + p.shape.head_dim, g.value.at(t, kv_head));
  });
}

}  // namespace

void attention_forward(const AttentionProblem& p, const Rows& out, float* logsumexp) {
  const int64_t heads = p.shape.num_key_value_heads;
  parallel_tasks(static_cast<int64_t>(p.plan->trees.size()) * heads,
                 [&](int64_t i) { forward_tree(p, i / heads, i % heads, out, logsumexp); });
}

void attention_backward(const AttentionProblem& p, const AttentionGradient& gradient) {
  const int64_t heads = p.shape.num_key_value_heads;
  parallel_tasks(static_cast<int64_t>(p.plan->trees.size()) * heads, [&](int64_t i) {
    backward_tree(p, p.plan->trees[i / heads], i % heads, gradient);
  });
}

}  // namespace etrlrec
