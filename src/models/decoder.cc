#include "models/decoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "kernels/attention_kernel.h"
#include "kernels/row_kernels.h"
#include "models/decoder_weights.h"
#include "models/kv_cache.h"
#include "nn/embedding.h"
#include "nn/gated_mlp.h"
#include "nn/layers.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

using at::Tensor;

HeadShape shape_of(const LlmConfig& config) {
  return {config.num_attention_heads, config.num_key_value_heads, config.head_dim};
}

Tensor index_of(std::span<const int64_t> rows, int64_t tokens, at::Device device) {
  for (int64_t row : rows)
    CHECK(row >= 0 && row < tokens, kUsage, "hidden states: expected tokens in [0, {}), found {}",
          tokens, row);
  return at::tensor(at::ArrayRef<int64_t>(rows.data(), rows.size()), at::kLong).to(device);
}

}  // namespace

Decoder::Decoder(const LlmConfig& config, Storage storage, Memory memory, const Numerics& numerics)
    : LanguageModel(storage, numerics), config_(config) {
  const ParameterGroups groups = decoder_parameter_groups(config);
  parameters_ = memory == Memory::kAllocated ? allocate_parameters(groups, storage, numerics)
                                             : describe_parameters(groups);
}

DecoderWeights Decoder::weights(const TrainingNoise& noise) const {
  return DecoderWeights(parameters_, config_, adapters_.pass(noise), prompts_.table());
}

Tensor Decoder::hidden_states(const TokenForest& forest) const {
  return forward(weights(noise_), forest, noise_, {}, nullptr);
}

Tensor Decoder::hidden_states_at(const TokenForest& forest, std::span<const int64_t> rows) const {
  return forward(weights(noise_), forest, noise_,
                 index_of(rows, forest.num_tokens(), numerics().device), nullptr);
}

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

namespace {

// RMSNorm of every query and key head (Qwen3), before the rotation.
Tensor normalise_heads(const Tensor& qkv, const DecoderLayer& layer, const HeadShape& shape,
                       double eps, const Numerics& numerics) {
  const int64_t queries = shape.num_heads * shape.head_dim,
                keys = shape.num_key_value_heads * shape.head_dim, tokens = qkv.size(0);
  const auto normed = [&](int64_t begin, int64_t width, const Tensor& weight) {
    return rms_norm(qkv.narrow(1, begin, width).reshape({-1, shape.head_dim}), weight, eps,
                    numerics)
        .view({tokens, width});
  };
  return at::cat({normed(0, queries, layer.q_norm), normed(queries, keys, layer.k_norm),
                  qkv.narrow(1, queries + keys, keys)},
                 1);
}

}  // namespace

template <typename Attend>
Tensor Decoder::run_layers(const DecoderWeights& weights, Tensor x, const Tensor& rows,
                           const TrainingNoise& noise, const Attend& attend) const {
  const double eps = config_.rms_norm_eps;
  const Numerics& how = numerics();
  uint64_t place = 0;
  const auto dropped = [&](const Tensor& values) {
    if (!noise.enabled || noise.hidden_dropout == 0) return values;
    return masked_dropout(
        values, {noise.hidden_dropout, Rng(noise.seed, "hidden dropout", place++).next()}, how);
  };
  Tensor normed, delta;
  x = dropped(x);
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    const DecoderLayer& layer = weights.layers[l];
    if (l == 0) {
      normed = rms_norm(x, layer.input_layernorm, eps, how);
    } else {
      std::tie(x, normed) = add_rms_norm(x, delta, layer.input_layernorm, eps, how);
    }
    Tensor qkv = linear(normed, layer.qkv, how);  // [T, (H + 2 H_kv) D]
    if (layer.q_norm.defined()) qkv = normalise_heads(qkv, layer, shape_of(config_), eps, how);
    Tensor attended = attend(static_cast<int64_t>(l), qkv);
    if (rows.defined() && l + 1 == weights.layers.size()) {  // no later token looks at the others
      attended = attended.index_select(0, rows);
      x = x.index_select(0, rows);
    }
    delta = dropped(linear(attended, layer.o_proj, how));
    std::tie(x, normed) = add_rms_norm(x, delta, layer.post_attention_layernorm, eps, how);
    delta = dropped(gated_mlp(normed, layer.gate_up, layer.down_proj, how));
  }
  return dropped(add_rms_norm(x, delta, weights.norm, eps, how).second);
}

Tensor Decoder::forward(const DecoderWeights& weights, const TokenForest& forest,
                        const TrainingNoise& noise, const Tensor& rows, DecoderCache* cache) const {
  CHECK(forest.num_tokens() > 0, kInput, "language model: expected at least one token");
  CHECK(forest.sources.empty(), kUsage, "{}: has no encoder that could read a source text",
        config_.model_type);
  const double scale = 1.0 / std::sqrt(static_cast<double>(config_.head_dim));
  const auto plan = plan_forest(forest);
  const RotaryTable& table =
      rotary(*std::max_element(forest.positions.begin(), forest.positions.end()) + 1);
  const Tensor x = embed_forest(weights.embed_tokens, weights.prompt_embeddings, forest, noise,
                                numerics());  // [T, C]
  return run_layers(weights, x, rows, noise, [&](int64_t l, const Tensor& qkv) {
    HeadShape shape = shape_of(config_);
    shape.window = config_.window(l);
    const Tensor& weight = weights.layers[static_cast<size_t>(l)].o_proj[0].weight;
    shape.uses_bfloat16_math = config_.attention_uses_bfloat16_math(storage_of(weight), numerics());
    if (cache != nullptr) cache->store_prompts(l, qkv);
    if (cache == nullptr || !cache->has_front())
      return rotary_attention(qkv, plan, shape, table, scale, numerics());
    if (takes_plain_way(qkv, numerics()))
      return plain::forest_attention(qkv, *plan, shape, table, scale,
                                     [&](int64_t root) { return cache->plain_front(l, root); });
    const FrontKeys front = [&](int64_t root, int64_t head, std::vector<FrontSpan>& spans) {
      cache->add_front(l, root, head, spans);
    };
    return rotary_attention_behind(front, qkv, plan, shape, table, scale);
  });
}

std::unique_ptr<KvCache> Decoder::new_cache(int64_t rows, int64_t capacity) const {
  CHECK(capacity >= 0, kUsage, "prefill: expected a capacity of at least 0, found {}", capacity);
  return std::make_unique<DecoderCache>(config_, weights({}), numerics(), rows, capacity);
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
  last_hidden = at::zeros({std::ssize(prompts.segments), config_.hidden_size}, numerics().device);
  if (computed.empty()) return;
  for (const Segment& segment : forest.segments) last.push_back(segment.end - 1);
  last_hidden.index_copy_(0, at::tensor(computed, at::kLong).to(numerics().device),
                          forward(cache.weights(), forest, {},
                                  index_of(last, forest.num_tokens(), numerics().device), &cache));
}

Tensor Decoder::plain_decode(DecoderCache& cache, const Tensor& x) const {
  return run_layers(cache.weights(), x, {}, {}, [&](int64_t layer, const Tensor& qkv) {
    return cache.plain_attend_rows(layer, qkv);
  });
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
    linear_out(qkv, normed, layer.qkv, numerics());
    cache.attend_rows(static_cast<int64_t>(l), begin, end, b.qkv, b.attended);
    linear_out(delta, attended, layer.o_proj, numerics());
    normalise(layer.post_attention_layernorm);
    linear_out(gate_up, normed, layer.gate_up, numerics());
    at::parallel_for(begin, end, grain(config_.intermediate_size),
                     [&](int64_t first, int64_t last) {
                       swiglu_rows(b.gate_up.const_data_ptr<float>(), b.activated.data_ptr<float>(),
                                   config_.intermediate_size, first, last);
                     });
    linear_out(delta, activated, layer.down_proj, numerics());
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
  Tensor out = at::empty({rows, columns}, at::TensorOptions(at::kFloat).device(numerics().device));
  if (rows == 0) return out;
  std::vector<int64_t> ordered;
  for (int64_t r : cache.order()) ordered.push_back(ids[static_cast<size_t>(r)]);
  const Tensor x = weight_rows(cache.weights().embed_tokens.detach(),
                               at::tensor(ordered, at::kLong).to(numerics().device), numerics());
  if (takes_plain_way(x, numerics())) {
    const Tensor order = at::tensor(cache.order(), at::kLong).to(numerics().device);
    out.index_copy_(0, order, plain_decode(cache, x));
    cache.advance();
    return out;
  }
  cache.buffers().x.narrow(0, 0, rows).copy_(x);
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

// ---- Cost. Attention and norms are left out of the work: two operations for each weight that a
// token meets.

int64_t Decoder::key_value_bytes() const {
  const Tensor& weight = parameters_.at(layer_prefix(0) + "self_attn.o_proj.weight");
  return config_.key_value_bytes(weight.is_meta() ? storage() : storage_of(weight), numerics());
}

PassCost Decoder::cost(const PassShape& shape) const {
  const LlmConfig& c = config_;
  const int64_t tokens = shape.prompt_tokens + shape.text_tokens;
  const int64_t heads = (2 * c.num_attention_heads + 2 * c.num_key_value_heads) * c.head_dim;
  // Values of one token that live between the layers of a block: residual sums and norms, queries,
  // keys and values, the attention's output, gate, up and their product.
  int64_t values = 2 * (6 * c.hidden_size + heads + 3 * c.intermediate_size);
  if (shape.with_gradient) {
    // What the backward pass keeps of one token and layer; gate and up in two bytes with bfloat16
    // arithmetic.
    const bool compact =
        storage() != Storage::kFloat && numerics().arithmetic == Arithmetic::kBFloat16;
    values +=
        c.num_hidden_layers * (4 * c.hidden_size + heads + (compact ? 1 : 2) * c.intermediate_size);
  }
  const int64_t embedding = c.tie_word_embeddings ? 0 : c.vocab_size * c.hidden_size;
  return {tokens * values * static_cast<int64_t>(sizeof(float)),
          2.0 * static_cast<double>(tokens) * static_cast<double>(num_parameters() - embedding)};
}

// ---- Making, loading, saving.

std::unique_ptr<Decoder> new_decoder(const LlmConfig& config, uint64_t seed,
                                     const Numerics& numerics) {
  check_llm_config(config, "new language model");
  auto model =
      std::make_unique<Decoder>(config, Storage::kFloat, Decoder::Memory::kAllocated, numerics);
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : model->parameters()) {
    if (name.ends_with("norm.weight")) {
      tensor.fill_(1);
    } else if (name.ends_with(".bias")) {
      tensor.zero_();
    } else {
      Rng rng(seed, "init." + name);
      const Tensor drawn = at::empty(tensor.sizes(), at::kFloat);
      float* values = drawn.data_ptr<float>();
      for (int64_t i = 0; i < tensor.numel(); ++i) {
        values[i] = static_cast<float>(rng.normal() * config.initializer_range);
      }
      tensor.copy_(drawn);
    }
  }
  return model;
}

std::unique_ptr<Decoder> open_decoder(const std::filesystem::path& folder, Storage storage,
                                      const Numerics& numerics) {
  return std::make_unique<Decoder>(read_llm_config(folder), storage, Decoder::Memory::kShapesOnly,
                                   numerics);
}

std::unique_ptr<Decoder> load_decoder(const std::filesystem::path& folder, Storage storage,
                                      const Numerics& numerics) {
  LlmConfig config = read_llm_config(folder);
  const ParameterMap weights = load_decoder_weights(folder, config);
  auto model = std::make_unique<Decoder>(config, storage, Decoder::Memory::kAllocated, numerics);
  if (storage == Storage::kFloat) {
    assign_parameters(model->parameters(), weights, folder.string());
  } else {
    store_parameters(model->parameters(), weights, storage, folder.string());
    for (auto& [name, tensor] : model->parameters()) tensor = moved_to(tensor, numerics.device);
  }
  return model;
}

void Decoder::save(const std::filesystem::path& folder) const {
  write_llm_config(config_, folder);
  save_parameters(parameters_, folder);
}

}  // namespace etrlrec
