#include "models/sasrec.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/recommender_file.h"
#include "models/sasrec_ops.h"
#include "nn/attention.h"

namespace etrlrec {
namespace {

using at::Tensor;

void check_config(const SasrecConfig& config, const std::string& name) {
  const auto positive = [&](const char* key, int64_t value) {
    CHECK(value > 0 && value <= (int64_t{1} << 31), kModel,
          "{}: {}: expected a positive value, found {}", name, key, value);
  };
  positive("num_items", config.num_items);
  positive("hidden_size", config.hidden_size);
  positive("num_hidden_layers", config.num_hidden_layers);
  positive("num_attention_heads", config.num_attention_heads);
  positive("intermediate_size", config.intermediate_size);
  positive("max_length", config.max_length);
  CHECK(config.hidden_size % config.num_attention_heads == 0, kModel,
        "{}: hidden_size {} is no multiple of num_attention_heads {}", name, config.hidden_size,
        config.num_attention_heads);
  CHECK(config.dropout >= 0 && config.dropout < 1, kModel,
        "{}: dropout: expected a value in [0, 1), found {}", name, config.dropout);
  CHECK(config.hidden_act == "gelu" || config.hidden_act == "relu", kModel,
        "{}: hidden_act: expected gelu or relu, found \"{}\"", name, config.hidden_act);
  CHECK(config.position_alignment == "end" || config.position_alignment == "start", kModel,
        "{}: position_alignment: expected end or start, found \"{}\"", name,
        config.position_alignment);
}

SasrecConfig read_config(const fs::path& path) {
  const Json json = read_json(path);
  const std::string name = path.string();
  SasrecConfig config;
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
  check_config(config, name);
  return config;
}

OrderedJson config_json(const SasrecConfig& c) {
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

constexpr RecommenderOption kOptions[] = {
    {"--hidden-size", "hidden_size", int64_t{64}, "width"},
    {"--num-hidden-layers", "num_hidden_layers", int64_t{2}, "layers"},
    {"--num-attention-heads", "num_attention_heads", int64_t{2}, "heads"},
    {"--intermediate-size", "intermediate_size", int64_t{256},
     "width of the feed-forward layer, default four times the hidden size"},
    {"--dropout", "dropout", 0.2, "of embeddings and branches"},
    {"--max-length", "max_length", int64_t{50}, "most recent items that are seen"},
};

SasrecConfig config_of(int64_t num_items, const OptionValues& given) {
  SasrecConfig config;
  config.num_items = num_items;
  config.hidden_size = option_or(given, "hidden_size", config.hidden_size);
  config.num_hidden_layers = option_or(given, "num_hidden_layers", config.num_hidden_layers);
  config.num_attention_heads = option_or(given, "num_attention_heads", config.num_attention_heads);
  config.intermediate_size = option_or(given, "intermediate_size", 4 * config.hidden_size);
  config.dropout = option_or(given, "dropout", config.dropout);
  config.max_length = option_or(given, "max_length", config.max_length);
  return config;
}

Tensor random_normal(at::IntArrayRef shape, double deviation, Rng& rng) {
  Tensor values = at::empty(shape);
  float* data = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i)
    data[i] = static_cast<float>(deviation * rng.normal());
  return values;
}

// Token ids and positions of a forest of roots, as int32 [T] each.
struct Inputs {
  Tensor items, positions;
};

Inputs make_inputs(const TokenForest& forest, const SasrecConfig& config) {
  const int64_t tokens = forest.num_tokens();
  Inputs inputs{at::empty({tokens}, at::kInt), at::empty({tokens}, at::kInt)};
  int32_t* items = inputs.items.data_ptr<int32_t>();
  int32_t* positions = inputs.positions.data_ptr<int32_t>();
  for (const Segment& segment : forest.segments) {
    const int64_t length = segment.end - segment.begin;
    CHECK(segment.parent == -1 && length <= config.max_length, kInput,
          "sasrec: expected sequences of at most {} items, found one of {}", config.max_length,
          length);
    const int64_t first = config.position_alignment == "end" ? config.max_length - length : 0;
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      const int64_t item = forest.ids[static_cast<size_t>(t)];
      CHECK(item >= 0 && item < config.num_items, kInput, "sasrec: item {} is not in [0, {})", item,
            config.num_items);
      items[t] = static_cast<int32_t>(item);
      positions[t] = static_cast<int32_t>(first + t - segment.begin);
    }
  }
  return inputs;
}

}  // namespace

Sasrec::Sasrec(const SasrecConfig& config, uint64_t seed) : config_(config) {
  check_config(config, "sasrec");
  const int64_t width = config.hidden_size, inner = config.intermediate_size;
  const auto add_matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    Rng rng(seed, name);
    parameters_[name] = random_normal({rows, columns}, config_.initializer_range, rng);
  };
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in) {
    add_matrix(name + ".weight", out, in);
    parameters_[name + ".bias"] = at::zeros({out});
  };
  const auto add_norm = [&](const std::string& name) {
    parameters_[name + ".weight"] = at::ones({width});
    parameters_[name + ".bias"] = at::zeros({width});
  };
  add_matrix("item_embeddings.weight", config.num_items, width);
  add_matrix("position_embeddings.weight", config.max_length, width);
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
  for (auto& [name, tensor] : parameters_) tensor.requires_grad_();
}

Tensor Sasrec::layer_norm(const Tensor& values, const std::string& name) const {
  return at::layer_norm(values, {config_.hidden_size}, parameters_.at(name + ".weight"),
                        parameters_.at(name + ".bias"), config_.layer_norm_eps);
}

Tensor Sasrec::linear(const Tensor& values, const std::string& name) const {
  return at::linear(values, parameters_.at(name + ".weight"), parameters_.at(name + ".bias"));
}

Tensor Sasrec::hidden_states(const TokenForest& forest, Rng* rng) const {
  const auto next_mask = [&]() {
    return rng == nullptr ? DropoutMask{} : DropoutMask{config_.dropout, rng->next()};
  };
  const Inputs inputs = make_inputs(forest, config_);
  const auto plan = plan_forest(forest);
  const int64_t head_dim = config_.hidden_size / config_.num_attention_heads;
  const HeadShape shape{config_.num_attention_heads, config_.num_attention_heads, head_dim};
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const double input_scale =
      config_.scale_embeddings ? std::sqrt(static_cast<double>(config_.hidden_size)) : 1;
  const bool norm_embeddings = config_.embedding_norm;
  Tensor hidden = embed_items(item_weight(), parameters_.at("position_embeddings.weight"),
                              inputs.items, inputs.positions, input_scale,
                              norm_embeddings ? DropoutMask{} : next_mask(), numerics());  // [T, C]
  if (norm_embeddings)
    hidden = masked_dropout(layer_norm(hidden, "embedding_norm"), next_mask(), numerics());
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    const auto attend = [&](const Tensor& values) {
      const Tensor mixed = rotary_attention(linear(values, prefix + "attention.qkv"), plan, shape,
                                            RotaryTable{}, scale, numerics());
      return linear(mixed, prefix + "attention.out");
    };
    const auto feed_forward = [&](const Tensor& values) {
      const Tensor inner = linear(values, prefix + "feed_forward.up");  // [T, intermediate_size]
      return linear(config_.hidden_act == "gelu" ? at::gelu(inner) : at::relu(inner),
                    prefix + "feed_forward.down");
    };
    const std::string norm1 = prefix + "attention_norm", norm2 = prefix + "feed_forward_norm";
    if (config_.norm_first) {
      hidden = residual_dropout(hidden, attend(layer_norm(hidden, norm1)), next_mask(), numerics());
      hidden = residual_dropout(hidden, feed_forward(layer_norm(hidden, norm2)), next_mask(),
                                numerics());
    } else {
      hidden = layer_norm(residual_dropout(hidden, attend(hidden), next_mask(), numerics()), norm1);
      hidden = layer_norm(residual_dropout(hidden, feed_forward(hidden), next_mask(), numerics()),
                          norm2);
    }
  }
  return config_.final_norm ? layer_norm(hidden, "norm") : hidden;
}

void Sasrec::save(const fs::path& folder) const {
  save_recommender(folder, "sasrec", config_.num_items, config_json(config_), parameters_);
}

std::unique_ptr<Sasrec> Sasrec::load(const fs::path& folder) {
  auto model = std::make_unique<Sasrec>(read_config(folder / "config.json"), 0);
  load_parameters(folder, model->parameters_);
  return model;
}

const RecommenderType kSasrec = {
    .name = "sasrec",
    .summary = "self-attention over the history",
    .paper = "Kang and McAuley 2018",
    .loss = "full cross-entropy",
    .heading = "SASRec",
    .options = kOptions,
    .configure = [](const OptionValues& given) { return config_json(config_of(1, given)); },
    .create = [](int64_t num_items, const OptionValues& given,
                 uint64_t seed) -> std::unique_ptr<TrainableRecommender> {
      return std::make_unique<Sasrec>(config_of(num_items, given), seed);
    },
    .load = [](const fs::path& folder) -> std::unique_ptr<Recommender> {
      return Sasrec::load(folder);
    },
};

}  // namespace etrlrec
