// Decoding of T5 with cached keys, and its form for sampling and beam search (engine/). Without
// gradient.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/step_model.h"
#include "models/t5.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {

// Keys and values of growing decoder rows. Those of the encoder rows are computed once and shared
// by all rows of one source. Sees in-place changes of the weights but keeps the adapter switch of
// its beginning; must not outlive the model.
class T5Cache {
 public:
  // Row r attends to row source_of_row[r] of `encoded` and may take `capacity` tokens.
  T5Cache(const T5& model, const StateRows& encoded, std::span<const int64_t> source_of_row,
          int64_t capacity);
  ~T5Cache();
  int64_t num_rows() const { return static_cast<int64_t>(source_of_row_.size()); }
  // Row r of the new state is row rows[r] of the old one; rows may leave, change places and repeat.
  // Rows of one source are best kept side by side.
  void keep_rows(std::span<const int64_t> rows);
  // Feeds ids[r] to row r (the start token first): T5::decode's states, [rows, d_model].
  at::Tensor decode(std::span<const int64_t> ids);

 private:
  struct Layer;
  const T5& model_;
  std::unique_ptr<const T5Weights> weights_;
  std::vector<Layer> layers_;
  std::vector<int64_t> source_of_row_;
  int64_t capacity_ = 0, length_ = 0;
};

// T5 as the engine sees it. Prompts are what the encoder reads; every row of the decoder begins
// with the start token. Rows of one admission grow together. The adapter is not switched while a
// cache is in use.
class T5Steps final : public StepModel {
 public:
  explicit T5Steps(const T5& model);  // must not outlive it
  int64_t vocab_size() const override { return model_.config().vocab_size; }
  int64_t num_input_ids() const override {
    return vocab_size() + num_virtual_tokens(model_.parameters());
  }
  int64_t max_length() const override;  // relative positions have no end
  int64_t key_value_bytes() const override { return model_.config().key_value_bytes(); }
  const at::Tensor& head_weight() const override { return model_.head_weight(); }
  bool shares_prompts() const override { return false; }
  std::span<const int64_t> text_before(std::span<const int64_t>) const override {
    return {&start_, 1};
  }
  ModelStamp stamp() const override;
  std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const override;
  void admit(KvCache& cache, const TokenForest& prompts, std::span<const int64_t> segment_of_row,
             at::Tensor& last_hidden, std::span<SharedPromptKeys> keys) const override;
  at::Tensor decode(KvCache& cache, std::span<const int64_t> ids) const override;

 private:
  const T5& model_;
  int64_t start_;
};

}  // namespace etrlrec
