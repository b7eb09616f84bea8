#include "temporal/moments.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "data/calendar.h"

namespace etrlrec {
namespace {

template <typename T>
void sort_by_time(std::vector<std::vector<T>>& lists) {
  for (std::vector<T>& list : lists)
    std::stable_sort(list.begin(), list.end(),
                     [](const T& a, const T& b) { return a.time < b.time; });
}

// The first one that is not strictly before `now`.
template <typename T>
auto end_before(const std::vector<T>& list, int64_t now) {
  return std::partition_point(list.begin(), list.end(),
                              [now](const T& entry) { return entry.time < now; });
}

using Counted = std::vector<std::pair<double, int32_t>>;

std::vector<int32_t> best_of(Counted counted, int32_t most) {
  std::stable_sort(counted.begin(), counted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<int32_t> items;
  for (const auto& [count, item] : counted)
    if (std::ssize(items) < most) items.push_back(item);
  return items;
}

}  // namespace

Moments::Moments(const Dataset& dataset)
    : title_(canonical_items(dataset.catalogue)),
      events_(title_.size()),
      successors_(title_.size()) {
  const auto title_of = [&](int64_t i) {
    return static_cast<size_t>(title_[static_cast<size_t>(dataset.items[static_cast<size_t>(i)])]);
  };
  for (int64_t user = 0; user < dataset.num_users(); ++user) {
    const int64_t begin = dataset.user_offsets[static_cast<size_t>(user)],
                  end = dataset.user_offsets[static_cast<size_t>(user) + 1];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t time = dataset.times[static_cast<size_t>(i)];
      events_[title_of(i)].push_back({time});
      if (i > begin)
        successors_[title_of(i - 1)].push_back({time, static_cast<int32_t>(title_of(i))});
    }
  }
  sort_by_time(events_);
  sort_by_time(successors_);
  for (std::vector<Event>& events : events_)
    for (size_t i = 0; i < events.size(); ++i)
      events[i].decayed =
          1 + (i == 0 ? 0
                      : events[i - 1].decayed * half_life_share(events[i].time - events[i - 1].time,
                                                                kLatelyHalfLifeDays));
}

double Moments::lately(int32_t item, int64_t now) const {
  const std::vector<Event>& events =
      events_[static_cast<size_t>(title_[static_cast<size_t>(item)])];
  const auto end = end_before(events, now);
  if (end == events.begin()) return 0;
  const Event& last = *std::prev(end);
  return last.decayed * half_life_share(now - last.time, kLatelyHalfLifeDays);
}

bool Moments::is_fresh(int32_t item, int64_t now) const {
  const std::vector<Event>& events =
      events_[static_cast<size_t>(title_[static_cast<size_t>(item)])];
  return !events.empty() && events.front().time < now &&
         events.front().time >= now - kFreshDays * kSecondsPerDay;
}

KnownItems Moments::known(const Request& request, int32_t most, bool mask_seen) const {
  std::unordered_map<int32_t, double> followed;  // by title
  if (!request.history.empty()) {
    const std::vector<Successor>& successors =
        successors_[static_cast<size_t>(title_[static_cast<size_t>(request.history.back())])];
    const auto end = end_before(successors, request.now);
    for (auto next = successors.begin(); next != end; ++next) ++followed[next->item];
  }
  const std::unordered_set<int32_t> seen(request.history.begin(), request.history.end());
  Counted lately, after, fresh;
  const auto look_at = [&](int32_t item) {
    if (mask_seen && seen.contains(item)) return;
    const double count = this->lately(item, request.now);
    if (count == 0) return;
    lately.emplace_back(count, item);
    if (is_fresh(item, request.now)) fresh.emplace_back(count, item);
    const auto found = followed.find(title_[static_cast<size_t>(item)]);
    if (found != followed.end()) after.emplace_back(found->second, item);
  };
  if (request.candidates.empty()) {
    for (int32_t item = 0; item < static_cast<int32_t>(title_.size()); ++item)
      if (title_[static_cast<size_t>(item)] == item) look_at(item);
  } else {
    for (const int32_t item : request.candidates) look_at(item);
  }
  KnownItems known;
  known.lately = best_of(std::move(lately), most);
  known.after = best_of(std::move(after), most);
  known.fresh = best_of(std::move(fresh), most);
  return known;
}

}  // namespace etrlrec
