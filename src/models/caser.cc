#include "models/caser.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "models/config_fields.h"
#include "models/random_matrix.h"
#include "models/recommender_file.h"
#include "models/trained_options.h"
#include "models/user_vectors.h"
#include "nn/noise.h"

namespace etrlrec {
namespace {

using at::Tensor;
namespace fs = std::filesystem;

void check_caser(const CaserConfig& c, const std::string& name, ExitCode code = ExitCode::kModel) {
  const auto in_range = [&](const char* key, int64_t value, int64_t least, int64_t most) {
    require(value >= least && value <= most, code, "{}: {}: expected a value in [{}, {}], found {}",
            name, key, least, most, value);
  };
  constexpr int64_t kMost = int64_t{1} << 31;
  in_range("num_items", c.num_items, 1, kMost);
  in_range("num_users", c.num_users, 0, kMost);
  in_range("hidden_size", c.hidden_size, 1, kMost);
  in_range("user_embedding_size", c.user_embedding_size, 0, kMost);
  in_range("markov_order", c.markov_order, 1, 1000);
  in_range("num_horizontal_filters", c.num_horizontal_filters, 1, kMost);
  in_range("max_filter_size", c.max_filter_size, 1, c.markov_order);
  in_range("min_filter_size", c.min_filter_size, 1, c.max_filter_size);
  in_range("num_vertical_filters", c.num_vertical_filters, 1, kMost);
  in_range("max_length", c.max_length, 1, kMost);
  require(c.markov_order <= c.max_length, code,
          "{}: markov_order: expected at most max_length {}, found {}\nhint: more items than a "
          "sequence has are never seen",
          name, c.max_length, c.markov_order);
  require_dropout(name, c.dropout, code);
}

OrderedJson caser_json(const CaserConfig& c) {
  return {{"hidden_size", c.hidden_size},
          {"user_embedding_size", c.user_embedding_size},
          {"markov_order", c.markov_order},
          {"num_horizontal_filters", c.num_horizontal_filters},
          {"min_filter_size", c.min_filter_size},
          {"max_filter_size", c.max_filter_size},
          {"num_vertical_filters", c.num_vertical_filters},
          {"max_length", c.max_length},
          {"dropout", c.dropout},
          {"tie_word_embeddings", c.tie_word_embeddings}};
}

CaserConfig read_caser(const fs::path& path) {
  const Json json = read_json(path);
  const std::string name = path.string();
  CaserConfig c;
  c.num_items = get<int64_t>(json, "num_items", name);
  c.num_users = get<int64_t>(json, "num_users", name);
  c.hidden_size = get<int64_t>(json, "hidden_size", name);
  c.user_embedding_size = get<int64_t>(json, "user_embedding_size", name);
  c.markov_order = get<int64_t>(json, "markov_order", name);
  c.num_horizontal_filters = get<int64_t>(json, "num_horizontal_filters", name);
  c.min_filter_size = get<int64_t>(json, "min_filter_size", name);
  c.max_filter_size = get<int64_t>(json, "max_filter_size", name);
  c.num_vertical_filters = get<int64_t>(json, "num_vertical_filters", name);
  c.max_length = get<int64_t>(json, "max_length", name);
  c.dropout = get<double>(json, "dropout", name);
  c.tie_word_embeddings = get<bool>(json, "tie_word_embeddings", name);
  check_caser(c, name);
  return c;
}

constexpr RecommenderOption kCaserOptions[] = {
    kHiddenSize,
    {"--user-embedding-size", "user_embedding_size", int64_t{64},
     "width of the users' vectors, default the hidden size; 0: users are not looked at"},
    {"--markov-order", "markov_order", int64_t{5}, "most recent items that the convolutions see",
     "3, 5, 9"},
    {"--num-horizontal-filters", "num_horizontal_filters", int64_t{16},
     "horizontal filters of each size"},
    {"--min-filter-size", "min_filter_size", int64_t{1}, "items under the smallest filter"},
    {"--max-filter-size", "max_filter_size", int64_t{5},
     "items under the largest filter, default the Markov order"},
    {"--num-vertical-filters", "num_vertical_filters", int64_t{4}, "vertical filters"},
    {"--tie-word-embeddings", "tie_word_embeddings", false,
     "score by the item embeddings instead of a matrix of their own"},
    kDropout,
    kMaxLength,
};

CaserConfig caser_config(int64_t num_items, int64_t num_users, const OptionValues& given) {
  CaserConfig c;
  c.num_items = num_items;
  c.num_users = num_users;
  c.hidden_size = option_or(given, "hidden_size", c.hidden_size);
  c.user_embedding_size = option_or(given, "user_embedding_size", c.hidden_size);
  c.markov_order = option_or(given, "markov_order", c.markov_order);
  c.num_horizontal_filters = option_or(given, "num_horizontal_filters", c.num_horizontal_filters);
  c.min_filter_size = option_or(given, "min_filter_size", c.min_filter_size);
  c.max_filter_size = option_or(given, "max_filter_size", c.markov_order);
  c.num_vertical_filters = option_or(given, "num_vertical_filters", c.num_vertical_filters);
  c.max_length = option_or(given, "max_length", c.max_length);
  c.dropout = option_or(given, "dropout", c.dropout);
  c.tie_word_embeddings = option_or(given, "tie_word_embeddings", c.tie_word_embeddings);
  return c;
}

// The items under the window of each token and 1 where there is one; the oldest stand first, and a
// history of fewer items leaves the first places empty.
struct Windows {
  Tensor items;   // int64 [T, L]
  Tensor filled;  // float [T, L, 1]
};

Windows make_windows(const ItemSequences& sequences, int64_t length) {
  const int64_t tokens = sequences.num_tokens();
  Windows windows{at::zeros({tokens, length}, at::kLong), at::zeros({tokens, length, 1})};
  int64_t* items = windows.items.data_ptr<int64_t>();
  float* filled = windows.filled.data_ptr<float>();
  for (const Segment& segment : sequences.segments) {
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      const int64_t seen = std::min(length, t - segment.begin + 1);
      for (int64_t back = 0; back < seen; ++back) {
        const int64_t place = (t + 1) * length - 1 - back;
        items[place] = sequences.ids[static_cast<size_t>(t - back)];
        filled[place] = 1;
      }
    }
  }
  return windows;
}

}  // namespace

Caser::Caser(const CaserConfig& config, uint64_t seed) : config_(config) {
  check_caser(config, "caser");
  const auto add_matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    parameters_[name + ".weight"] = glorot_uniform(rows, columns, seed, name + ".weight");
  };
  const auto add_linear = [&](const std::string& name, int64_t rows, int64_t columns) {
    add_matrix(name, rows, columns);
    parameters_[name + ".bias"] = at::zeros({rows});
  };
  const int64_t width = config.hidden_size, with_user = width + config.user_embedding_size;
  add_matrix("item_embeddings", config.num_items, width);
  if (config.user_embedding_size > 0)
    parameters_["user_embeddings.weight"] =
        at::zeros({config.num_users, config.user_embedding_size});
  add_linear("vertical", config.num_vertical_filters, config.markov_order);
  int64_t features = config.num_vertical_filters * width;
  for (int64_t size = config.min_filter_size; size <= config.max_filter_size; ++size) {
    add_linear(fmt::format("horizontal.{}", size), config.num_horizontal_filters, size * width);
    features += config.num_horizontal_filters;
  }
  add_linear("dense", width, features);
  if (config.tie_word_embeddings) {
    add_linear("user_dense", width, with_user);
  } else {
    add_linear("output", config.num_items, with_user);
  }
  for (auto& [name, tensor] : parameters_) tensor.requires_grad_();
}

const Tensor& Caser::item_weight() const {
  return parameters_.at(config_.tie_word_embeddings ? "item_embeddings.weight" : "output.weight");
}

Tensor Caser::item_bias() const {
  return config_.tie_word_embeddings ? Tensor() : parameters_.at("output.bias");
}

Tensor Caser::linear(const Tensor& values, const std::string& name) const {
  return at::linear(values, parameters_.at(name + ".weight"), parameters_.at(name + ".bias"));
}

Tensor Caser::convolve(const Tensor& windows) const {
  const int64_t tokens = windows.size(0), width = config_.hidden_size;
  const Tensor sums = at::matmul(parameters_.at("vertical.weight"), windows) +
                      parameters_.at("vertical.bias").unsqueeze(1);  // [T, filters, d]
  std::vector<Tensor> features{sums.reshape({tokens, -1})};
  const Tensor flat = windows.reshape({tokens, -1});  // [T, L d]
  for (int64_t size = config_.min_filter_size; size <= config_.max_filter_size; ++size) {
    std::vector<Tensor> places;  // [T, filters] for each place of the filter
    for (int64_t first = 0; first + size <= config_.markov_order; ++first)
      places.push_back(
          linear(flat.narrow(1, first * width, size * width), fmt::format("horizontal.{}", size)));
    features.push_back(at::relu(at::stack(places)).amax(0));
  }
  return at::cat(features, 1);
}

Tensor Caser::hidden_states(const ItemSequences& sequences, Rng* rng) const {
  check_sequences(sequences, config_.num_items, config_.max_length, "caser");
  const Windows windows = make_windows(sequences, config_.markov_order);
  const Tensor image =
      at::embedding(parameters_.at("item_embeddings.weight"), windows.items) * windows.filled;
  const Tensor features =
      masked_dropout(convolve(image), DropoutDraws(config_.dropout, rng).next(), numerics());
  Tensor states = at::relu(linear(features, "dense"));
  if (config_.user_embedding_size > 0)
    states = at::cat({states, user_rows(parameters_.at("user_embeddings.weight"), sequences)}, 1);
  return config_.tie_word_embeddings ? at::relu(linear(states, "user_dense")) : states;
}

void Caser::save(const fs::path& folder) const {
  OrderedJson config = caser_json(config_);
  config["num_users"] = config_.num_users;
  save_recommender(folder, "caser", config_.num_items, config, parameters_);
}

std::unique_ptr<Caser> Caser::load(const fs::path& folder) {
  auto model = std::make_unique<Caser>(read_caser(folder / "config.json"), 0);
  load_parameters(folder, model->parameters_);
  return model;
}

const RecommenderType kCaser = {
    .name = "caser",
    .summary = "convolutions over the last items, and the user",
    .paper = "Tang and Wang 2018",
    .loss = "ce",
    .heading = "Caser",
    .knows_users = true,
    .options = kCaserOptions,
    .configure =
        [](const OptionValues& given) {
          const CaserConfig config = caser_config(1, 0, given);
          check_caser(config, "caser", ExitCode::kUsage);
          return caser_json(config);
        },
    .create = [](const InteractionLog& log, const OptionValues& given,
                 uint64_t seed) -> std::unique_ptr<TrainableRecommender> {
      return std::make_unique<Caser>(caser_config(log.num_items, log.num_users(), given), seed);
    },
    .load = [](const fs::path& folder) -> std::unique_ptr<Recommender> {
      return Caser::load(folder);
    },
};

}  // namespace etrlrec
