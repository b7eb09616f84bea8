#include "models/recommender.h"

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

}  // namespace etrlrec
