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
        "{}: expected {} number, found one of the other kind", key,
        std::is_same_v<T, double> ? "a floating-point" : "a whole");
  return std::get<T>(found->second);
}

}  // namespace

int64_t option_or(const OptionValues& given, const char* key, int64_t fallback) {
  return value_or(given, key, fallback);
}

double option_or(const OptionValues& given, const char* key, double fallback) {
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

at::Tensor TrainableRecommender::score(std::span<const HistoryView> histories) const {
  const at::NoGradGuard no_grad;
  const auto batch = static_cast<int64_t>(histories.size());
  TokenForest forest;
  std::vector<int64_t> last_tokens, rows;
  for (int64_t row = 0; row < batch; ++row) {
    const auto items = histories[static_cast<size_t>(row)].items;
    if (items.empty()) continue;
    const size_t length = std::min(items.size(), static_cast<size_t>(max_length()));
    const std::vector<int64_t> recent(items.end() - static_cast<int64_t>(length), items.end());
    forest.add(-1, recent);
    last_tokens.push_back(forest.num_tokens() - 1);
    rows.push_back(row);
  }
  if (rows.empty()) return at::zeros({batch, num_items()});
  const at::Tensor states = hidden_states(forest).index_select(0, at::tensor(last_tokens));
  const at::Tensor scores = at::mm(states, item_weight().t());  // [rows, N]
  if (static_cast<int64_t>(rows.size()) == batch) return scores;
  return at::zeros({batch, num_items()}).index_copy_(0, at::tensor(rows), scores);
}

}  // namespace etrlrec
