#include "method/fit_presets.h"

#include <fmt/ranges.h>

#include "base/check.h"
#include "models/recommenders.h"

namespace etrlrec {
namespace {

// A number of negatives that is the loss's own is left to it, which takes fewer in small
// catalogues.
const FitPreset kPresets[] = {
    {.name = "sasrec/paper",
     .model = "sasrec",
     .source = "Kang and McAuley 2018, code, MovieLens-1M",
     .departures = "GELU for ReLU, keys and values normed, too",
     .recommender = {{"hidden_size", int64_t{50}},
                     {"num_hidden_layers", int64_t{2}},
                     {"num_attention_heads", int64_t{1}},
                     {"intermediate_size", int64_t{50}},
                     {"dropout", 0.2},
                     {"max_length", int64_t{200}}},
     .loss = {.name = "bce", .num_negatives = 1},
     .num_train_epochs = 201},
    {.name = "sasrec/ce",
     .model = "sasrec",
     .source = "Klenitskiy and Vasilev 2023, code",
     .departures = "GELU for ReLU, keys and values normed, too",
     .recommender = {{"hidden_size", int64_t{64}},
                     {"num_hidden_layers", int64_t{2}},
                     {"num_attention_heads", int64_t{1}},
                     {"intermediate_size", int64_t{64}},
                     {"dropout", 0.1},
                     {"max_length", int64_t{50}}},
     .loss = {.name = "ce"},
     .num_train_epochs = 100,
     .early_stopping_patience = 10},
    {.name = "gsasrec",
     .model = "sasrec",
     .source = "Petrov and Macdonald 2023, code, MovieLens-1M",
     .departures = "epochs of all users for those of 100 batches",
     .recommender = {{"hidden_size", int64_t{256}},
                     {"num_hidden_layers", int64_t{3}},
                     {"num_attention_heads", int64_t{1}},
                     {"intermediate_size", int64_t{256}},
                     {"dropout", 0.1},
                     {"max_length", int64_t{200}}},
     .loss = {.name = "gbce", .gbce_t = 0.75},
     .num_train_epochs = 10000,
     .early_stopping_patience = 200},
    {.name = "gru4rec/official",
     .model = "gru4rec",
     .source = "Hidasi, official PyTorch code, parameters of Retailrocket",
     .departures = "no momentum for .4, whole windows for session-parallel batches, no ELU of "
                   "scores, no hidden dropout for .05, up to 200 epochs for 10",
     .recommender = {{"hidden_size", int64_t{224}},
                     {"num_hidden_layers", int64_t{1}},
                     {"dropout", 0.5}},
     .loss = {.name = "bpr-max", .negative_alpha = 0.4, .bpreg = 1.95},
     .optim = "adagrad",
     .learning_rate = 0.05,
     .train_batch_size = 80,
     .early_stopping_patience = 15},
    {.name = "caser/paper",
     .model = "caser",
     .source = "Tang and Wang 2018, code, MovieLens-1M",
     .departures =
         "the next item for the next three and the negatives of each, whole histories for "
         "batches of windows of 512, L2 1e-6 left out",
     .recommender = {{"hidden_size", int64_t{50}}, {"dropout", 0.5}},
     .loss = {.name = "bce", .num_negatives = 1},  // the source takes the mean over negatives
     .num_train_epochs = 50},
    {.name = "bert4rec/paper",
     .model = "bert4rec",
     .source = "Sun et al. 2019, MovieLens-1M",
     .departures = "a constant rate of 1e-3 until validation stops improving for 1e-4 with decay",
     .recommender = {{"hidden_size", int64_t{64}},
                     {"num_hidden_layers", int64_t{2}},
                     {"num_attention_heads", int64_t{2}},
                     {"max_length", int64_t{200}},
                     {"mask_probability", 0.2}},
     .loss = {.name = "ce"},
     .train_batch_size = 256,
     .num_train_epochs = 1000,
     .early_stopping_patience = 50},
    {.name = "tisasrec/paper",
     .model = "tisasrec",
     .source = "Li et al. 2020, code, MovieLens-1M",
     .departures = "GELU for ReLU, keys and values normed, too, no L2 of embeddings",
     .recommender = {{"hidden_size", int64_t{50}},
                     {"num_hidden_layers", int64_t{2}},
                     {"num_attention_heads", int64_t{1}},
                     {"intermediate_size", int64_t{50}},
                     {"time_span", int64_t{256}}},
     .loss = {.name = "bce", .num_negatives = 1},
     .num_train_epochs = 201},
    {.name = "sasrec/delrec",
     .model = "sasrec",
     .source = "Zhang et al. 2025 (DELRec), code",
     .departures = "all positions for the last one, smaller initial embeddings",
     .recommender = {{"hidden_size", int64_t{100}},
                     {"num_hidden_layers", int64_t{1}},
                     {"num_attention_heads", int64_t{1}},
                     {"intermediate_size", int64_t{100}},
                     {"dropout", 0.5},
                     {"max_length", int64_t{5}}},
     .loss = {.name = "ce"},
     .num_train_epochs = 600},
    {.name = "gru4rec/delrec",
     .model = "gru4rec",
     .source = "Zhang et al. 2025 (DELRec), code",
     .recommender = {{"hidden_size", int64_t{64}}, {"num_hidden_layers", int64_t{3}}},
     .loss = {.name = "ce"},
     .optim = "adagrad",
     .learning_rate = 0.01,
     .train_batch_size = 50},
    {.name = "caser/delrec",
     .model = "caser",
     .source = "Zhang et al. 2025 (DELRec), code",
     .departures = "a dense layer between the filters and the output",
     .recommender = {{"hidden_size", int64_t{100}},
                     {"user_embedding_size", int64_t{0}},
                     {"num_vertical_filters", int64_t{1}},
                     {"min_filter_size", int64_t{2}},
                     {"max_filter_size", int64_t{4}},
                     {"dropout", 0.4}},
     .loss = {.name = "ce"}},
};

}  // namespace

std::span<const FitPreset> fit_presets() { return kPresets; }

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const FitPreset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

const FitPreset& fit_preset(const std::string& name) {
  for (const FitPreset& preset : kPresets)
    if (name == preset.name) return preset;
  fail(ExitCode::kUsage, "unknown preset \"{}\"; known: {}", name, fmt::join(preset_names(), ", "));
}

std::string format_presets() {
  std::string lines;
  for (const FitPreset& preset : kPresets) {
    lines += fmt::format("{:<18}{}", preset.name, preset.source);
    if (*preset.departures != 0) lines += fmt::format("; here {}", preset.departures);
    lines += '\n';
  }
  return lines;
}

void apply_preset(const FitPreset& preset,
                  const std::function<bool(const std::string& flag)>& is_given,
                  FitOptions& options) {
  CHECK(!is_given("--model") || options.models == std::vector<std::string>{preset.model}, kUsage,
        "--preset {}: fits {} alone\nhint: leave --model out", preset.name, preset.model);
  options.preset = preset.name;
  options.models = {preset.model};
  for (const RecommenderOption& option : recommender_type(preset.model).options) {
    const auto value = preset.recommender.find(option.key);
    if (value != preset.recommender.end() && !is_given(option.flag))
      options.recommender[option.key] = value->second;
  }
  const auto set = [&](const char* flag, auto& field, const auto& value) {
    if (!is_given(flag)) field = value;
  };
  LossOptions& loss = options.loss;
  if (!is_given("--loss") || loss.name == preset.loss.name) {
    loss.name = preset.loss.name;
    set("--num-negatives", loss.num_negatives, preset.loss.num_negatives);
    set("--negative-alpha", loss.negative_alpha, preset.loss.negative_alpha);
    set("--gbce-t", loss.gbce_t, preset.loss.gbce_t);
    set("--bpreg", loss.bpreg, preset.loss.bpreg);
  }
  TrainerOptions& trainer = options.trainer;
  if (!is_given("--optim") || trainer.optim == preset.optim) {
    trainer.optim = preset.optim;
    set("--learning-rate", trainer.learning_rate, preset.learning_rate);
  }
  set("--train-batch-size", trainer.train_batch_size, preset.train_batch_size);
  set("--num-train-epochs", trainer.num_train_epochs, preset.num_train_epochs);
  set("--patience", trainer.early_stopping_patience, preset.early_stopping_patience);
}

}  // namespace etrlrec
