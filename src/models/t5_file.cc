// Making, loading and saving of T5 in Hugging Face layout.
#include <ATen/ATen.h>

#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "models/llm.h"
#include "models/t5.h"
#include "models/t5_layers.h"
#include "nn/layers.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

bool same_tensor(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && at::equal(a, b);
}

// Older files name the embeddings up to four times and hold a bias of cross attention that no
// version has used. What remains are the parameters of the configuration; the head decides about
// tie_word_embeddings.
void remove_copies(ParameterMap& weights, T5Config& config, const std::string& name) {
  weights.erase("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight");
  const std::string copies[] = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
  for (const std::string& copy : copies) {
    if (weights.contains(copy)) weights.try_emplace("shared.weight", weights.at(copy));
  }
  const auto head = weights.find("lm_head.weight");
  if (head != weights.end() && config.tie_word_embeddings)
    weights.try_emplace("shared.weight", head->second);
  const auto shared = weights.find("shared.weight");
  if (shared == weights.end()) return;  // reported with all others that are missing
  for (const std::string& copy : copies) {
    if (!weights.contains(copy)) continue;
    CHECK(same_tensor(weights.at(copy), shared->second), kModel,
          "{}: \"{}\": expected the values of \"shared.weight\"", name, copy);
    weights.erase(copy);
  }
  if (head == weights.end()) return;
  if (config.tie_word_embeddings && same_tensor(head->second, shared->second)) {
    weights.erase(head);
  } else {
    config.tie_word_embeddings = false;
  }
}

// Standard deviations of Raffel et al. 2020 (Mesh TensorFlow); attention is not scaled, so that its
// queries start smaller.
double initial_deviation(const std::string& name, const T5Config& c) {
  const auto inverse_root = [](int64_t n) { return 1 / std::sqrt(static_cast<double>(n)); };
  if (name == "shared.weight" || name == "lm_head.weight") return 1;
  if (name.ends_with(".q.weight")) return inverse_root(c.d_model * c.d_kv);
  if (name.ends_with(".o.weight")) return inverse_root(c.num_heads * c.d_kv);
  if (name.ends_with(".wo.weight")) return inverse_root(c.d_ff);
  return inverse_root(c.d_model);
}

}  // namespace

std::unique_ptr<T5> new_t5(const T5Config& config, uint64_t seed) {
  check_t5_config(config, "new T5");
  keep_freed_memory();
  auto model = std::make_unique<T5>(config);
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : model->parameters()) {
    if (name.ends_with("layer_norm.weight")) {
      tensor.fill_(config.initializer_factor);
      continue;
    }
    Rng rng(seed, "init." + name);
    const double deviation = config.initializer_factor * initial_deviation(name, config);
    float* values = tensor.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      values[i] = static_cast<float>(rng.normal() * deviation);
    }
  }
  return model;
}

std::unique_ptr<T5> load_t5(const std::filesystem::path& folder) {
  keep_freed_memory();
  T5Config config = read_t5_config(folder);
  ParameterMap weights = load_weights(folder);
  remove_copies(weights, config, folder.string());
  auto model = std::make_unique<T5>(config);
  assign_parameters(model->parameters(), weights, folder.string());
  return model;
}

void save_t5(const T5& model, const std::filesystem::path& folder) {
  write_t5_config(model.config(), folder);
  ParameterMap weights;
  for (const auto& [name, tensor] : model.parameters()) {
    if (!is_adapter_parameter(name)) weights[name] = tensor;
  }
  save_safetensors(weights, folder / "model.safetensors");
}

}  // namespace etrlrec
