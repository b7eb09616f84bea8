#include "models/recommender.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"

namespace etrlrec {
namespace {

template <typename T>
T value_or(const OptionValues& given, const char* key, T fallback) {
  const auto found = given.find(key);
  if (found == given.end()) return fallback;
  CHECK(std::holds_alternative<T>(found->second), kUsage,
        "{}: expected {}, found a value of another kind", key,
        std::is_same_v<T, bool>     ? "true or false"
        : std::is_same_v<T, double> ? "a floating-point number"
                                    : "a whole number");
  return std::get<T>(found->second);
}

}  // namespace

int64_t option_or(const OptionValues& given, const char* key, int64_t fallback) {
  return value_or(given, key, fallback);
}

double option_or(const OptionValues& given, const char* key, double fallback) {
  return value_or(given, key, fallback);
}

bool option_or(const OptionValues& given, const char* key, bool fallback) {
  return value_or(given, key, fallback);
}

void check_log(const InteractionLog& log) {
  CHECK(log.num_items > 0, kInput, "interaction log: expected an item, found none");
  CHECK(log.items.size() == log.times.size() && !log.user_offsets.empty() &&
            log.user_offsets.back() == static_cast<int64_t>(log.items.size()),
        kInput, "interaction log: columns of {} items, {} times and {} offsets do not fit",
        log.items.size(), log.times.size(), log.user_offsets.size());
  for (int32_t item : log.items)
    CHECK(item >= 0 && item < log.num_items, kInput, "interaction log: item {} is not in [0, {})",
          item, log.num_items);
}

void ItemSequences::add_history(const HistoryView& history) {
  const std::vector<int64_t> ids(history.items.begin(), history.items.end());
  add(-1, ids);
  times.insert(times.end(), history.times.begin(), history.times.end());
  users.push_back(history.user);
}

at::Tensor last_items(const ItemSequences& sequences) {
  std::vector<int64_t> last;
  for (const Segment& segment : sequences.segments) last.push_back(segment.end - 1);
  return at::tensor(last);
}

void check_sequences(const ItemSequences& sequences, int64_t num_items, int64_t max_length,
                     const std::string& name) {
  for (const Segment& segment : sequences.segments)
    CHECK(segment.parent == -1 && segment.end - segment.begin <= max_length, kInput,
          "{}: expected sequences of at most {} items, found one of {}", name, max_length,
          segment.end - segment.begin);
  for (const int64_t item : sequences.ids)
    CHECK(item >= 0 && item < num_items, kInput, "{}: item {} is not in [0, {})", name, item,
          num_items);
}

at::Tensor TrainableRecommender::score(std::span<const HistoryView> histories) const {
  const at::NoGradGuard no_grad;
  const auto batch = static_cast<int64_t>(histories.size());
  ItemSequences sequences;
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < batch; ++row) {
    HistoryView history = histories[static_cast<size_t>(row)];
    if (history.items.empty()) continue;
    const auto most = static_cast<size_t>(context_length());
    history.items = history.items.last(std::min(history.items.size(), most));
    history.times = history.times.last(std::min(history.times.size(), most));
    sequences.add_history(history);
    rows.push_back(row);
  }
  if (rows.empty()) return at::zeros({batch, num_items()});
  at::Tensor scores = at::mm(last_states(sequences), item_weight().t());  // [rows, N]
  if (const at::Tensor bias = item_bias(); bias.defined()) scores += bias;
  if (static_cast<int64_t>(rows.size()) == batch) return scores;
  return at::zeros({batch, num_items()}).index_copy_(0, at::tensor(rows), scores);
}

at::Tensor CausalRecommender::last_states(const ItemSequences& sequences) const {
  return hidden_states(sequences).index_select(0, last_items(sequences));
}

TrainingStates CausalRecommender::training_states(const ItemSequences& sequences,
                                                  std::span<const int64_t> targets,
                                                  Rng& rng) const {
  TrainingStates out{hidden_states(sequences, &rng), {targets.begin(), targets.end()}, {}};
  for (size_t s = 0; s < sequences.segments.size(); ++s) {
    const Segment& segment = sequences.segments[s];
    out.sequences.insert(out.sequences.end(), static_cast<size_t>(segment.end - segment.begin),
                         static_cast<int64_t>(s));
  }
  return out;
}

}  // namespace etrlrec
