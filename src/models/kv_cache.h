// Internal to models/: keys and values of prompts and growing rows, and attention over them. A
// prompt is a chain of spans, one for each of its segments; spans are stored once and may come from
// earlier admissions. Rows that continue one prompt are answered together against its spans, then
// each against its own keys. Rows live in slots that do not move, so dropping rows copies nothing;
// a row that is kept twice is copied to a free slot.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/attention_kernel.h"
#include "models/decoder_weights.h"
#include "models/key_lists.h"
#include "models/language_model.h"
#include "nn/attention_dense.h"

namespace etrlrec {

// Keys and values of all layers and heads of a segment, filled while it is admitted.
class SpanMemory final : public PromptKeys {
 public:
  SpanMemory(int64_t num_layers, const HeadShape& shape, int64_t count, KeyLayout layout,
             at::Device device);
  int64_t num_tokens() const override { return count_; }
  int64_t bytes() const override { return lists_.bytes(); }
  // The first `count` tokens.
  KeySpan span(int64_t layer, int64_t head, int64_t count) const {
    return lists_.span(layer * heads_ + head, count);
  }
  void put(int64_t layer, int64_t head, int64_t index, const float* key, const float* value) {
    lists_.put(layer * heads_ + head, index, key, value);
  }
  // The plain way: keys and values of the first `count` tokens and all heads, [count, H_kv, D].
  at::Tensor keys(int64_t layer, int64_t count) const {
    return lists_.keys(layer * heads_, heads_, count);
  }
  at::Tensor values(int64_t layer, int64_t count) const {
    return lists_.values(layer * heads_, heads_, count);
  }
  bool fits(int64_t num_layers, const HeadShape& shape, KeyLayout layout) const;

 private:
  int64_t count_ = 0, heads_ = 0;
  KeyLists lists_;
};

class DecoderCache final : public KvCache {
 public:
  // Room for num_slots rows that grow by at most `capacity` tokens.
  DecoderCache(const LlmConfig& config, DecoderWeights weights, const Numerics& numerics,
               int64_t num_slots, int64_t capacity);

  int64_t num_rows() const override { return static_cast<int64_t>(rows_.size()); }
  void keep_rows(std::span<const int64_t> rows) override;

  int64_t capacity() const { return capacity_; }
  // New rows after those that are there, each below a segment of `prompts`; prompts without rows
  // are let go. `keys` as in LanguageModel::admit. Returns the segments that are to be computed, in
  // order; what is known is in front of their roots. To be followed by store_prompts for every
  // layer. The table reaches the last position of all rows.
  TokenForest admit(const TokenForest& prompts, std::span<const int64_t> segment_of_row,
                    std::span<SharedPromptKeys> keys, RotaryTable rotary);
  // Takes the keys and values of the computed segments of one layer out of qkv [T, packed width].
  void store_prompts(int64_t layer, const at::Tensor& qkv);
  bool has_front() const { return has_front_; }
  // Appends what comes before a root of the forest that admit returned.
  void add_front(int64_t layer, int64_t root, int64_t head, std::vector<FrontSpan>& spans) const;
  // The same for the plain way, all heads at once.
  plain::DenseKeys plain_front(int64_t layer, int64_t root) const;
  // Rows in the order of computation (rows of one prompt together): the caller's row index of each.
  const std::vector<int64_t>& order() const { return order_; }
  // Appends the keys and values of ordered rows [begin, end) and attends; qkv and out hold all
  // ordered rows.
  void attend_rows(int64_t layer, int64_t begin, int64_t end, const at::Tensor& qkv,
                   const at::Tensor& out);
  // The same of all rows in plain ATen operations: qkv [rows, packed width], its heads normalised
  // -> [rows, H D].
  at::Tensor plain_attend_rows(int64_t layer, const at::Tensor& qkv);
  void advance();           // after all layers: every row is one token longer
  void check_room() const;  // error (kUsage) when a row has reached the capacity

  const DecoderWeights& weights() const { return weights_; }
  // Preallocated activations of a step, [rows, width].
  struct Buffers {
    at::Tensor x, normed, qkv, attended, delta, gate_up, activated, inverse_rms;
  };
  Buffers& buffers() { return buffers_; }

 private:
  struct Span {
    int64_t count = 0, position = 0;     // tokens; position of the first
    int64_t parent = -1;                 // span in front of it
    std::shared_ptr<SpanMemory> memory;  // written only by the admission that made it
    int64_t end() const { return position + count; }
  };
  struct Row {
    int64_t slot = 0, span = 0, length = 0;  // span: the last of its prompt
  };
  // Rows [begin, end) of the order, all of one prompt.
  struct Group {
    int64_t begin = 0, end = 0;
  };
  Rotation rotation(int64_t position) const;
  // The position that the next token of a row has.
  int64_t next_position(const Row& row) const { return spans_[row.span].end() + row.length; }
  void check_prompts(const TokenForest& prompts, std::span<const int64_t> segment_of_row,
                     std::span<const SharedPromptKeys> keys) const;
  int64_t list_of(const Row& row, int64_t head) const {
    return row.slot * shape_.num_key_value_heads + head;
  }
  void normalise_heads(const DecoderLayer& layer, float* qkv) const;
  void append(int64_t layer, const Row& row, const float* qkv);
  // Query heads [first, first + count) of a group's key/value head; at most kTileRows queries.
  void attend_group(int64_t layer, const Group& group, int64_t head, int64_t first, int64_t count,
                    const float* qkv, float* out) const;
  void plain_store_prompts(int64_t layer, const at::Tensor& qkv);
  plain::DenseKeys plain_chain(int64_t layer, int64_t span) const;
  void sort_rows();
  void drop_unused_spans();

  HeadShape shape_;
  Numerics numerics_;
  KeyLayout layout_ = KeyLayout::kBlocks;
  float norm_eps_ = 0;
  DecoderWeights weights_;
  RotaryTable rotary_;
  int64_t width_ = 0;  // head size rounded up to a vector
  int64_t num_slots_ = 0;
  int64_t capacity_ = 0;  // tokens a row may grow by
  float scale_ = 1;
  std::vector<int64_t> windows_;  // of each layer, 0: none
  std::vector<Span> spans_;       // parents before children
  // Of the admission: spans that are computed, and the span in front of each root among them.
  std::vector<int64_t> computed_, fronts_;
  bool has_front_ = false;
  std::vector<Row> rows_;
  std::vector<int64_t> order_;
  std::vector<KeyLists> slots_;  // of each layer: the heads of all slots
  Buffers buffers_;
};

}  // namespace etrlrec
