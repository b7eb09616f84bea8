#include "method/fit_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "base/check.h"
#include "base/rng.h"
#include "models/recommenders.h"

namespace etrlrec {
namespace {

constexpr const char* kLearningRate = "learning_rate";
constexpr const char* kBatchSize = "train_batch_size";
constexpr const char* kLearningRates = "3e-4, 1e-3, 3e-3";
constexpr const char* kBatchSizes = "64, 128, 256";

// One axis of the space: the values of an option.
struct Axis {
  std::string key;
  std::vector<OptionValue> values;
};

// The numbers of a list, as values of the type of `like`.
std::vector<OptionValue> values_of(const char* list, const OptionValue& like) {
  std::vector<OptionValue> values;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    const double number = std::stod(word);
    values.push_back(std::holds_alternative<int64_t>(like)
                         ? OptionValue(static_cast<int64_t>(number))
                         : OptionValue(number));
  }
  return values;
}

// A value that is not listed stands alone: it was given.
std::vector<Axis> space_of(const RecommenderType& type, const OptionValues& given,
                           const TrainerOptions& trainer, const FitSearch& search) {
  std::vector<Axis> space;
  for (const RecommenderOption& option : type.options)
    if (*option.search != 0 && !given.contains(option.key))
      space.push_back({option.key, values_of(option.search, option.default_value)});
  if (type.create == nullptr) return space;
  const auto add = [&](const char* key, const char* list, OptionValue own, bool searched) {
    space.push_back({key, searched ? values_of(list, own) : std::vector{own}});
  };
  add(kLearningRate, kLearningRates, trainer.learning_rate, search.learning_rate);
  add(kBatchSize, kBatchSizes, trainer.train_batch_size, search.train_batch_size);
  return space;
}

// The index of the default of each axis.
std::vector<size_t> defaults_of(const std::vector<Axis>& space, const RecommenderType& type,
                                const TrainerOptions& trainer) {
  std::vector<size_t> indices;
  for (const Axis& axis : space) {
    OptionValue own = trainer.learning_rate;
    if (axis.key == kBatchSize) own = trainer.train_batch_size;
    for (const RecommenderOption& option : type.options)
      if (axis.key == option.key) own = option.default_value;
    const auto found = std::find(axis.values.begin(), axis.values.end(), own);
    CHECK(found != axis.values.end(), kFailure, "{}: {} does not list its default", type.name,
          axis.key);
    indices.push_back(static_cast<size_t>(found - axis.values.begin()));
  }
  return indices;
}

FitSetting setting_of(const std::vector<Axis>& space, const std::vector<size_t>& indices,
                      const OptionValues& given) {
  FitSetting setting{given, 0, 0};
  for (size_t i = 0; i < space.size(); ++i) {
    const OptionValue& value = space[i].values[indices[i]];
    if (space[i].key == kLearningRate)
      setting.learning_rate = std::get<double>(value);
    else if (space[i].key == kBatchSize)
      setting.train_batch_size = std::get<int64_t>(value);
    else
      setting.recommender[space[i].key] = value;
  }
  return setting;
}

}  // namespace

std::vector<FitSetting> draw_settings(const RecommenderType& type, const OptionValues& given,
                                      const TrainerOptions& trainer, const FitSearch& search) {
  const std::vector<Axis> space = space_of(type, given, trainer, search);
  double size = 1;
  for (const Axis& axis : space) size *= static_cast<double>(axis.values.size());
  const int64_t count = std::min(search.trials, static_cast<int64_t>(std::min(size, 1e9)));
  std::set<std::vector<size_t>> drawn;
  std::vector<FitSetting> settings;
  std::vector<size_t> indices = defaults_of(space, type, trainer);
  Rng rng(trainer.seed, std::string("search ") + type.name);
  while (static_cast<int64_t>(settings.size()) < count) {
    if (drawn.insert(indices).second) settings.push_back(setting_of(space, indices, given));
    for (size_t i = 0; i < space.size(); ++i) indices[i] = rng.below(space[i].values.size());
  }
  return settings;
}

std::string format_setting(const RecommenderType& type, const FitSetting& setting) {
  std::string text;
  const auto add = [&](const std::string& name, const OptionValue& value) {
    text += text.empty() ? "" : ", ";
    std::visit([&](auto each) { text += fmt::format("{} {}", name, each); }, value);
  };
  for (const RecommenderOption& option : type.options) {
    const auto value = setting.recommender.find(option.key);
    if (value != setting.recommender.end()) add(option.key, value->second);
  }
  if (setting.learning_rate > 0) add(kLearningRate, setting.learning_rate);
  if (setting.train_batch_size > 0) add(kBatchSize, setting.train_batch_size);
  return text;
}

std::string format_search_space() {
  std::string lines;
  for (const RecommenderType* type : recommender_types()) {
    std::string text;
    const auto add = [&text](const char* name, const char* values) {
      text += fmt::format("{}{} {}", text.empty() ? "" : "; ", name, values);
    };
    for (const RecommenderOption& option : type->options)
      if (*option.search != 0) add(option.key, option.search);
    if (type->create != nullptr) {
      add(kLearningRate, kLearningRates);
      add(kBatchSize, kBatchSizes);
    }
    if (!text.empty()) lines += fmt::format("{:<12}{}\n", type->name, text);
  }
  return lines;
}

}  // namespace etrlrec
