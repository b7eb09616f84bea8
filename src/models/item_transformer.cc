#include "models/item_transformer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "base/json.h"
#include "models/config_fields.h"
#include "models/random_matrix.h"

namespace etrlrec {

using at::Tensor;

void check_item_transformer(const ItemTransformerConfig& config, const std::string& name,
                            ExitCode code) {
  require_size(name, "num_items", config.num_items, code);
  require_size(name, "hidden_size", config.hidden_size, code);
  require_size(name, "num_hidden_layers", config.num_hidden_layers, code);
  require_size(name, "num_attention_heads", config.num_attention_heads, code);
  require_size(name, "intermediate_size", config.intermediate_size, code);
  require_size(name, "max_length", config.max_length, code);
  require(config.hidden_size % config.num_attention_heads == 0, code,
          "{}: hidden_size {} is no multiple of num_attention_heads {}", name, config.hidden_size,
          config.num_attention_heads);
  require_dropout(name, config.dropout, code);
  require(config.hidden_act == "gelu" || config.hidden_act == "relu", code,
          "{}: hidden_act: expected gelu or relu, found \"{}\"", name, config.hidden_act);
  require(config.position_alignment == "end" || config.position_alignment == "start", code,
          "{}: position_alignment: expected end or start, found \"{}\"", name,
          config.position_alignment);
}

void check_fixed_keys(const ItemTransformerConfig& config, const ItemTransformerConfig& own,
                      const std::string& name, ExitCode code) {
  const auto fixed = [&](const char* key, const auto& value, const auto& expected) {
    require(value == expected, code, "{}: {}: expected {}, found {}\nhint: this model has no other",
            name, key, expected, value);
  };
  fixed("position_alignment", config.position_alignment, own.position_alignment);
  fixed("scale_embeddings", config.scale_embeddings, own.scale_embeddings);
  fixed("embedding_norm", config.embedding_norm, own.embedding_norm);
}

void set_layers(const OptionValues& given, ItemTransformerConfig& config) {
  config.hidden_size = option_or(given, "hidden_size", config.hidden_size);
  config.num_hidden_layers = option_or(given, "num_hidden_layers", config.num_hidden_layers);
  config.num_attention_heads = option_or(given, "num_attention_heads", config.num_attention_heads);
  config.intermediate_size = option_or(given, "intermediate_size", 4 * config.hidden_size);
  config.dropout = option_or(given, "dropout", config.dropout);
  config.max_length = option_or(given, "max_length", config.max_length);
}

ItemTransformerConfig read_item_transformer(const Json& json, const std::string& name) {
  ItemTransformerConfig config;
  config.num_items = get<int64_t>(json, "num_items", name);
  config.hidden_size = get<int64_t>(json, "hidden_size", name);
  config.num_hidden_layers = get<int64_t>(json, "num_hidden_layers", name);
  config.num_attention_heads = get<int64_t>(json, "num_attention_heads", name);
  config.intermediate_size = get<int64_t>(json, "intermediate_size", name);
  config.max_length = get<int64_t>(json, "max_length", name);
  config.dropout = get<double>(json, "dropout", name);
  config.hidden_act = get<std::string>(json, "hidden_act", name);
  config.norm_first = get<bool>(json, "norm_first", name);
  config.final_norm = get<bool>(json, "final_norm", name);
  config.embedding_norm = get<bool>(json, "embedding_norm", name);
  config.scale_embeddings = get<bool>(json, "scale_embeddings", name);
  config.position_alignment = get<std::string>(json, "position_alignment", name);
  config.layer_norm_eps = get<double>(json, "layer_norm_eps", name);
  config.initializer_range = get_or<double>(json, "initializer_range", 0.02, name);
  check_item_transformer(config, name);
  return config;
}

OrderedJson to_json(const ItemTransformerConfig& c) {
  return {{"hidden_size", c.hidden_size},
          {"num_hidden_layers", c.num_hidden_layers},
          {"num_attention_heads", c.num_attention_heads},
          {"intermediate_size", c.intermediate_size},
          {"max_length", c.max_length},
          {"dropout", c.dropout},
          {"hidden_act", c.hidden_act},
          {"norm_first", c.norm_first},
          {"final_norm", c.final_norm},
          {"embedding_norm", c.embedding_norm},
          {"scale_embeddings", c.scale_embeddings},
          {"position_alignment", c.position_alignment},
          {"layer_norm_eps", c.layer_norm_eps},
          {"initializer_range", c.initializer_range}};
}

ParameterMap item_transformer_parameters(const ItemTransformerConfig& config, uint64_t seed) {
  ParameterMap parameters;
  const int64_t width = config.hidden_size, inner = config.intermediate_size;
  const auto add_matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    parameters[name] = normal_matrix(rows, columns, config.initializer_range, seed, name);
  };
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in) {
    add_matrix(name + ".weight", out, in);
    parameters[name + ".bias"] = at::zeros({out});
  };
  const auto add_norm = [&](const std::string& name) {
    parameters[name + ".weight"] = at::ones({width});
    parameters[name + ".bias"] = at::zeros({width});
  };
  add_matrix("item_embeddings.weight", config.num_items, width);
  if (config.embedding_norm) add_norm("embedding_norm");
  if (config.final_norm) add_norm("norm");
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    add_norm(prefix + "attention_norm");
    add_linear(prefix + "attention.qkv", 3 * width, width);
    add_linear(prefix + "attention.out", width, width);
    add_norm(prefix + "feed_forward_norm");
    add_linear(prefix + "feed_forward.up", inner, width);
    add_linear(prefix + "feed_forward.down", width, inner);
  }
  return parameters;
}

Tensor ItemTransformer::layer_norm(const Tensor& values, const std::string& name) const {
  return at::layer_norm(values, {config_.hidden_size}, parameters_.at(name + ".weight"),
                        parameters_.at(name + ".bias"), config_.layer_norm_eps);
}

Tensor ItemTransformer::linear(const Tensor& values, const std::string& name) const {
  return at::linear(values, parameters_.at(name + ".weight"), parameters_.at(name + ".bias"));
}

Tensor ItemTransformer::activate(const Tensor& values) const {
  return config_.hidden_act == "gelu" ? at::gelu(values) : at::relu(values);
}

Tensor ItemTransformer::run(Tensor hidden, const Attend& attend, DropoutDraws& dropout,
                            const Tensor& kept) const {
  const auto add = [&](const Tensor& residual, const Tensor& branch) {
    return residual_dropout(residual, branch, dropout.next(), numerics_);
  };
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    const std::string norm1 = prefix + "attention_norm", norm2 = prefix + "feed_forward_norm";
    const auto feed_forward = [&](const Tensor& values) {
      return linear(activate(linear(values, prefix + "feed_forward.up")),
                    prefix + "feed_forward.down");
    };
    const Tensor input = config_.norm_first ? layer_norm(hidden, norm1) : hidden;
    Tensor gathered = attend(linear(input, prefix + "attention.qkv"), layer);
    if (kept.defined() && layer + 1 == config_.num_hidden_layers) {
      gathered = gathered.index_select(0, kept);
      hidden = hidden.index_select(0, kept);
    }
    hidden = add(hidden, linear(gathered, prefix + "attention.out"));
    if (config_.norm_first) {
      hidden = add(hidden, feed_forward(layer_norm(hidden, norm2)));
    } else {
      hidden = layer_norm(hidden, norm1);
      hidden = layer_norm(add(hidden, feed_forward(hidden)), norm2);
    }
  }
  return config_.final_norm ? layer_norm(hidden, "norm") : hidden;
}

}  // namespace etrlrec
