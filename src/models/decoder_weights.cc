#include "models/decoder_weights.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"

namespace etrlrec {

std::string layer_prefix(int64_t layer) { return fmt::format("model.layers.{}.", layer); }

DecoderWeights::DecoderWeights(const ParameterMap& parameters, const LlmConfig& config,
                               const AdapterPass& pass, at::Tensor prompt_table)
    : embed_tokens(parameters.at("model.embed_tokens.weight")),
      norm(parameters.at("model.norm.weight")),
      prompt_embeddings(std::move(prompt_table)) {
  for (int64_t l = 0; l < config.num_hidden_layers; ++l) {
    const std::string prefix = layer_prefix(l);
    const auto part = [&](const std::string& name) {
      return linear_part(parameters, prefix + name, pass);
    };
    DecoderLayer layer;
    layer.input_layernorm = parameters.at(prefix + "input_layernorm.weight");
    layer.post_attention_layernorm = parameters.at(prefix + "post_attention_layernorm.weight");
    layer.qkv = {part("self_attn.q_proj"), part("self_attn.k_proj"), part("self_attn.v_proj")};
    if (config.model_type == "qwen3") {
      layer.q_norm = parameters.at(prefix + "self_attn.q_norm.weight");
      layer.k_norm = parameters.at(prefix + "self_attn.k_norm.weight");
    }
    layer.o_proj = {part("self_attn.o_proj")};
    layer.gate_up = {part("mlp.gate_proj"), part("mlp.up_proj")};
    layer.down_proj = {part("mlp.down_proj")};
    layers.push_back(std::move(layer));
  }
}

ParameterGroups decoder_parameter_groups(const LlmConfig& config) {
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size;
  const int64_t queries = config.num_attention_heads * config.head_dim;
  const int64_t kv = config.num_key_value_heads * config.head_dim;
  ParameterGroups groups;
  groups.push_back({{"model.embed_tokens.weight", {config.vocab_size, hidden}}});
  for (int64_t l = 0; l < config.num_hidden_layers; ++l) {
    const std::string p = layer_prefix(l), attention = p + "self_attn.", mlp = p + "mlp.";
    groups.push_back({{p + "input_layernorm.weight", {hidden}}});
    groups.push_back({{attention + "q_proj.weight", {queries, hidden}},
                      {attention + "k_proj.weight", {kv, hidden}},
                      {attention + "v_proj.weight", {kv, hidden}}});
    if (config.model_type == "qwen2") {
      groups.push_back({{attention + "q_proj.bias", {queries}},
                        {attention + "k_proj.bias", {kv}},
                        {attention + "v_proj.bias", {kv}}});
    }
    if (config.model_type == "qwen3") {
      groups.push_back({{attention + "q_norm.weight", {config.head_dim}}});
      groups.push_back({{attention + "k_norm.weight", {config.head_dim}}});
    }
    groups.push_back({{attention + "o_proj.weight", {hidden, queries}}});
    groups.push_back({{p + "post_attention_layernorm.weight", {hidden}}});
    groups.push_back(
        {{mlp + "gate_proj.weight", {inner, hidden}}, {mlp + "up_proj.weight", {inner, hidden}}});
    groups.push_back({{mlp + "down_proj.weight", {hidden, inner}}});
  }
  groups.push_back({{"model.norm.weight", {hidden}}});
  if (!config.tie_word_embeddings)
    groups.push_back({{"lm_head.weight", {config.vocab_size, hidden}}});
  return groups;
}

ParameterMap load_decoder_weights(const std::filesystem::path& folder, LlmConfig& config) {
  ParameterMap weights = load_weights(folder);
  const auto head = weights.find("lm_head.weight");
  if (!config.tie_word_embeddings || head == weights.end()) return weights;
  // Of two names of one tensor some writers keep the head's.
  const auto embedding = weights.try_emplace("model.embed_tokens.weight", head->second).first;
  if (equal_values(head->second, embedding->second)) {
    weights.erase(head);
    return weights;
  }
  log_warning(
      "{}: config.json ties the head to the embeddings, but the file holds another head: "
      "that one is used",
      folder.string());
  config.tie_word_embeddings = false;
  return weights;
}

}  // namespace etrlrec
