// Internal to models/: keys and values of prompts and growing rows, and attention over them.
// Prompts are stored once; rows that share a prompt are answered together against its keys, then
// each against its own. Rows live in slots that do not move, so dropping rows copies nothing; a row
// that is kept twice is copied to a free slot.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/decoder.h"
#include "nn/attention_kernel.h"

namespace etrlrec {

class DecoderCache final : public KvCache {
 public:
  // Room for num_slots rows that grow by at most `capacity` tokens.
  DecoderCache(const LlmConfig& config, DecoderWeights weights, int64_t num_slots,
               int64_t capacity);

  int64_t num_rows() const override { return static_cast<int64_t>(rows_.size()); }
  void keep_rows(std::span<const int64_t> rows) override;

  int64_t capacity() const { return capacity_; }
  // New rows behind those that are there, each below a root of `prompts`; prompts without rows are
  // let go. To be followed by store_prompts for every layer. The table reaches the last position of
  // all rows.
  void admit(const TokenForest& prompts, std::span<const int64_t> root_of_row, RotaryTable rotary);
  // Takes the keys and values of the admitted prompts of one layer out of qkv [T, packed width].
  void store_prompts(int64_t layer, const at::Tensor& qkv);
  // Rows in the order of computation (rows of one prompt together): the caller's row index of each.
  const std::vector<int64_t>& order() const { return order_; }
  // Appends the keys and values of ordered rows [begin, end) and attends; qkv and out hold all
  // ordered rows.
  void attend_rows(int64_t layer, int64_t begin, int64_t end, const at::Tensor& qkv,
                   const at::Tensor& out);
  void advance();           // after all layers: every row is one token longer
  void check_room() const;  // error (kUsage) when a row has reached the capacity

  const DecoderWeights& weights() const { return weights_; }
  // Preallocated activations of a step, [rows, width].
  struct Buffers {
    at::Tensor x, normed, qkv, attended, delta, gate_up, activated, out, inverse_rms;
  };
  Buffers& buffers() { return buffers_; }

 private:
  // Blocked keys and row-wise values of prompts that came together, of each layer.
  struct PromptMemory {
    std::vector<at::Tensor> keys, values;
  };
  struct Root {
    int64_t begin = 0, count = 0, offset = 0;  // tokens of the prompt; offset of its packed keys
    std::shared_ptr<PromptMemory> memory;
  };
  struct Row {
    int64_t slot = 0, root = 0, length = 0;
  };
  // Rows [begin, end) of the order, all of one root.
  struct Group {
    int64_t begin = 0, end = 0;
  };
  Rotation rotation(int64_t position) const;
  KeySpan root_span(int64_t layer, const Root& root, int64_t head) const;
  KeySpan own_span(int64_t layer, const Row& row, int64_t head) const;
  void normalise_heads(const DecoderLayer& layer, float* qkv) const;
  void append(int64_t layer, const Row& row, const float* qkv);
  void attend_group(int64_t layer, const Group& group, int64_t head, const float* qkv,
                    float* out) const;
  void sort_rows();
  void drop_unused_roots();
  void copy_slot(int64_t layer, const Row& from, int64_t slot);  // keys and values of `from`

  HeadShape shape_;
  float norm_eps_ = 0;
  DecoderWeights weights_;
  RotaryTable rotary_;
  int64_t width_ = 0;  // head size rounded up to a vector
  int64_t num_slots_ = 0;
  int64_t capacity_ = 0, slot_keys_ = 0;  // tokens a row may grow by; the same in whole blocks
  float scale_ = 1;
  std::vector<int64_t> windows_;  // of each layer, 0: none
  std::vector<Root> roots_;
  int64_t first_new_root_ = 0;  // of those admitted last
  std::vector<Row> rows_;
  std::vector<int64_t> order_;
  // One tensor per layer: blocked keys and row-wise values of slots.
  std::vector<at::Tensor> slot_keys_memory_, slot_values_;
  Buffers buffers_;
};

}  // namespace etrlrec
