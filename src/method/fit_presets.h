// Settings of `fit` under the names of those who published them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "method/fit.h"
#include "models/recommender.h"
#include "models/recommender_loss.h"

namespace etrlrec {

struct FitPreset {
  const char* name;   // of --preset: the model, then the source
  const char* model;  // the one that is fitted
  const char* source;
  const char* departures = "";  // what the source has otherwise
  OptionValues recommender{};   // by key
  LossOptions loss{};
  const char* optim = "adamw";
  double learning_rate = 1e-3;
  int64_t train_batch_size = 128;
  double num_train_epochs = 200;
  int64_t early_stopping_patience = 0;  // epochs
};
std::span<const FitPreset> fit_presets();
std::vector<std::string> preset_names();
// Error (kUsage) for a name that is not in the table.
const FitPreset& fit_preset(const std::string& name);
// A line for each preset: name, source and departures.
std::string format_presets();

// Sets what the preset says and `is_given(flag)` does not claim. Where another loss than the
// preset's is given, none of the preset's settings of its loss is taken; where another optimiser
// is, its rate is not. Error (kUsage) where --model is given and names others.
void apply_preset(const FitPreset& preset,
                  const std::function<bool(const std::string& flag)>& is_given,
                  FitOptions& options);

}  // namespace etrlrec
