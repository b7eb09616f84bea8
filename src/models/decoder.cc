// Pre-norm decoder: RMSNorm, rotary grouped-query attention, SwiGLU (Touvron et al. 2023; Qwen team
// 2024). The residual sum and the norm behind it are one pass; queries, keys and values are one
// product.
#include "models/decoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "kernels/attention_kernel.h"
#include "kernels/row_kernels.h"
#include "models/kv_cache.h"
#include "nn/embedding.h"
#include "nn/gated_mlp.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

using at::Tensor;

std::string layer_prefix(int64_t layer) { return fmt::format("model.layers.{}.", layer); }

HeadShape shape_of(const LlmConfig& config) {
  return {config.num_attention_heads, config.num_key_value_heads, config.head_dim};
}

Tensor index_of(std::span<const int64_t> rows, int64_t tokens) {
  for (int64_t row : rows)
    CHECK(row >= 0 && row < tokens, kUsage, "hidden states: expected tokens in [0, {}), found {}",
          tokens, row);
  return at::tensor(at::ArrayRef<int64_t>(rows.data(), rows.size()), at::kLong);
}

class Decoder final : public Llm {
 public:
  Decoder(const LlmConfig& config, Storage storage)
      : config_(config), parameters_(allocate_parameters(parameter_groups(config), storage)) {}

  const LlmConfig& config() const override { return config_; }
  ParameterMap& parameters() override { return parameters_; }
  const ParameterMap& parameters() const override { return parameters_; }
  Tensor hidden_states(const TokenForest& forest) const override {
    return forward(weights(noise_), forest, noise_, {}, nullptr);
  }
  Tensor hidden_states_at(const TokenForest& forest, std::span<const int64_t> rows) const override {
    return forward(weights(noise_), forest, noise_, index_of(rows, forest.num_tokens()), nullptr);
  }
  int64_t key_value_bytes() const override {
    return config_.key_value_bytes(
        storage_of(parameters_.at(layer_prefix(0) + "self_attn.o_proj.weight")));
  }
  const Tensor& head_weight() const override {
    return parameters_.at(config_.tie_word_embeddings ? "model.embed_tokens.weight"
                                                      : "lm_head.weight");
  }
  AdapterSet& adapters() override { return adapters_; }
  const LoraConfig& lora() const override { return adapters_.config(); }
  void set_training_noise(const TrainingNoise& noise) override { noise_ = noise; }

  std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const override;
  void admit(KvCache& cache, const TokenForest& prompts, std::span<const int64_t> segment_of_row,
             Tensor& last_hidden, std::span<SharedPromptKeys> keys) const override;
  Tensor decode(KvCache& cache, std::span<const int64_t> ids) const override;

 private:
  std::string adapter_in_use() const override {
    return adapters_.is_enabled() ? adapters_.selected() : "";
  }

  DecoderWeights weights(const TrainingNoise& noise) const {
    return DecoderWeights(parameters_, config_, adapters_.pass(noise));
  }
  // `rows`: the tokens that are asked for, undefined: all. With a cache: the forest is what its
  // admission computes; keys and values go there.
  Tensor forward(const DecoderWeights& weights, const TokenForest& forest,
                 const TrainingNoise& noise, const Tensor& rows, DecoderCache* cache) const;
  void decode_rows(DecoderCache& cache, int64_t begin, int64_t end) const;
  const RotaryTable& rotary(int64_t positions) const;
  void check_ids(std::span<const int64_t> ids) const;

  LlmConfig config_;
  ParameterMap parameters_;
  AdapterSet adapters_{parameters_};
  TrainingNoise noise_;
  mutable RotaryTable rotary_;
};

void Decoder::check_ids(std::span<const int64_t> ids) const {
  for (int64_t id : ids) {
    CHECK(id >= 0 && id < config_.vocab_size, kInput,
          "language model: expected token ids in [0, {}), found {}", config_.vocab_size, id);
  }
}

const RotaryTable& Decoder::rotary(int64_t positions) const {
  if (!rotary_.cos.defined() || rotary_.cos.size(0) < positions) {
    const int64_t size = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(positions)));
    rotary_ = rotary_table(std::max<int64_t>(size, 256), config_.head_dim, config_.rope);
  }
  return rotary_;
}

// RMSNorm of every query and key head (Qwen3), before the rotation.
Tensor normalise_heads(const Tensor& qkv, const DecoderLayer& layer, const HeadShape& shape,
                       double eps) {
  const int64_t queries = shape.num_heads * shape.head_dim,
                keys = shape.num_key_value_heads * shape.head_dim, tokens = qkv.size(0);
  const auto normed = [&](int64_t begin, int64_t width, const Tensor& weight) {
    return rms_norm(qkv.narrow(1, begin, width).reshape({-1, shape.head_dim}), weight, eps)
        .view({tokens, width});
  };
  return at::cat({normed(0, queries, layer.q_norm), normed(queries, keys, layer.k_norm),
                  qkv.narrow(1, queries + keys, keys)},
                 1);
}

Tensor Decoder::forward(const DecoderWeights& weights, const TokenForest& forest,
                        const TrainingNoise& noise, const Tensor& rows, DecoderCache* cache) const {
  CHECK(forest.num_tokens() > 0, kInput, "language model: expected at least one token");
  HeadShape shape = shape_of(config_);
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  const double eps = config_.rms_norm_eps;
  const auto plan = plan_forest(forest);
  const RotaryTable& table =
      rotary(*std::max_element(forest.positions.begin(), forest.positions.end()) + 1);
  Tensor x =
      embed_forest(weights.embed_tokens, weights.prompt_embeddings, forest, noise);  // [T, C]
  Tensor normed, delta;
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    const DecoderLayer& layer = weights.layers[l];
    if (l == 0) {
      normed = rms_norm(x, layer.input_layernorm, eps);
    } else {
      std::tie(x, normed) = add_rms_norm(x, delta, layer.input_layernorm, eps);
    }
    Tensor qkv = linear(normed, layer.qkv);  // [T, (H + 2 H_kv) D]
    if (layer.q_norm.defined()) qkv = normalise_heads(qkv, layer, shape, eps);
    shape.window = config_.window(static_cast<int64_t>(l));
    shape.rounds = config_.rounds_attention(storage_of(layer.o_proj[0].weight));
    const FrontKeys front = [&](int64_t root, int64_t head, std::vector<FrontSpan>& spans) {
      cache->add_front(static_cast<int64_t>(l), root, head, spans);
    };
    if (cache != nullptr) cache->store_prompts(static_cast<int64_t>(l), qkv);
    Tensor attended = cache != nullptr && cache->has_front()
                          ? rotary_attention_behind(front, qkv, plan, shape, table, scale)
                          : rotary_attention(qkv, plan, shape, table, scale);
    if (rows.defined() && l + 1 == weights.layers.size()) {  // no later token looks at the others
      attended = attended.index_select(0, rows);
      x = x.index_select(0, rows);
    }
    delta = linear(attended, layer.o_proj);
    std::tie(x, normed) = add_rms_norm(x, delta, layer.post_attention_layernorm, eps);
    delta = gated_mlp(normed, layer.gate_up, layer.down_proj);
  }
  return add_rms_norm(x, delta, weights.norm, eps).second;
}

std::unique_ptr<KvCache> Decoder::new_cache(int64_t rows, int64_t capacity) const {
  CHECK(capacity >= 0, kUsage, "prefill: expected a capacity of at least 0, found {}", capacity);
  return std::make_unique<DecoderCache>(config_, weights({}), rows, capacity);
}

void Decoder::admit(KvCache& base, const TokenForest& prompts,
                    std::span<const int64_t> segment_of_row, Tensor& last_hidden,
                    std::span<SharedPromptKeys> keys) const {
  const at::NoGradGuard no_grad;
  auto& cache = dynamic_cast<DecoderCache&>(base);
  CHECK(prompts.num_tokens() > 0, kInput, "prefill: expected at least one prompt");
  CHECK(keys.empty() || keys.size() == prompts.segments.size(), kUsage,
        "admit: expected keys for none or all of {} segments, found {}", prompts.segments.size(),
        keys.size());
  const int64_t longest = *std::max_element(prompts.positions.begin(), prompts.positions.end()) + 1;
  std::vector<int64_t> computed, last;
  for (int64_t s = 0; s < std::ssize(prompts.segments); ++s)
    if (keys.empty() || keys[s] == nullptr) computed.push_back(s);
  const TokenForest forest = cache.admit(prompts, segment_of_row, keys,
                                         rotary(longest + cache.capacity()));  // it never shrinks
  last_hidden = at::zeros({std::ssize(prompts.segments), config_.hidden_size});
  if (computed.empty()) return;
  for (const Segment& segment : forest.segments) last.push_back(segment.end - 1);
  last_hidden.index_copy_(
      0, at::tensor(computed, at::kLong),
      forward(cache.weights(), forest, {}, index_of(last, forest.num_tokens()), &cache));
}

// One layer after the other for ordered rows [begin, end); products and attention use the threads
// that are free.
void Decoder::decode_rows(DecoderCache& cache, int64_t begin, int64_t end) const {
  const at::NoGradGuard no_grad;
  DecoderCache::Buffers& b = cache.buffers();
  const auto mine = [&](const Tensor& t) { return t.narrow(0, begin, end - begin); };
  const Tensor normed = mine(b.normed), qkv = mine(b.qkv), attended = mine(b.attended),
               delta = mine(b.delta), gate_up = mine(b.gate_up), activated = mine(b.activated);
  RmsNormRows norm;
  norm.x = norm.sum = b.x.data_ptr<float>();
  norm.out = b.normed.data_ptr<float>();
  norm.inverse_rms = b.inverse_rms.data_ptr<float>();
  norm.columns = config_.hidden_size;
  norm.eps = static_cast<float>(config_.rms_norm_eps);
  const float* residual = b.delta.data_ptr<float>();
  constexpr int64_t kGrain = 1 << 13;  // values worth a thread
  const auto grain = [](int64_t columns) { return (kGrain + columns - 1) / columns; };
  const auto normalise = [&](const Tensor& weight) {
    norm.weight = weight.const_data_ptr<float>();
    at::parallel_for(begin, end, grain(norm.columns),
                     [&](int64_t first, int64_t last) { rms_norm_rows(norm, first, last); });
    norm.delta = residual;  // every later norm adds the block's output first
  };
  const DecoderWeights& weights = cache.weights();
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    const DecoderLayer& layer = weights.layers[l];
    normalise(layer.input_layernorm);
    linear_out(qkv, normed, layer.qkv);
    cache.attend_rows(static_cast<int64_t>(l), begin, end, b.qkv, b.attended);
    linear_out(delta, attended, layer.o_proj);
    normalise(layer.post_attention_layernorm);
    linear_out(gate_up, normed, layer.gate_up);
    at::parallel_for(begin, end, grain(config_.intermediate_size),
                     [&](int64_t first, int64_t last) {
                       swiglu_rows(b.gate_up.const_data_ptr<float>(), b.activated.data_ptr<float>(),
                                   config_.intermediate_size, first, last);
                     });
    linear_out(delta, activated, layer.down_proj);
  }
  normalise(weights.norm);
}

Tensor Decoder::decode(KvCache& base, std::span<const int64_t> ids) const {
  const at::NoGradGuard no_grad;
  auto& cache = dynamic_cast<DecoderCache&>(base);
  const int64_t rows = cache.num_rows(), columns = config_.hidden_size;
  CHECK(static_cast<int64_t>(ids.size()) == rows, kUsage, "decode: expected {} tokens, found {}",
        rows, ids.size());
  check_ids(ids);
  cache.check_room();
  Tensor out = at::empty({rows, columns}, at::kFloat);
  if (rows == 0) return out;
  std::vector<int64_t> ordered;
  for (int64_t r : cache.order()) ordered.push_back(ids[static_cast<size_t>(r)]);
  cache.buffers()
      .x.narrow(0, 0, rows)
      .copy_(weight_rows(cache.weights().embed_tokens.detach(), at::tensor(ordered, at::kLong)));
  // Workers with rows of their own need no barriers, but each reads all weights: for small models
  // with many rows.
  constexpr int64_t kRowsPerWorker = 16, kCachedBytes = int64_t{1} << 23;
  const int64_t threads = at::get_num_threads();
  const int64_t layer_bytes = config_.hidden_size *
                              (shape_of(config_).packed_width() + 3 * config_.intermediate_size) *
                              cache.weights().layers[0].o_proj[0].weight.element_size();
  if (rows >= kRowsPerWorker * threads && layer_bytes <= kCachedBytes &&
      !at::in_parallel_region()) {
    at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
      for (int64_t w = first; w < last; ++w) {
        decode_rows(cache, rows * w / threads, rows * (w + 1) / threads);
      }
    });
  } else {
    decode_rows(cache, 0, rows);
  }
  cache.advance();
  const float* normed = cache.buffers().normed.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    std::copy(normed + i * columns, normed + (i + 1) * columns, to + cache.order()[i] * columns);
  }
  return out;
}

}  // namespace

DecoderWeights::DecoderWeights(const ParameterMap& parameters, const LlmConfig& config,
                               const AdapterPass& pass)
    : embed_tokens(parameters.at("model.embed_tokens.weight")),
      norm(parameters.at("model.norm.weight")) {
  const auto prompt = parameters.find("prompt_embeddings");
  if (prompt != parameters.end()) prompt_embeddings = prompt->second;
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

ParameterGroups parameter_groups(const LlmConfig& config) {
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

std::unique_ptr<Llm> make_decoder(const LlmConfig& config, Storage storage) {
  return std::make_unique<Decoder>(config, storage);
}

}  // namespace etrlrec
