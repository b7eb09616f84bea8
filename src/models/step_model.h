// What grows texts step by step: a decoder behind its prompts, or an encoder-decoder whose prompts
// are what its encoder reads. Sampling and beam search see models through this interface only. No
// gradient.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/forest.h"
#include "nn/parameters.h"

namespace etrlrec {

// Keys and values of one segment of prompts, in the model's own form. Never changes; shared by the
// caches whose rows continue it and by whoever keeps it for later prompts.
class PromptKeys {
 public:
  virtual ~PromptKeys() = default;
  virtual int64_t num_tokens() const = 0;
  virtual int64_t bytes() const = 0;
};
using SharedPromptKeys = std::shared_ptr<const PromptKeys>;

// Keys and values of prompts (shared, computed once) and of the rows that grow below them.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual int64_t num_rows() const = 0;
  // Row r of the new state is row rows[r] of the old one: finished rows leave, order may change, a
  // row that occurs several times is copied. At most as many rows as the cache has room for.
  virtual void keep_rows(std::span<const int64_t> rows) = 0;
};

// What results depend on: which model, the tensors of its parameters and their versions, the
// adapter in use. Two stamps are equal only if the model computed the same at both moments. It sees
// changes by tensor operations and by the optimiser, not those through raw pointers.
class ModelStamp {
 public:
  ModelStamp() = default;
  ModelStamp(uint64_t model, const ParameterMap& parameters, std::string adapter);
  friend bool operator==(const ModelStamp& a, const ModelStamp& b);

 private:
  uint64_t model_ = 0;
  // Weak: they hold no memory of weights, but their addresses are not given away again.
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl>> tensors_;
  std::vector<int64_t> versions_;
  std::string adapter_;
};

class StepModel {
 public:
  StepModel();
  StepModel(const StepModel&) = delete;
  virtual ~StepModel() = default;

  virtual int64_t vocab_size() const = 0;
  // Ids that prompts may hold: those of the vocabulary and of the virtual tokens behind it.
  virtual int64_t num_input_ids() const = 0;
  virtual int64_t max_length() const = 0;             // of a prompt and what follows it
  virtual int64_t key_value_bytes() const = 0;        // of a grown token
  virtual const at::Tensor& head_weight() const = 0;  // [V, C]; logits = states head_weight^T
  // Whether prompts may be trees and their keys may be kept.
  virtual bool shares_prompts() const = 0;
  // What the first new token stands behind: the prompt, or the start token of a decoder.
  virtual std::span<const int64_t> text_before(std::span<const int64_t> prompt) const = 0;
  virtual ModelStamp stamp() const = 0;

  // new_cache: room for `rows` rows that may grow by `capacity` tokens below their prompts. admit:
  // every segment of `prompts` is computed once; a new row, behind those that are there, continues
  // the path to the end of segment segment_of_row[r]. The last hidden state of every segment is
  // returned in `last_hidden` [segments, C]. decode: feeds token ids[r] to row r and returns
  // [rows, C]. A cache sees in-place changes of the weights but keeps the adapter switch of its
  // beginning; it must not outlive the model.
  //
  // `keys` is empty, or holds one entry for each segment. An entry that is set comes from an
  // earlier admission by a model of the same stamp and begins with the tokens of the segment, at
  // the same place behind the same text: such a segment is not computed, and nor are those above
  // it. Rows do not continue it; its row of last_hidden is zero. The other entries are filled in.
  // Models that do not share prompts take roots without keys (kUsage).
  virtual std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const = 0;
  virtual void admit(KvCache& cache, const TokenForest& prompts,
                     std::span<const int64_t> segment_of_row, at::Tensor& last_hidden,
                     std::span<SharedPromptKeys> keys = {}) const = 0;
  virtual at::Tensor decode(KvCache& cache, std::span<const int64_t> ids) const = 0;
  // A cache with just the rows that are admitted at once.
  std::unique_ptr<KvCache> prefill(const TokenForest& prompts,
                                   std::span<const int64_t> segment_of_row, int64_t capacity,
                                   at::Tensor& last_hidden) const;

 protected:
  uint64_t id() const { return id_; }  // of no other model of this process

 private:
  uint64_t id_;
};

}  // namespace etrlrec
