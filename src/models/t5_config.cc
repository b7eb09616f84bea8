#include "models/t5_config.h"

#include "base/check.h"
#include "base/json.h"
#include "models/config_fields.h"

namespace etrlrec {
namespace {

constexpr int64_t kLargest = int64_t{1} << 24;

const char* dense_act_fn(const T5Config& config) { return config.is_gated() ? "gelu_new" : "relu"; }

void refuse_unsupported(const Json& json, const T5Config& config, const std::string& name) {
  CHECK(get_or<bool>(json, "is_encoder_decoder", true, name), kModel,
        "{}: is_encoder_decoder: expected true, found false", name);
  for (const char* key : {"is_decoder", "tie_encoder_decoder"}) {
    CHECK(!get_or<bool>(json, key, false, name), kModel, "{}: {} is not supported", name, key);
  }
  // Derived from feed_forward_proj; readers that find them in the file let them win.
  const auto activation = get_or<std::string>(json, "dense_act_fn", dense_act_fn(config), name);
  CHECK(activation == dense_act_fn(config), kModel,
        "{}: dense_act_fn: expected {} with feed_forward_proj {}, found {}", name,
        dense_act_fn(config), config.feed_forward_proj, activation);
  CHECK(get_or<bool>(json, "is_gated_act", config.is_gated(), name) == config.is_gated(), kModel,
        "{}: is_gated_act contradicts feed_forward_proj {}", name, config.feed_forward_proj);
  CHECK(!json.contains("pruned_heads") || json["pruned_heads"].empty(), kModel,
        "{}: pruned_heads is not supported", name);
  refuse_quantization(json, name);
}

int64_t read_start_token(const Json& json, const std::filesystem::path& folder,
                         const std::string& name) {
  constexpr const char* kKey = "decoder_start_token_id";
  if (json.contains(kKey) && !json[kKey].is_null()) return get<int64_t>(json, kKey, name);
  const auto generation = folder / "generation_config.json";
  CHECK(std::filesystem::exists(generation), kModel,
        "{}: {} is missing, and there is no generation_config.json", name, kKey);
  return get<int64_t>(read_json(generation), kKey, generation.string());
}

}  // namespace

void check_t5_config(const T5Config& c, const std::string& name) {
  const auto size = [&](const char* key, int64_t value) {
    check_positive(name, key, value);
    CHECK(value <= kLargest, kModel, "{}: {}: expected at most {}, found {}", name, key, kLargest,
          value);
  };
  size("vocab_size", c.vocab_size);
  size("d_model", c.d_model);
  size("d_kv", c.d_kv);
  size("d_ff", c.d_ff);
  size("num_layers", c.num_layers);
  size("num_decoder_layers", c.num_decoder_layers);
  size("num_heads", c.num_heads);
  CHECK(c.relative_attention_num_buckets >= 4 && c.relative_attention_num_buckets <= kLargest,
        kModel, "{}: relative_attention_num_buckets: expected at least 4, found {}", name,
        c.relative_attention_num_buckets);
  CHECK(c.relative_attention_max_distance > c.relative_attention_num_buckets / 2, kModel,
        "{}: relative_attention_max_distance: expected more than half of the {} buckets, found {}",
        name, c.relative_attention_num_buckets, c.relative_attention_max_distance);
  CHECK(c.feed_forward_proj == "relu" || c.feed_forward_proj == "gated-gelu", kModel,
        "{}: feed_forward_proj: expected relu or gated-gelu, found {}", name, c.feed_forward_proj);
  CHECK(c.layer_norm_epsilon > 0, kModel,
        "{}: layer_norm_epsilon: expected a positive number, found {}", name, c.layer_norm_epsilon);
  const auto token = [&](const char* key, int64_t id) {
    CHECK(id >= 0 && id < c.vocab_size, kModel, "{}: {}: expected a token in [0, {}), found {}",
          name, key, c.vocab_size, id);
  };
  token("pad_token_id", c.pad_token_id);
  token("decoder_start_token_id", c.decoder_start_token_id);
  for (int64_t id : c.eos_token_ids) token("eos_token_id", id);
}

T5Config read_t5_config(const std::filesystem::path& folder) {
  const std::string name = (folder / "config.json").string();
  const Json json = read_json(name);
  const std::string type = get<std::string>(json, "model_type", name);
  CHECK(type == "t5", kModel, "{}: model_type: expected t5, found {}", name, type);
  T5Config c;
  c.vocab_size = get<int64_t>(json, "vocab_size", name);
  c.d_model = get<int64_t>(json, "d_model", name);
  c.d_kv = get<int64_t>(json, "d_kv", name);
  c.d_ff = get<int64_t>(json, "d_ff", name);
  c.num_layers = get<int64_t>(json, "num_layers", name);
  c.num_decoder_layers = get_or<int64_t>(json, "num_decoder_layers", c.num_layers, name);
  c.num_heads = get<int64_t>(json, "num_heads", name);
  c.relative_attention_num_buckets = get_or<int64_t>(json, "relative_attention_num_buckets",
                                                     c.relative_attention_num_buckets, name);
  c.relative_attention_max_distance = get_or<int64_t>(json, "relative_attention_max_distance",
                                                      c.relative_attention_max_distance, name);
  c.feed_forward_proj = get_or<std::string>(json, "feed_forward_proj", "relu", name);
  c.layer_norm_epsilon = get_or<double>(json, "layer_norm_epsilon", 1e-6, name);
  c.dropout_rate = get_or<double>(json, "dropout_rate", 0.1, name);
  c.initializer_factor = get_or<double>(json, "initializer_factor", 1.0, name);
  c.tie_word_embeddings = get_or<bool>(json, "tie_word_embeddings", true, name);
  c.scale_decoder_outputs =
      c.tie_word_embeddings && get_or<bool>(json, "scale_decoder_outputs", true, name);
  c.pad_token_id = get_or<int64_t>(json, "pad_token_id", 0, name);
  c.decoder_start_token_id = read_start_token(json, folder, name);
  c.eos_token_ids = read_end_tokens(json, 1, name);
  check_t5_config(c, name);
  refuse_unsupported(json, c, name);
  return c;
}

void write_t5_config(const T5Config& c, const std::filesystem::path& folder) {
  OrderedJson json;
  json["architectures"] = {"T5ForConditionalGeneration"};
  json["d_ff"] = c.d_ff;
  json["d_kv"] = c.d_kv;
  json["d_model"] = c.d_model;
  json["decoder_start_token_id"] = c.decoder_start_token_id;
  json["dense_act_fn"] = dense_act_fn(c);
  json["dropout_rate"] = c.dropout_rate;
  json["eos_token_id"] = end_tokens_json(c.eos_token_ids);
  json["feed_forward_proj"] = c.feed_forward_proj;
  json["initializer_factor"] = c.initializer_factor;
  json["is_encoder_decoder"] = true;
  json["is_gated_act"] = c.is_gated();
  json["layer_norm_epsilon"] = c.layer_norm_epsilon;
  json["model_type"] = "t5";
  json["num_decoder_layers"] = c.num_decoder_layers;
  json["num_heads"] = c.num_heads;
  json["num_layers"] = c.num_layers;
  json["pad_token_id"] = c.pad_token_id;
  json["relative_attention_max_distance"] = c.relative_attention_max_distance;
  json["relative_attention_num_buckets"] = c.relative_attention_num_buckets;
  json["scale_decoder_outputs"] = c.scale_decoder_outputs;
  // A separate head with scaled outputs has no other spelling: the head in the file decides.
  json["tie_word_embeddings"] = c.tie_word_embeddings || c.scale_decoder_outputs;
  json["torch_dtype"] = "float32";
  json["use_cache"] = true;
  json["vocab_size"] = c.vocab_size;
  std::filesystem::create_directories(folder);
  write_json_atomic(folder / "config.json", json);
}

}  // namespace etrlrec
