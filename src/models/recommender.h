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
  int64_t now = 0;    // request time
  int32_t user = -1;  // number of the user in the log that a model was fitted on, -1: unknown
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
  int64_t num_users() const { return static_cast<int64_t>(user_offsets.size()) - 1; }
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

// Sequences of items, oldest first, as a forest of roots: one root for each sequence.
struct ItemSequences : TokenForest {
  std::vector<int64_t> times{};  // [T], for models that look at times
  std::vector<int32_t> users{};  // [sequences], -1: unknown, for models that look at users
  void add_history(const HistoryView& history);  // of at least one item
};
// The place of each sequence's last item among all. int64 [sequences]
at::Tensor last_items(const ItemSequences& sequences);
// Refuses (kInput) items outside of [0, num_items), sequences of more than max_length items and
// segments that continue others. `name` begins the message.
void check_sequences(const ItemSequences& sequences, int64_t num_items, int64_t max_length,
                     const std::string& name);

// States that training scores the catalogue by, and the item that each of them should find.
struct TrainingStates {
  at::Tensor states;               // [M, C]
  std::vector<int64_t> targets;    // [M]
  std::vector<int64_t> sequences;  // [M] in which sequence
};

// A recommender that is trained by gradient steps (train/next_item_objective.h): states whose inner
// products with the rows of the item matrix, plus the bias of each item where there is one, score
// the catalogue. Dropout depends on the stream that is given only.
class TrainableRecommender : public Recommender {
 public:
  virtual ParameterMap& parameters() = 0;
  // The greatest number of items of one sequence.
  virtual int64_t max_length() const = 0;
  // How many of the last items decide the state after them.
  virtual int64_t context_length() const { return max_length(); }
  virtual const at::Tensor& item_weight() const = 0;   // [N, C]
  virtual at::Tensor item_bias() const { return {}; }  // [N], undefined: none
  // The state after each sequence, without dropout. [sequences, C]
  virtual at::Tensor last_states(const ItemSequences& sequences) const = 0;
  // With dropout; `targets` [T] is the item that follows each of the sequences' items.
  virtual TrainingStates training_states(const ItemSequences& sequences,
                                         std::span<const int64_t> targets, Rng& rng) const = 0;
  // Scores of the state after at most context_length() items; an empty history scores every item 0.
  at::Tensor score(std::span<const HistoryView> histories) const override;
};

// One that has a state after each item, which depends on nothing later, and learns at all of them.
class CausalRecommender : public TrainableRecommender {
 public:
  // States after each item of each sequence; dropout is on when `rng` is given. [T, C]
  virtual at::Tensor hidden_states(const ItemSequences& sequences, Rng* rng = nullptr) const = 0;
  at::Tensor last_states(const ItemSequences& sequences) const override;
  TrainingStates training_states(const ItemSequences& sequences, std::span<const int64_t> targets,
                                 Rng& rng) const override;
};

using OptionValue = std::variant<int64_t, double, bool>;
using OptionValues = std::map<std::string, OptionValue>;  // by RecommenderOption::key

// An option of a type, which `etrlrec fit` declares. Types may share an option: they then give it
// the same key, the same default and the same values to search.
struct RecommenderOption {
  const char* flag;  // "--half-life-days"
  const char* key;   // its name in OptionValues and in config.json
  OptionValue default_value;
  const char* help;
  const char* search = "";  // values that a search draws from, "32, 64"; "": it keeps the default
};

// What the program knows about one type of recommender. Exactly one of `count` and `create` is set:
// `count` returns a fitted model, `create` an initialised one that is still to be trained.
struct RecommenderType {
  const char* name;     // of --model, of the folder, and model_type of config.json
  const char* summary;  // what it looks at
  const char* paper = "";
  const char* loss = "";          // what training minimises by default, "" where fit counts
  const char* heading = "";       // of its options in the help, "": none
  bool usual = false;             // of those that are trained: fitted where no model is named
  bool needs_embeddings = false;  // InteractionLog::item_embeddings
  bool knows_users = false;       // scores depend on HistoryView::user
  std::span<const RecommenderOption> options = {};
  // The complete and checked configuration of the given options, others at their defaults, without
  // model_type and num_items: what decides a model besides the log. Error (kUsage).
  nlohmann::ordered_json (*configure)(const OptionValues& given) = nullptr;
  std::unique_ptr<Recommender> (*count)(const InteractionLog& log,
                                        const OptionValues& given) = nullptr;
  std::unique_ptr<TrainableRecommender> (*create)(const InteractionLog& log,
                                                  const OptionValues& given,
                                                  uint64_t seed) = nullptr;
  // Reads what `save` wrote. Error (kModel) for anything inconsistent.
  std::unique_ptr<Recommender> (*load)(const std::filesystem::path& folder) = nullptr;
};

// The value of an option, or `fallback` where it is not given. Error (kUsage) when the value has
// another type.
int64_t option_or(const OptionValues& given, const char* key, int64_t fallback);
double option_or(const OptionValues& given, const char* key, double fallback);
bool option_or(const OptionValues& given, const char* key, bool fallback);

}  // namespace etrlrec
