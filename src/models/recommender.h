// The interface of conventional recommenders, which score the whole catalogue for a batch of
// histories from item indices and times alone, and the description of one type of recommender: its
// name, its options and the functions that make one. models/recommenders.h lists all types.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/rng.h"
#include "nn/forest.h"
#include "nn/numerics.h"
#include "nn/parameters.h"

namespace etrlrec {

struct HistoryView {
  std::span<const int32_t> items;  // oldest first, without the target
  std::span<const int64_t> times;
  int64_t now = 0;  // request time
};

// Training interactions as columns (data/dataset.h restricted to the training part), so that models
// never see data/.
struct InteractionLog {
  int64_t num_items = 0;
  std::vector<int64_t> user_offsets{0};  // [U + 1]
  std::vector<int32_t> items;
  std::vector<int64_t> times;
  // What describes each item besides, of length 1, float [num_items, C]; undefined: nothing.
  at::Tensor item_embeddings{};
};
// Refuses (kInput) columns of different lengths and items outside of [0, num_items).
void check_log(const InteractionLog& log);

class Recommender {
 public:
  virtual ~Recommender() = default;
  virtual std::string name() const = 0;
  virtual int64_t num_items() const = 0;
  // Returns finite scores, higher is better. A row does not depend on the other rows. [B, N]
  virtual at::Tensor score(std::span<const HistoryView> histories) const = 0;
  // Writes config.json and model.safetensors (tensors by name).
  virtual void save(const std::filesystem::path& folder) const = 0;
  // How a trained model computes from now on; models that count have one way.
  const Numerics& numerics() const { return numerics_; }
  void set_numerics(const Numerics& numerics) { numerics_ = numerics; }

 private:
  Numerics numerics_;
};

// A recommender that is trained by gradient steps (train/next_item_objective.h): a state after each
// item of a sequence, whose inner products with the rows of the item matrix score the catalogue.
class TrainableRecommender : public Recommender {
 public:
  virtual ParameterMap& parameters() = 0;
  // The greatest number of items of one sequence.
  virtual int64_t max_length() const = 0;
  // States after each item of a forest of roots, one root for each sequence. [T, C]
  // Dropout is on when `rng` is given, and depends on it only.
  virtual at::Tensor hidden_states(const TokenForest& sequences, Rng* rng = nullptr) const = 0;
  virtual const at::Tensor& item_weight() const = 0;  // [N, C]
  // Inner products of the state after the newest of at most max_length() items and the item matrix;
  // an empty history scores every item 0.
  at::Tensor score(std::span<const HistoryView> histories) const override;
};

using OptionValue = std::variant<int64_t, double>;
using OptionValues = std::map<std::string, OptionValue>;  // by RecommenderOption::key

// An option of a type, which `etrlrec fit` declares. Types may share an option: they then give it
// the same key and the same default.
struct RecommenderOption {
  const char* flag;  // "--half-life-days"
  const char* key;   // its name in OptionValues and in config.json
  OptionValue default_value;
  const char* help;
};

// What the program knows about one type of recommender. Exactly one of `count` and `create` is set:
// `count` returns a fitted model, `create` an initialised one that is still to be trained.
struct RecommenderType {
  const char* name;     // of --model, of the folder, and model_type of config.json
  const char* summary;  // what it looks at
  const char* paper = "";
  const char* loss = "";     // what training minimises, negatives included; "" where fit counts
  const char* heading = "";  // of its options in the help, "": none
  bool needs_embeddings = false;  // InteractionLog::item_embeddings
  std::span<const RecommenderOption> options = {};
  // The complete and checked configuration of the given options, others at their defaults, without
  // model_type and num_items: what decides a model besides the log. Error (kUsage).
  nlohmann::ordered_json (*configure)(const OptionValues& given) = nullptr;
  std::unique_ptr<Recommender> (*count)(const InteractionLog& log,
                                        const OptionValues& given) = nullptr;
  std::unique_ptr<TrainableRecommender> (*create)(int64_t num_items, const OptionValues& given,
                                                  uint64_t seed) = nullptr;
  // Reads what `save` wrote. Error (kModel) for anything inconsistent.
  std::unique_ptr<Recommender> (*load)(const std::filesystem::path& folder) = nullptr;
};

// The value of an option, or `fallback` where it is not given. Error (kUsage) when the value has
// another type.
int64_t option_or(const OptionValues& given, const char* key, int64_t fallback);
double option_or(const OptionValues& given, const char* key, double fallback);

}  // namespace etrlrec
