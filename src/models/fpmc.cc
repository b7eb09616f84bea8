#include "models/fpmc.h"

#include <ATen/ATen.h>

#include "base/check.h"
#include "base/json.h"
#include "models/config_fields.h"
#include "models/random_matrix.h"
#include "models/recommender_file.h"
#include "models/trained_options.h"
#include "models/user_vectors.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

void check_fpmc(const FpmcConfig& config, const std::string& name,
                ExitCode code = ExitCode::kModel) {
  constexpr int64_t kMost = int64_t{1} << 31;
  require(config.num_items > 0 && config.num_items <= kMost, code,
          "{}: num_items: expected a positive value, found {}", name, config.num_items);
  require(config.num_users >= 0 && config.num_users <= kMost, code,
          "{}: num_users: expected a value of at least 0, found {}", name, config.num_users);
  require(config.hidden_size > 0 && config.hidden_size <= kMost, code,
          "{}: hidden_size: expected a positive value, found {}", name, config.hidden_size);
}

constexpr RecommenderOption kFpmcOptions[] = {
    kHiddenSize,
};

FpmcConfig fpmc_config(int64_t num_items, int64_t num_users, const OptionValues& given) {
  return {num_items, num_users, option_or(given, "hidden_size", FpmcConfig{}.hidden_size)};
}

}  // namespace

Fpmc::Fpmc(const FpmcConfig& config, uint64_t seed) : config_(config) {
  check_fpmc(config, "fpmc");
  const auto add_matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    parameters_[name] = glorot_uniform(rows, columns, seed, name);
  };
  add_matrix("item_embeddings.weight", config.num_items, 2 * config.hidden_size);
  add_matrix("last_item_embeddings.weight", config.num_items, config.hidden_size);
  parameters_["user_embeddings.weight"] = at::zeros({config.num_users, config.hidden_size});
  for (auto& [name, tensor] : parameters_) tensor.requires_grad_();
}

at::Tensor Fpmc::hidden_states(const ItemSequences& sequences, Rng*) const {
  check_sequences(sequences, config_.num_items, max_length(), "fpmc");
  return at::cat(
      {user_rows(parameters_.at("user_embeddings.weight"), sequences),
       at::embedding(parameters_.at("last_item_embeddings.weight"), at::tensor(sequences.ids))},
      1);
}

void Fpmc::save(const fs::path& folder) const {
  save_recommender(folder, "fpmc", config_.num_items,
                   {{"hidden_size", config_.hidden_size}, {"num_users", config_.num_users}},
                   parameters_);
}

std::unique_ptr<Fpmc> Fpmc::load(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const Json json = read_json(file);
  const std::string name = file.string();
  const FpmcConfig config{get<int64_t>(json, "num_items", name),
                          get<int64_t>(json, "num_users", name),
                          get<int64_t>(json, "hidden_size", name)};
  check_fpmc(config, name);
  auto model = std::make_unique<Fpmc>(config, 0);
  load_parameters(folder, model->parameters_);
  return model;
}

const RecommenderType kFpmc = {
    .name = "fpmc",
    .summary = "the user and the last item, factorised",
    .paper = "Rendle et al. 2010",
    .loss = "bpr",
    .heading = "FPMC",
    .knows_users = true,
    .options = kFpmcOptions,
    .configure = [](const OptionValues& given) -> OrderedJson {
      const FpmcConfig config = fpmc_config(1, 0, given);
      check_fpmc(config, "fpmc", ExitCode::kUsage);
      return {{"hidden_size", config.hidden_size}};
    },
    .create = [](const InteractionLog& log, const OptionValues& given,
                 uint64_t seed) -> std::unique_ptr<TrainableRecommender> {
      return std::make_unique<Fpmc>(fpmc_config(log.num_items, log.num_users(), given), seed);
    },
    .load = [](const fs::path& folder) -> std::unique_ptr<Recommender> {
      return Fpmc::load(folder);
    },
};

}  // namespace etrlrec
