#include "models/gru4rec.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "models/config_fields.h"
#include "models/random_matrix.h"
#include "models/recommender_file.h"
#include "models/trained_options.h"
#include "nn/noise.h"

namespace etrlrec {
namespace {

using at::Tensor;
namespace fs = std::filesystem;

void check_gru4rec(const Gru4RecConfig& config, const std::string& name,
                   ExitCode code = ExitCode::kModel) {
  require_size(name, "num_items", config.num_items, code);
  require_size(name, "hidden_size", config.hidden_size, code);
  require_size(name, "embedding_size", config.embedding_size, code);
  require_size(name, "num_hidden_layers", config.num_hidden_layers, code);
  require_size(name, "max_length", config.max_length, code);
  require_dropout(name, config.dropout, code);
}

OrderedJson gru4rec_json(const Gru4RecConfig& c) {
  return {{"hidden_size", c.hidden_size},
          {"embedding_size", c.embedding_size},
          {"num_hidden_layers", c.num_hidden_layers},
          {"max_length", c.max_length},
          {"dropout", c.dropout},
          {"bias", c.bias}};
}

Gru4RecConfig read_gru4rec(const fs::path& path) {
  const Json json = read_json(path);
  const std::string name = path.string();
  Gru4RecConfig config;
  config.num_items = get<int64_t>(json, "num_items", name);
  config.hidden_size = get<int64_t>(json, "hidden_size", name);
  config.embedding_size = get<int64_t>(json, "embedding_size", name);
  config.num_hidden_layers = get<int64_t>(json, "num_hidden_layers", name);
  config.max_length = get<int64_t>(json, "max_length", name);
  config.dropout = get<double>(json, "dropout", name);
  config.bias = get<bool>(json, "bias", name);
  check_gru4rec(config, name);
  return config;
}

constexpr RecommenderOption kGruOptions[] = {
    kHiddenSize,
    kNumHiddenLayers,
    {"--embedding-size", "embedding_size", int64_t{64},
     "width of the item embeddings, default the hidden size"},
    kDropout,
    kMaxLength,
};

Gru4RecConfig gru4rec_config(int64_t num_items, const OptionValues& given) {
  Gru4RecConfig config;
  config.num_items = num_items;
  config.hidden_size = option_or(given, "hidden_size", config.hidden_size);
  config.embedding_size = option_or(given, "embedding_size", config.hidden_size);
  config.num_hidden_layers = option_or(given, "num_hidden_layers", config.num_hidden_layers);
  config.dropout = option_or(given, "dropout", config.dropout);
  config.max_length = option_or(given, "max_length", config.max_length);
  return config;
}

// The tokens of a forest of roots in the order of the recurrence: all first items, all second ones
// …, longer sequences in front, so that each step is a prefix of the one before.
struct Steps {
  Tensor items;   // int64 [T], item of each token
  Tensor places;  // int64 [T], of each token of the forest in the order of the steps
  Tensor sizes;   // int64 [longest], sequences that have a token at the step
};

Steps make_steps(const ItemSequences& forest, const Gru4RecConfig& config) {
  check_sequences(forest, config.num_items, config.max_length, "gru4rec");
  std::vector<int64_t> order(forest.segments.size());
  std::iota(order.begin(), order.end(), 0);
  const auto length = [&](int64_t s) {
    const Segment& segment = forest.segments[static_cast<size_t>(s)];
    return segment.end - segment.begin;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return length(a) > length(b); });
  std::vector<int64_t> items, places(static_cast<size_t>(forest.num_tokens())), sizes;
  for (int64_t step = 0; !order.empty() && step < length(order[0]); ++step) {
    int64_t size = 0;
    for (const int64_t s : order) {
      if (length(s) <= step) break;
      const int64_t token = forest.segments[static_cast<size_t>(s)].begin + step;
      places[static_cast<size_t>(token)] = std::ssize(items);
      items.push_back(forest.ids[static_cast<size_t>(token)]);
      ++size;
    }
    sizes.push_back(size);
  }
  return {at::tensor(items), at::tensor(places), at::tensor(sizes)};
}

}  // namespace

Gru4Rec::Gru4Rec(const Gru4RecConfig& config, uint64_t seed) : config_(config) {
  check_gru4rec(config, "gru4rec");
  const auto add_matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    parameters_[name] = glorot_uniform(rows, columns, seed, name);
  };
  const int64_t gates = 3 * config.hidden_size;
  add_matrix("item_embeddings.weight", config.num_items, config.embedding_size);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    add_matrix(prefix + "input.weight", gates,
               layer == 0 ? config.embedding_size : config.hidden_size);
    add_matrix(prefix + "hidden.weight", gates, config.hidden_size);
    if (!config.bias) continue;
    parameters_[prefix + "input.bias"] = at::zeros({gates});
    parameters_[prefix + "hidden.bias"] = at::zeros({gates});
  }
  add_matrix("dense.weight", config.embedding_size, config.hidden_size);
  parameters_["dense.bias"] = at::zeros({config.embedding_size});
  for (auto& [name, tensor] : parameters_) tensor.requires_grad_();
}

Tensor Gru4Rec::hidden_states(const ItemSequences& sequences, Rng* rng) const {
  DropoutDraws dropout(config_.dropout, rng);
  const auto dropped = [&](const Tensor& values) {
    return masked_dropout(values, dropout.next(), numerics());
  };
  const Steps steps = make_steps(sequences, config_);
  Tensor states = dropped(item_weight().index_select(0, steps.items));  // [T, C] by steps
  const Tensor start = at::zeros({1, steps.sizes[0].item<int64_t>(), config_.hidden_size});
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    std::vector<Tensor> weights{parameters_.at(prefix + "input.weight"),
                                parameters_.at(prefix + "hidden.weight")};
    if (config_.bias) {
      weights.push_back(parameters_.at(prefix + "input.bias"));
      weights.push_back(parameters_.at(prefix + "hidden.bias"));
    }
    if (layer > 0) states = dropped(states);
    states = std::get<0>(at::gru(states, steps.sizes, start, weights, config_.bias,
                                 /*num_layers=*/1, /*dropout=*/0, /*train=*/false,
                                 /*bidirectional=*/false));
  }
  return at::linear(states.index_select(0, steps.places), parameters_.at("dense.weight"),
                    parameters_.at("dense.bias"));
}

void Gru4Rec::save(const fs::path& folder) const {
  save_recommender(folder, "gru4rec", config_.num_items, gru4rec_json(config_), parameters_);
}

std::unique_ptr<Gru4Rec> Gru4Rec::load(const fs::path& folder) {
  auto model = std::make_unique<Gru4Rec>(read_gru4rec(folder / "config.json"), 0);
  load_parameters(folder, model->parameters_);
  return model;
}

const RecommenderType kGru4Rec = {
    .name = "gru4rec",
    .summary = "gated recurrent units over the history",
    .paper = "Hidasi et al. 2016, Hidasi and Karatzoglou 2018",
    .loss = "ce",
    .heading = "GRU4Rec",
    .options = kGruOptions,
    .configure =
        [](const OptionValues& given) {
          const Gru4RecConfig config = gru4rec_config(1, given);
          check_gru4rec(config, "gru4rec", ExitCode::kUsage);
          return gru4rec_json(config);
        },
    .create = [](const InteractionLog& log, const OptionValues& given,
                 uint64_t seed) -> std::unique_ptr<TrainableRecommender> {
      return std::make_unique<Gru4Rec>(gru4rec_config(log.num_items, given), seed);
    },
    .load = [](const fs::path& folder) -> std::unique_ptr<Recommender> {
      return Gru4Rec::load(folder);
    },
};

}  // namespace etrlrec
