// Internal to models/: the parameters of a decoder, by name and shape and as the forward pass reads
// them. Model types differ in fields only: "qwen2" has a qkv bias, "qwen3" norms of query and key
// heads, "mistral" a sliding window, "llama" none of these.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/decoder_config.h"
#include "models/weights.h"
#include "nn/attention.h"
#include "nn/layers.h"
#include "nn/parameters.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct DecoderLayer {
  at::Tensor input_layernorm, post_attention_layernorm;
  at::Tensor q_norm, k_norm;  // [head_dim] or undefined
  std::vector<LinearPart> qkv, o_proj, gate_up, down_proj;
};

// Handles to the parameters of one pass.
struct DecoderWeights {
  // prompt_table: rows of the virtual tokens [n, C], or undefined.
  DecoderWeights(const ParameterMap& parameters, const LlmConfig& config, const AdapterPass& pass,
                 at::Tensor prompt_table);
  at::Tensor embed_tokens, norm;
  at::Tensor prompt_embeddings;
  std::vector<DecoderLayer> layers;
};

// Names and shapes of all parameters of a configuration, groups that are read by one product
// together.
ParameterGroups decoder_parameter_groups(const LlmConfig& config);

// Tensors of a folder's files, one for each tied pair. A stored head that
// differs from the embeddings is used whatever tie_word_embeddings says (as Transformers 5 does,
// and warns): then the field of `config` becomes false. Errors: load_weights'.
ParameterMap load_decoder_weights(const std::filesystem::path& folder, LlmConfig& config);

std::string layer_prefix(int64_t layer);  // "model.layers.<layer>."

}  // namespace etrlrec
