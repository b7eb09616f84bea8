#include "data/event_sort.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/thread_group.h"

namespace etrlrec {

void EventSort::take(std::vector<int32_t> users, std::vector<int32_t> items,
                     std::vector<float> ratings, std::vector<double> seconds) {
  const auto count = static_cast<int64_t>(users.size());
  // Each thread scatters a part of the input behind what the threads before it scatter.
  std::vector<std::vector<int64_t>> next(static_cast<size_t>(threads_));
  const auto part = [&](int32_t t) { return count * t / threads_; };
  run_threads(threads_, [&](int32_t t) {
    auto& counts = next[static_cast<size_t>(t)];
    counts.resize(static_cast<size_t>(num_users_));
    for (int64_t i = part(t); i < part(t + 1); ++i) ++counts[users[i]];
  });
  offsets_.assign(static_cast<size_t>(num_users_) + 1, 0);
  int64_t place = 0;
  for (int64_t u = 0; u < num_users_; ++u) {
    for (auto& counts : next) place += std::exchange(counts[u], place);
    offsets_[u + 1] = place;
  }
  events_.resize(users.size());
  run_threads(threads_, [&](int32_t t) {
    auto& places = next[static_cast<size_t>(t)];
    for (int64_t i = part(t); i < part(t + 1); ++i)
      events_[places[users[i]]++] = {seconds[i], items[i], ratings.empty() ? 0 : ratings[i]};
  });
}

std::pair<int64_t, int64_t> EventSort::users_of(int32_t thread) const {
  const auto bound = [&](int64_t t) {
    const int64_t events = offsets_.back() * t / threads_;
    return std::lower_bound(offsets_.begin(), offsets_.end() - 1, events) - offsets_.begin();
  };
  return {bound(thread), thread + 1 == threads_ ? num_users_ : bound(thread + 1)};
}

// `last_run`: the run of equal times in which each item was met last.
int64_t EventSort::order_user(int64_t user, bool keep_duplicates, std::vector<int64_t>& last_run,
                              int64_t& run, SortCounts& counts) {
  const auto begin = events_.begin() + offsets_[user], end = events_.begin() + offsets_[user + 1];
  const auto earlier = [](const Event& a, const Event& b) { return a.time < b.time; };
  if (!std::is_sorted(begin, end, earlier)) std::stable_sort(begin, end, earlier);
  auto out = begin;
  double before = 0;
  for (auto event = begin; event != end; ++event) {
    const bool tie = event != begin && before == event->time;
    before = event->time;
    if (!tie) ++run;
    const bool repeated = std::exchange(last_run[event->item], run) == run;
    counts.duplicates += repeated;
    if (repeated && !keep_duplicates) continue;
    counts.ties += tie;
    *out++ = *event;
  }
  return out - begin;
}

SortCounts EventSort::order_events(int64_t num_items, bool keep_duplicates) {
  kept_.assign(static_cast<size_t>(num_users_), 0);
  std::vector<SortCounts> counts(static_cast<size_t>(threads_));
  run_threads(threads_, [&](int32_t t) {
    std::vector<int64_t> last_run(static_cast<size_t>(num_items), -1);
    int64_t run = -1;
    SortCounts own;
    const auto [begin, end] = users_of(t);
    for (int64_t u = begin; u < end; ++u)
      kept_[u] = order_user(u, keep_duplicates, last_run, run, own);
    counts[static_cast<size_t>(t)] = own;
  });
  SortCounts all;
  for (const SortCounts& own : counts) {
    all.duplicates += own.duplicates;
    all.ties += own.ties;
  }
  return all;
}

std::vector<int32_t> EventSort::write(bool rated, Dataset& dataset) {
  std::vector<int32_t> users;
  std::vector<int64_t> places(static_cast<size_t>(num_users_));
  int64_t place = 0;
  for (int64_t u = 0; u < num_users_; ++u) {
    places[u] = place;
    if (kept_[u] == 0) continue;
    place += kept_[u];
    users.push_back(static_cast<int32_t>(u));
    dataset.user_offsets.push_back(place);
  }
  dataset.items.resize(static_cast<size_t>(place));
  dataset.times.resize(static_cast<size_t>(place));
  if (rated) dataset.ratings.resize(static_cast<size_t>(place));
  run_threads(threads_, [&](int32_t t) {
    const auto [begin, end] = users_of(t);
    for (int64_t u = begin; u < end; ++u) {
      for (int64_t k = 0; k < kept_[u]; ++k) {
        const Event& event = events_[offsets_[u] + k];
        dataset.items[places[u] + k] = event.item;
        dataset.times[places[u] + k] = static_cast<int64_t>(std::floor(event.time));
        if (rated) dataset.ratings[places[u] + k] = event.rating;
      }
    }
  });
  events_ = {};
  return users;
}

}  // namespace etrlrec
