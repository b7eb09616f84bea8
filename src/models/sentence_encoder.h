// BERT as an encoder of sentences (Devlin et al. 2019; Reimers and Gurevych 2019): the mean of the
// last layer's states over the tokens of a text, scaled to length 1. Folders in the layout of
// Hugging Face and of sentence-transformers: config.json, model.safetensors, 1_Pooling/config.json.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

struct BertConfig {
  int64_t vocab_size = 0, hidden_size = 0, num_hidden_layers = 0, num_attention_heads = 0;
  int64_t intermediate_size = 0, max_position_embeddings = 0, type_vocab_size = 2;
  double layer_norm_eps = 1e-12;
};
// Errors (kModel): another model_type, activation or kind of positions, sizes that do not fit.
BertConfig read_bert_config(const std::filesystem::path& folder);

class SentenceEncoder {
 public:
  // Errors: kModel for another architecture or pooling, missing or misshapen tensors; kInput for
  // damaged files.
  explicit SentenceEncoder(const std::filesystem::path& folder);

  const BertConfig& config() const { return config_; }
  // States of the last layer. `ids` and `mask` (1 where a token stands, 0 behind the end): int64
  // [B, T], T at most max_position_embeddings. [B, T, C]
  at::Tensor hidden_states(const at::Tensor& ids, const at::Tensor& mask) const;
  // Each text is at least one token; tokens beyond max_position_embeddings are not read. [texts, C]
  // `progress(done, all)` is called after each batch.
  at::Tensor encode(std::span<const std::vector<int64_t>> texts,
                    const std::function<void(int64_t, int64_t)>& progress = {}) const;

 private:
  const at::Tensor& weight(const std::string& name) const;
  at::Tensor linear(const std::string& name, const at::Tensor& x) const;
  at::Tensor norm(const std::string& name, const at::Tensor& x) const;
  at::Tensor attend(const std::string& layer, const at::Tensor& x, const at::Tensor& bias) const;

  BertConfig config_;
  ParameterMap weights_;  // "embeddings…" and "encoder…", fp32
};

}  // namespace etrlrec
