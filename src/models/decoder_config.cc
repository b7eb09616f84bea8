#include "models/decoder_config.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/json.h"
#include "kernels/attention_bfloat16.h"
#include "models/config_fields.h"

// Both spellings of the rotation are read (rope_theta and rope_scaling at the top level, or
// rope_parameters). Fields that would change the result and are not computed here are refused by
// name.
namespace etrlrec {
namespace {

// With what Transformers takes where config.json lacks a field: num_key_value_heads 0 is as many as
// attention heads, sliding_window 0 none.
struct ModelType {
  const char* name;
  const char* architecture;
  int64_t max_position_embeddings, num_key_value_heads, sliding_window;
};
constexpr std::array<ModelType, 4> kModelTypes{{{"llama", "LlamaForCausalLM", 2048, 0, 0},
                                                {"mistral", "MistralForCausalLM", 131072, 8, 4096},
                                                {"qwen2", "Qwen2ForCausalLM", 32768, 32, 4096},
                                                {"qwen3", "Qwen3ForCausalLM", 32768, 32, 4096}}};

const ModelType& model_type(const std::string& type, const std::string& name) {
  std::string known;
  for (const ModelType& entry : kModelTypes) {
    if (type == entry.name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  fail(ExitCode::kModel, "{}: model_type: expected one of {}, found {}", name, known, type);
}

void check_rope(const RopeConfig& rope, const std::string& name) {
  CHECK(rope.theta > 0, kModel, "{}: rope_theta: expected a positive number, found {}", name,
        rope.theta);
  CHECK(rope.factor >= 1, kModel, "{}: rope_scaling: factor: expected at least 1, found {}", name,
        rope.factor);
  CHECK(rope.type != "llama3" ||
            (rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor &&
             rope.original_max_position_embeddings > 0),
        kModel,
        "{}: rope_scaling: expected 0 < low_freq_factor < high_freq_factor and a positive "
        "original_max_position_embeddings",
        name);
}

RopeConfig read_rope(const Json& json, const std::string& name) {
  RopeConfig rope;
  rope.theta = get_or<double>(json, "rope_theta", 10000.0, name);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!json.contains(key) || json[key].is_null()) continue;
    const Json& fields = json[key];
    CHECK(fields.is_object(), kModel, "{}: {}: expected an object", name, key);
    const std::string where = name + ": " + key;
    const std::string old_type = get_or<std::string>(fields, "type", "default", where);
    rope.type = get_or<std::string>(fields, "rope_type", old_type, where);
    CHECK(rope.type == "default" || rope.type == "linear" || rope.type == "llama3", kModel,
          "{}: {} of type \"{}\" is not supported; known: default, linear, llama3", name, key,
          rope.type);
    CHECK(get_or<double>(fields, "partial_rotary_factor", 1.0, where) == 1.0, kModel,
          "{}: partial_rotary_factor is not supported", where);
    rope.theta = get_or<double>(fields, "rope_theta", rope.theta, where);
    if (rope.type == "default") continue;
    rope.factor = get<double>(fields, "factor", where);
    if (rope.type == "linear") continue;
    rope.low_freq_factor = get<double>(fields, "low_freq_factor", where);
    rope.high_freq_factor = get<double>(fields, "high_freq_factor", where);
    rope.original_max_position_embeddings =
        get<int64_t>(fields, "original_max_position_embeddings", where);
  }
  CHECK(get_or<double>(json, "partial_rotary_factor", 1.0, name) == 1.0, kModel,
        "{}: partial_rotary_factor is not supported", name);
  return rope;
}

// Which layers slide: by layer_types, or by the older fields of each family.
void read_windows(const Json& json, LlmConfig& c, const std::string& name) {
  const int64_t usual =
      json.contains("sliding_window") ? 0 : model_type(c.model_type, name).sliding_window;
  const auto window = get_or<int64_t>(json, "sliding_window", usual, name);
  const bool has_window = window > 0;
  const bool qwen = c.model_type.starts_with("qwen");
  const bool used = qwen ? get_or<bool>(json, "use_sliding_window", false, name) : has_window;
  CHECK(c.model_type != "llama" || !has_window, kModel,
        "{}: sliding_window is not a field of llama", name);
  const bool listed = json.contains("layer_types") && json["layer_types"].is_array();
  if (listed) {
    CHECK(static_cast<int64_t>(json["layer_types"].size()) == c.num_hidden_layers, kModel,
          "{}: layer_types: expected {} entries, found {}", name, c.num_hidden_layers,
          json["layer_types"].size());
    for (const Json& type : json["layer_types"])
      CHECK(type == "full_attention" || type == "sliding_attention", kModel,
            "{}: layer_types: {} is not supported", name, type.dump());
  }
  const auto first = qwen ? get_or<int64_t>(json, "max_window_layers", 28, name) : int64_t{0};
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const bool slides = listed
                            ? json["layer_types"][static_cast<size_t>(layer)] == "sliding_attention"
                            : used && layer >= first;
    c.sliding_layers.push_back(slides);
    if (!slides) continue;
    CHECK(has_window, kModel, "{}: sliding_window: expected a positive number, found {}", name,
          json.contains("sliding_window") ? json["sliding_window"].dump() : "nothing");
    c.sliding_window = window;
  }
  if (c.sliding_window == 0) c.sliding_layers.clear();
}

void refuse_unsupported(const Json& json, const std::string& name) {
  const std::string activation = get_or<std::string>(json, "hidden_act", "silu", name);
  CHECK(activation == "silu" || activation == "swish", kModel,
        "{}: hidden_act \"{}\" is not supported, expected silu (or swish, its other name)", name,
        activation);
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    CHECK(!get_or<bool>(json, key, false, name), kModel, "{}: {} is not supported", name, key);
  }
  CHECK(get_or<int64_t>(json, "pretraining_tp", 1, name) == 1, kModel,
        "{}: pretraining_tp is not supported", name);
  refuse_quantization(json, name);
}

// Those of config.json and of generation_config.json, where instruction-tuned models name the token
// that ends a turn; 0 where neither names one.
std::vector<int64_t> all_end_tokens(const std::filesystem::path& folder, const Json& config) {
  constexpr int64_t kNone = -1;
  std::vector<int64_t> ids = read_end_tokens(config, kNone, (folder / "config.json").string());
  const std::filesystem::path path = folder / "generation_config.json";
  if (std::filesystem::exists(path)) {
    for (int64_t id : read_end_tokens(read_json(path), kNone, path.string()))
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  std::erase(ids, kNone);
  return ids.empty() ? std::vector<int64_t>{0} : ids;
}

OrderedJson rope_json(const RopeConfig& rope) {
  if (rope.type == "default") return nullptr;
  OrderedJson json{{"factor", rope.factor}, {"rope_type", rope.type}};
  if (rope.type == "linear") return json;
  json["low_freq_factor"] = rope.low_freq_factor;
  json["high_freq_factor"] = rope.high_freq_factor;
  json["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  return json;
}

void write_windows(const LlmConfig& c, OrderedJson& json) {
  if (c.model_type.starts_with("qwen")) json["use_sliding_window"] = c.sliding_window > 0;
  if (c.model_type == "llama") return;
  json["sliding_window"] = c.sliding_window > 0 ? OrderedJson(c.sliding_window) : OrderedJson();
  if (c.sliding_window == 0) return;
  json["layer_types"] = OrderedJson::array();
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer)
    json["layer_types"].push_back(c.window(layer) > 0 ? "sliding_attention" : "full_attention");
}

}  // namespace

bool LlmConfig::attention_uses_bfloat16_math(Storage storage, const Numerics& numerics) const {
  return storage != Storage::kFloat && numerics.arithmetic == Arithmetic::kBFloat16 &&
         can_round_attention(head_dim);
}

int64_t LlmConfig::key_value_bytes(Storage storage, const Numerics& numerics) const {
  return 2 * num_hidden_layers * num_key_value_heads * head_dim *
         (attention_uses_bfloat16_math(storage, numerics) ? 2 : 4);
}

void check_llm_config(const LlmConfig& c, const std::string& name) {
  model_type(c.model_type, name);
  check_positive(name, "vocab_size", c.vocab_size);
  check_positive(name, "hidden_size", c.hidden_size);
  check_positive(name, "num_hidden_layers", c.num_hidden_layers);
  check_positive(name, "num_attention_heads", c.num_attention_heads);
  check_positive(name, "num_key_value_heads", c.num_key_value_heads);
  check_positive(name, "intermediate_size", c.intermediate_size);
  check_positive(name, "max_position_embeddings", c.max_position_embeddings);
  CHECK(c.head_dim > 0 && c.head_dim % 2 == 0, kModel,
        "{}: head_dim: expected a positive even number, found {}", name, c.head_dim);
  CHECK(c.num_attention_heads % c.num_key_value_heads == 0, kModel,
        "{}: num_key_value_heads: expected a divisor of {}, found {}", name, c.num_attention_heads,
        c.num_key_value_heads);
  CHECK(c.rms_norm_eps > 0, kModel, "{}: rms_norm_eps: expected a positive number, found {}", name,
        c.rms_norm_eps);
  check_rope(c.rope, name);
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
  const ModelType& type = model_type(c.model_type, name);
  const bool lacks_kv = !json.contains("num_key_value_heads") && type.num_key_value_heads > 0;
  c.num_key_value_heads =
      lacks_kv ? type.num_key_value_heads
               : get_or<int64_t>(json, "num_key_value_heads", c.num_attention_heads, name);
  c.intermediate_size = get<int64_t>(json, "intermediate_size", name);
  c.max_position_embeddings =
      get_or<int64_t>(json, "max_position_embeddings", type.max_position_embeddings, name);
  c.rms_norm_eps = get_or<double>(json, "rms_norm_eps", 1e-6, name);
  c.tie_word_embeddings = get_or<bool>(json, "tie_word_embeddings", false, name);
  c.initializer_range = get_or<double>(json, "initializer_range", 0.02, name);
  c.rope = read_rope(json, name);
  c.eos_token_ids = all_end_tokens(folder, json);
  if (json.contains("head_dim") && !json["head_dim"].is_null()) {
    c.head_dim = get<int64_t>(json, "head_dim", name);
  } else {
    CHECK(c.num_attention_heads > 0 && c.hidden_size % c.num_attention_heads == 0, kModel,
          "{}: hidden_size: expected a multiple of num_attention_heads, found {} and {}", name,
          c.hidden_size, c.num_attention_heads);
    c.head_dim = c.model_type == "qwen3" ? 128 : c.hidden_size / c.num_attention_heads;
  }
  check_llm_config(c, name);
  read_windows(json, c, name);
  refuse_unsupported(json, name);
  return c;
}

void write_llm_config(const LlmConfig& c, const std::filesystem::path& folder,
                      const std::string& dtype) {
  OrderedJson json;
  json["architectures"] = {model_type(c.model_type, "config.json").architecture};
  json["attention_dropout"] = 0.0;
  json["eos_token_id"] = end_tokens_json(c.eos_token_ids);
  json["head_dim"] = c.head_dim;
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
  json["rope_scaling"] = rope_json(c.rope);
  json["rope_theta"] = c.rope.theta;
  json["tie_word_embeddings"] = c.tie_word_embeddings;
  json["torch_dtype"] = dtype;
  json["use_cache"] = true;
  json["vocab_size"] = c.vocab_size;
  write_windows(c, json);
  std::filesystem::create_directories(folder);
  write_json_atomic(folder / "config.json", json);
}

}  // namespace etrlrec
