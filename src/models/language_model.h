// One interface for every language model: decoders (models/decoder.h) and the encoder-decoder T5
// (models/t5.h) compute hidden states over a token forest, grow texts step by step, carry adapters
// and named soft prompts, and say what a pass costs. Engine, training, protocols and commands see
// models through it only. It handles token ids; it knows nothing about items, texts or rewards.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/forest.h"
#include "nn/noise.h"
#include "nn/numerics.h"
#include "nn/parameters.h"
#include "nn/weight.h"
#include "tuning/adapter_set.h"
#include "tuning/prompt_set.h"

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

// Keys and values of prompts (shared, computed once) and of the rows that grow below them. It sees
// in-place changes of the weights but keeps the adapter switch of its beginning, and it must not
// outlive the model.
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

// How a model reads a prompt. A decoder continues it: `text` is the prompt and there is no source.
// An encoder-decoder reads it as its source and writes from the start token: `text` is that token.
struct PromptParts {
  std::span<const int64_t> source, text;
};

// The size of one pass: tokens of all prompts, of all texts that follow them, and of the longest
// prompt.
struct PassShape {
  int64_t prompt_tokens = 0, text_tokens = 0, longest_prompt = 0;
  bool with_gradient = false;
};
struct PassCost {
  int64_t activation_bytes = 0;  // held at the same time, logits not included
  double flops = 0;              // of the forward pass
};

class LanguageModel {
 public:
  explicit LanguageModel(Storage storage = Storage::kFloat, const Numerics& numerics = {});
  LanguageModel(const LanguageModel&) = delete;
  virtual ~LanguageModel() = default;

  // --- What config.json says.
  virtual const std::string& type() const = 0;  // its model_type
  virtual int64_t vocab_size() const = 0;
  virtual int64_t hidden_size() const = 0;
  virtual int64_t num_key_value_heads() const = 0;
  virtual const std::vector<int64_t>& eos_ids() const = 0;  // any of them ends a text
  virtual int64_t max_length() const = 0;                   // of a prompt and what follows it
  // True for an encoder-decoder, false for a decoder.
  virtual bool has_encoder() const = 0;
  virtual PromptParts prompt_parts(std::span<const int64_t> prompt) const = 0;

  // --- What it takes.
  Storage storage() const { return storage_; }  // of its matrices
  // How it computes. What multiplies its head (nn/logprob, nn/weight) is handed the same.
  const Numerics& numerics() const { return numerics_; }
  // Of all later passes. The device stays what it was.
  void set_arithmetic(Arithmetic arithmetic) { numerics_.arithmetic = arithmetic; }
  virtual int64_t key_value_bytes() const = 0;  // of one token in a cache
  virtual PassCost cost(const PassShape& shape) const = 0;
  int64_t num_parameters() const;  // adapters and prompts not included

  // --- Parameters. Trainable ones have requires_grad set. A model that was opened without its
  // weights (models/model_files.h) has shapes only: tensors on the meta device.
  ParameterMap& parameters() { return parameters_; }
  const ParameterMap& parameters() const { return parameters_; }
  virtual const at::Tensor& embed_tokens() const = 0;  // [V, C] input embeddings
  // [V, C]; logits = states head_weight^T. Hidden states come ready for it: a model that scales its
  // outputs has done so.
  virtual const at::Tensor& head_weight() const = 0;
  // Named LoRA and AdaLoRA adapters; after attaching or loading one only its tensors are trainable.
  AdapterSet& adapters() { return adapters_; }
  const AdapterSet& adapters() const { return adapters_; }
  const LoraConfig& lora() const { return adapters_.config(); }  // of the selected adapter
  // Named soft prompts. Their virtual tokens are the ids from vocab_size() on.
  PromptSet& prompts() { return prompts_; }
  const PromptSet& prompts() const { return prompts_; }
  // Ids that prompts may hold: those of the vocabulary and of the virtual tokens after it.
  int64_t num_input_ids() const { return vocab_size() + prompts_.num_rows(); }
  // config.json and model.safetensors; adapters and prompts are not included.
  virtual void save(const std::filesystem::path& folder) const = 0;
  // Noise of hidden states from now on: adapter dropout and NEFTune. Rollouts never see it. Error
  // (kUsage) for a model that has none.
  virtual void set_training_noise(const TrainingNoise& noise);
  ModelStamp stamp() const;

  // --- Hidden states. Differentiable unless at::NoGradGuard is on. The roots of the forest own a
  // source text exactly if the model has an encoder (kUsage).
  // Adds a prompt as a root; the state of the segment's last token predicts what follows.
  int64_t add_prompt(TokenForest& forest, std::span<const int64_t> prompt) const;
  // Final-norm states of every token, [T, C].
  virtual at::Tensor hidden_states(const TokenForest& forest) const = 0;
  // Those of tokens `rows` [N] only, in any order, repeats allowed -> [N, C].
  virtual at::Tensor hidden_states_at(const TokenForest& forest,
                                      std::span<const int64_t> rows) const;

  // --- Cached decoding. No gradient.
  // An empty cache with room for `rows` rows that may grow by `capacity` tokens after their
  // prompts.
  virtual std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const = 0;
  // Computes every segment of `prompts` once and adds one row for each entry of segment_of_row,
  // after the rows that are there; the row continues the path to the end of that segment.
  // last_hidden: out, the state of the last token of every segment, [segments, C].
  // keys: empty, or one entry per segment. In: keys from an earlier admission by a model of the
  // same stamp that begin with the tokens of the segment, at the same place after the same text, or
  // null. Out: filled in where it was null. A segment that came with keys is not computed, its row
  // of last_hidden is zero, the segments above it have keys, and no row continues it.
  // A model with an encoder takes roots of its start token without keys (kUsage).
  virtual void admit(KvCache& cache, const TokenForest& prompts,
                     std::span<const int64_t> segment_of_row, at::Tensor& last_hidden,
                     std::span<SharedPromptKeys> keys = {}) const = 0;
  // Feeds token ids[r] to row r and returns the states, [rows, C].
  virtual at::Tensor decode(KvCache& cache, std::span<const int64_t> ids) const = 0;
  // A cache with just the rows that are admitted at once.
  std::unique_ptr<KvCache> prefill(const TokenForest& prompts,
                                   std::span<const int64_t> segment_of_row, int64_t capacity,
                                   at::Tensor& last_hidden) const;

 protected:
  ParameterMap parameters_;
  AdapterSet adapters_{parameters_};
  PromptSet prompts_{parameters_};

 private:
  uint64_t id_;  // of no other model of this process
  Storage storage_;
  Numerics numerics_;
};

// Error (kUsage): a rate above 0 with an encoder; hidden dropout (nn/noise.h) is for decoders.
void check_hidden_dropout(const LanguageModel& model, double rate);

// Noise while it lives.
class NoiseScope {
 public:
  NoiseScope(LanguageModel& model, const TrainingNoise& noise) : model_(model) {
    model_.set_training_noise(noise);
  }
  NoiseScope(const NoiseScope&) = delete;
  ~NoiseScope() { model_.set_training_noise({}); }

 private:
  LanguageModel& model_;
};

}  // namespace etrlrec
