// T5 (Raffel et al. 2020), v1.0 and v1.1 / Flan: an encoder-decoder with pre-norm RMSNorm, unscaled
// attention with a bias per bucket of relative positions, and a ReLU or gated GELU feed-forward
// layer. Configuration keys and parameter names are Hugging Face's. Rows are packed: nothing is
// padded and nothing is computed on padding. No dropout. It handles token ids only.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/forest.h"
#include "nn/parameters.h"
#include "tuning/adapter_set.h"

namespace etrlrec {

struct T5Config {  // keys of config.json
  int64_t vocab_size = 32128;
  int64_t d_model = 512;
  int64_t d_kv = 64;  // of one head; num_heads * d_kv need not be d_model
  int64_t d_ff = 2048;
  int64_t num_layers = 6;  // of the encoder
  int64_t num_decoder_layers = 6;
  int64_t num_heads = 8;
  int64_t relative_attention_num_buckets = 32;
  int64_t relative_attention_max_distance = 128;
  std::string feed_forward_proj = "relu";  // relu | gated-gelu (its tanh form)
  double layer_norm_epsilon = 1e-6;
  double dropout_rate = 0.1;  // read and written, never applied
  double initializer_factor = 1;
  bool tie_word_embeddings = true;    // false: lm_head.weight is a tensor of its own
  bool scale_decoder_outputs = true;  // times d_model^-0.5 before the head
  int64_t pad_token_id = 0;
  int64_t decoder_start_token_id = 0;
  std::vector<int64_t> eos_token_ids{1};

  bool is_gated() const { return feed_forward_proj == "gated-gelu"; }
  int64_t key_value_bytes() const {  // of one token of the decoder
    return 2 * num_decoder_layers * num_heads * d_kv * static_cast<int64_t>(sizeof(float));
  }
};
// Errors (kModel) name the field: values out of range, and fields that would change the result and
// are not computed here. num_decoder_layers missing: num_layers; decoder_start_token_id may stand
// in generation_config.json instead. Outputs are scaled unless tie_word_embeddings or
// scale_decoder_outputs says not to.
void check_t5_config(const T5Config& config, const std::string& name);
T5Config read_t5_config(const std::filesystem::path& folder);
void write_t5_config(const T5Config& config, const std::filesystem::path& folder);
bool is_t5_folder(const std::filesystem::path& folder);  // model_type of its config.json is t5

// Rows of vectors of different lengths, one behind the other.
struct StateRows {
  at::Tensor states;             // [T, d_model]
  std::vector<int64_t> lengths;  // [B], each at least 1; their sum is T
};
// The vectors of prefix [P, d_model] in front of each row (prompt tuning); differentiable.
StateRows prepend(const at::Tensor& prefix, const StateRows& rows);

// Rows of a padded batch: ids and attention_mask int64 [B, S]. Padding may stand on either side,
// not within a row (kInput); relative positions make both the same.
TokenForest pack_rows(const at::Tensor& ids, const at::Tensor& attention_mask);

struct T5Weights;

// Functions of rows take forests of roots (kInput otherwise) and are differentiable unless
// at::NoGradGuard is on.
class T5 {
 public:
  explicit T5(const T5Config& config);  // uninitialised trainable parameters
  const T5Config& config() const { return config_; }
  ParameterMap& parameters() { return parameters_; }
  const ParameterMap& parameters() const { return parameters_; }

  // Virtual tokens (tuning/prompt_tuning.h) included.
  StateRows embed(const TokenForest& rows, const TrainingNoise& noise = {}) const;
  // Final-norm states of the encoder from input embeddings, or from token ids.
  StateRows encode(const StateRows& inputs_embeds) const;
  StateRows encode(const TokenForest& rows) const { return encode(embed(rows, noise_)); }
  // States of the decoder ready for the head, scaled where the configuration says so, [T, d_model]:
  // logits = states head_weight^T. Row r of decoder_rows (start token first) attends to row
  // source_of_row[r] of `encoded`; rows of one source are best put side by side.
  at::Tensor decode(const TokenForest& decoder_rows, const StateRows& encoded,
                    std::span<const int64_t> source_of_row) const;
  const at::Tensor& head_weight() const;  // [V, d_model]

  // As in models/llm.h. NEFTune's noise goes to the encoder's input.
  AdapterSet& adapters() { return adapters_; }
  const AdapterSet& adapters() const { return adapters_; }
  const LoraConfig& lora() const { return adapters_.config(); }
  void set_adapter_enabled(bool enabled) { adapters_.set_enabled(enabled); }
  void attach_lora(const LoraConfig& config, uint64_t seed) { adapters_.attach(config, seed); }
  void load_lora(const std::filesystem::path& folder) { adapters_.load(folder); }
  void merge_lora() { adapters_.merge(); }
  void set_training_noise(const TrainingNoise& noise) { noise_ = noise; }

  T5Weights weights() const;                           // of models/t5_layers.h
  void check_ids(std::span<const int64_t> ids) const;  // kInput unless all are in the vocabulary

 private:
  T5Config config_;
  ParameterMap parameters_;
  AdapterSet adapters_{parameters_};
  TrainingNoise noise_;
};

// Decoder input of every row of labels: the start token, then all labels but the last, with
// pad_token_id in place of -100.
TokenForest shift_right(std::span<const std::vector<int64_t>> labels, const T5Config& config);
// Mean of -log p(label) over the labels that are not -100 (kInput when there are none); row r
// belongs to row r of `encoded`. The head is never multiplied for ignored labels.
at::Tensor seq2seq_loss(const T5& model, const StateRows& encoded,
                        std::span<const std::vector<int64_t>> labels);

std::unique_ptr<T5> new_t5(const T5Config& config, uint64_t seed);  // the paper's initialisation
// config.json + model.safetensors (or its shards). The head is taken from the file if it holds one
// that differs from the embeddings, whatever tie_word_embeddings says.
std::unique_ptr<T5> load_t5(const std::filesystem::path& folder);
void save_t5(const T5& model, const std::filesystem::path& folder);  // adapters not included

}  // namespace etrlrec
