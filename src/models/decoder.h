// Internal to models/: the decoder behind Llm. Model types differ in fields only: "qwen2" has a qkv
// bias, "qwen3" norms of query and key heads, "mistral" a sliding window, "llama" none of these.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/llm.h"
#include "models/weights.h"
#include "nn/attention.h"
#include "nn/layers.h"

namespace etrlrec {

struct DecoderLayer {
  at::Tensor input_layernorm, post_attention_layernorm;
  at::Tensor q_norm, k_norm;  // [head_dim] or undefined
  std::vector<LinearPart> qkv, o_proj, gate_up, down_proj;
};

// Handles to the parameters as the forward pass reads them.
struct DecoderWeights {
  DecoderWeights(const ParameterMap& parameters, const LlmConfig& config, const AdapterPass& pass);
  at::Tensor embed_tokens, norm;
  at::Tensor prompt_embeddings;  // of virtual tokens, or undefined
  std::vector<DecoderLayer> layers;
};

// Names and shapes of all parameters of a configuration, groups that are read by one product
// together.
ParameterGroups parameter_groups(const LlmConfig& config);

// A decoder with uninitialised trainable parameters.
// Parameters as allocate_parameters() makes them.
std::unique_ptr<Llm> make_decoder(const LlmConfig& config, Storage storage = Storage::kFloat);

}  // namespace etrlrec
