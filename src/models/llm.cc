// Configuration, making, loading and saving of language models in Hugging Face layout. Fields of
// config.json that would change the result and are not computed here are refused by name.
#include "models/llm.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <set>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "models/decoder.h"
#include "nn/attention_kernel.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

void check_config(const LlmConfig& c, const std::string& name) {
  const auto positive = [&](const char* key, int64_t value) {
    CHECK(value > 0, kModel, "{}: {}: expected a positive number, found {}", name, key, value);
  };
  CHECK(c.model_type == "qwen2" || c.model_type == "llama", kModel,
        "{}: model_type: expected qwen2 or llama, found {}", name, c.model_type);
  positive("vocab_size", c.vocab_size);
  positive("hidden_size", c.hidden_size);
  positive("num_hidden_layers", c.num_hidden_layers);
  positive("num_attention_heads", c.num_attention_heads);
  positive("num_key_value_heads", c.num_key_value_heads);
  positive("intermediate_size", c.intermediate_size);
  positive("max_position_embeddings", c.max_position_embeddings);
  CHECK(c.hidden_size % c.num_attention_heads == 0 && c.head_dim() % 2 == 0 && c.head_dim() <= 512,
        kModel,
        "{}: hidden_size: expected an even multiple of num_attention_heads, at most 512 times, "
        "found {}",
        name, c.hidden_size);
  CHECK(c.num_attention_heads % c.num_key_value_heads == 0 &&
            c.num_attention_heads / c.num_key_value_heads <= kTileRows,
        kModel, "{}: num_key_value_heads: expected a divisor of {}, found {}", name,
        c.num_attention_heads, c.num_key_value_heads);
  CHECK(c.rms_norm_eps > 0 && c.rope_theta > 0, kModel,
        "{}: expected positive rms_norm_eps and rope_theta", name);
}

// Rotary settings stand at the top level (older files) or in rope_parameters (newer ones).
double read_rope_theta(const Json& json, const std::string& name) {
  double theta = get_or<double>(json, "rope_theta", 10000.0, name);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!json.contains(key) || json[key].is_null()) continue;
    const Json& rope = json[key];
    CHECK(rope.is_object(), kModel, "{}: {}: expected an object", name, key);
    const std::string old_type = get_or<std::string>(rope, "type", "default", name);
    const std::string type = get_or<std::string>(rope, "rope_type", old_type, name);
    CHECK(type == "default", kModel, "{}: {} of type \"{}\" is not supported", name, key, type);
    CHECK(get_or<double>(rope, "partial_rotary_factor", 1.0, name) == 1.0, kModel,
          "{}: partial_rotary_factor is not supported", name);
    theta = get_or<double>(rope, "rope_theta", theta, name);
  }
  CHECK(get_or<double>(json, "partial_rotary_factor", 1.0, name) == 1.0, kModel,
        "{}: partial_rotary_factor is not supported", name);
  return theta;
}

void refuse_unsupported(const Json& json, const LlmConfig& config, const std::string& name) {
  const std::string activation = get_or<std::string>(json, "hidden_act", "silu", name);
  CHECK(activation == "silu", kModel, "{}: hidden_act \"{}\" is not supported, expected silu", name,
        activation);
  for (const char* key : {"use_sliding_window", "attention_bias", "mlp_bias"}) {
    CHECK(!get_or<bool>(json, key, false, name), kModel, "{}: {} is not supported", name, key);
  }
  if (json.contains("layer_types") && json["layer_types"].is_array()) {
    for (const Json& type : json["layer_types"]) {
      CHECK(type == "full_attention", kModel, "{}: layer_types: {} is not supported", name,
            type.dump());
    }
  }
  CHECK(config.model_type == "qwen2" || !json.contains("sliding_window") ||
            json["sliding_window"].is_null(),
        kModel, "{}: sliding_window is not supported", name);
  CHECK(get_or<int64_t>(json, "head_dim", config.head_dim(), name) == config.head_dim(), kModel,
        "{}: head_dim: expected hidden_size / num_attention_heads = {}, found {}", name,
        config.head_dim(), json["head_dim"].dump());
  CHECK(!json.contains("quantization_config") || json["quantization_config"].is_null(), kModel,
        "{}: quantization_config is not supported", name);
}

// Tensors of model.safetensors, or of the files that model.safetensors.index.json names.
ParameterMap load_weights(const std::filesystem::path& folder) {
  const auto index = folder / "model.safetensors.index.json";
  if (!std::filesystem::exists(index)) return load_safetensors(folder / "model.safetensors", true);
  const std::string name = index.string();
  std::set<std::string> files;
  const Json map = get<Json>(read_json(index), "weight_map", name);
  CHECK(map.is_object(), kInput, "{}: weight_map: expected an object", name);
  for (const auto& [tensor, file] : map.items()) {
    CHECK(file.is_string(), kInput, "{}: weight_map: expected file names, found {}", name,
          file.dump());
    files.insert(file.get<std::string>());
  }
  ParameterMap tensors;
  for (const std::string& file : files) {
    CHECK(!file.empty() && file.find('/') == std::string::npos && file != "..", kInput,
          "{}: expected a file of the same folder, found \"{}\"", name, file);
    for (auto& [tensor, value] : load_safetensors(folder / file, true)) {
      CHECK(map.contains(tensor) && map[tensor] == file, kInput,
            "{}: \"{}\" holds tensor \"{}\", which the index does not place there", name, file,
            tensor);
      tensors[tensor] = value;
    }
  }
  for (const auto& [tensor, file] : map.items()) {
    CHECK(tensors.contains(tensor), kInput, "{}: tensor \"{}\" is in none of the files", name,
          tensor);
  }
  return tensors;
}

}  // namespace

void Llm::attach_lora(const LoraConfig&, uint64_t) {
  fail(ExitCode::kUsage, "language model: this type takes no adapters");
}
void Llm::load_lora(const std::filesystem::path&) {
  fail(ExitCode::kUsage, "language model: this type takes no adapters");
}
void Llm::merge_lora() { fail(ExitCode::kUsage, "language model: this type takes no adapters"); }
const LoraConfig& Llm::lora() const {
  static const LoraConfig none;
  return none;
}

LlmConfig read_llm_config(const std::filesystem::path& folder) {
  const std::string name = (folder / "config.json").string();
  const Json json = read_json(name);
  LlmConfig c;
  c.model_type = get<std::string>(json, "model_type", name);
  c.vocab_size = get<int64_t>(json, "vocab_size", name);
  c.hidden_size = get<int64_t>(json, "hidden_size", name);
  c.num_hidden_layers = get<int64_t>(json, "num_hidden_layers", name);
  c.num_attention_heads = get<int64_t>(json, "num_attention_heads", name);
  c.num_key_value_heads = get_or<int64_t>(json, "num_key_value_heads", c.num_attention_heads, name);
  c.intermediate_size = get<int64_t>(json, "intermediate_size", name);
  c.max_position_embeddings = get<int64_t>(json, "max_position_embeddings", name);
  c.rms_norm_eps = get_or<double>(json, "rms_norm_eps", 1e-6, name);
  c.rope_theta = read_rope_theta(json, name);
  c.tie_word_embeddings = get_or<bool>(json, "tie_word_embeddings", false, name);
  c.initializer_range = get_or<double>(json, "initializer_range", 0.02, name);
  if (json.contains("eos_token_id") && json["eos_token_id"].is_array()) {
    CHECK(json["eos_token_id"].size() == 1, kModel,
          "{}: eos_token_id: expected one token, found {}", name, json["eos_token_id"].dump());
    c.eos_token_id = get<std::vector<int64_t>>(json, "eos_token_id", name)[0];
  } else {
    c.eos_token_id = get_or<int64_t>(json, "eos_token_id", 0, name);
  }
  check_config(c, name);
  refuse_unsupported(json, c, name);
  return c;
}

void write_llm_config(const LlmConfig& c, const std::filesystem::path& folder) {
  OrderedJson json;
  json["architectures"] = {c.model_type == "qwen2" ? "Qwen2ForCausalLM" : "LlamaForCausalLM"};
  json["attention_dropout"] = 0.0;
  json["eos_token_id"] = c.eos_token_id;
  json["hidden_act"] = "silu";
  json["hidden_size"] = c.hidden_size;
  json["initializer_range"] = c.initializer_range;
  json["intermediate_size"] = c.intermediate_size;
  json["max_position_embeddings"] = c.max_position_embeddings;
  json["model_type"] = c.model_type;
  json["num_attention_heads"] = c.num_attention_heads;
  json["num_hidden_layers"] = c.num_hidden_layers;
  json["num_key_value_heads"] = c.num_key_value_heads;
  json["rms_norm_eps"] = c.rms_norm_eps;
  json["rope_theta"] = c.rope_theta;
  json["tie_word_embeddings"] = c.tie_word_embeddings;
  json["torch_dtype"] = "float32";
  json["use_cache"] = true;
  if (c.model_type == "qwen2") json["use_sliding_window"] = false;
  json["vocab_size"] = c.vocab_size;
  std::filesystem::create_directories(folder);
  write_json_atomic(folder / "config.json", json);
}

std::unique_ptr<Llm> new_llm(const LlmConfig& config, uint64_t seed) {
  check_config(config, "new language model");
  keep_freed_memory();
  std::unique_ptr<Llm> model = make_decoder(config);
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : model->parameters()) {
    if (name.ends_with("norm.weight")) {
      tensor.fill_(1);
    } else if (name.ends_with(".bias")) {
      tensor.zero_();
    } else {
      Rng rng(seed, "init." + name);
      float* values = tensor.data_ptr<float>();
      for (int64_t i = 0; i < tensor.numel(); ++i) {
        values[i] = static_cast<float>(rng.normal() * config.initializer_range);
      }
    }
  }
  return model;
}

void assign_parameters(ParameterMap& target, const ParameterMap& source, const std::string& name) {
  const at::NoGradGuard no_grad;
  for (auto& [key, tensor] : target) {
    if (is_adapter_parameter(key)) continue;
    const auto it = source.find(key);
    CHECK(it != source.end(), kModel, "{}: tensor \"{}\" is missing", name, key);
    CHECK(it->second.sizes() == tensor.sizes(), kModel,
          "{}: tensor \"{}\": expected shape {}, found {}", name, key,
          fmt::join(tensor.sizes().vec(), " x "), fmt::join(it->second.sizes().vec(), " x "));
    tensor.copy_(it->second);
  }
  for (const auto& [key, tensor] : source) {
    const bool tied_copy = key == "lm_head.weight", derived = key.ends_with("rotary_emb.inv_freq");
    CHECK(target.contains(key) || tied_copy || derived, kModel,
          "{}: tensor \"{}\" is not of this model", name, key);
  }
}

std::unique_ptr<Llm> load_llm(const std::filesystem::path& folder) {
  keep_freed_memory();
  std::unique_ptr<Llm> model = make_decoder(read_llm_config(folder));
  assign_parameters(model->parameters(), load_weights(folder), folder.string());
  return model;
}

void save_llm(const Llm& model, const std::filesystem::path& folder) {
  write_llm_config(model.config(), folder);
  ParameterMap weights;
  for (const auto& [name, tensor] : model.parameters()) {
    if (!is_adapter_parameter(name)) weights[name] = tensor;
  }
  save_safetensors(weights, folder / "model.safetensors");
}

}  // namespace etrlrec
