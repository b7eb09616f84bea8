#include "method/slices.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "method/unread_items.h"

namespace etrlrec {
namespace {

using Matches = std::function<bool(size_t row)>;

void add_slice(const std::string& name, size_t num_rows, const Matches& matches,
               std::vector<Slice>& slices) {
  Slice slice{name, {}};
  for (size_t row = 0; row < num_rows; ++row)
    if (matches(row)) slice.rows.push_back(static_cast<int64_t>(row));
  if (!slice.rows.empty()) slices.push_back(std::move(slice));
}

// Training events of each row's target.
std::vector<int64_t> events_of_targets(const Dataset& dataset, const Split& split,
                                       std::span<const Row> rows) {
  std::vector<int64_t> events(static_cast<size_t>(dataset.catalogue.num_items()), 0), of_rows;
  const std::vector<bool> learned = learned_events(dataset, split);
  for (size_t i = 0; i < learned.size(); ++i)
    events[static_cast<size_t>(dataset.items[i])] += learned[i];
  for (const Row& row : rows)
    of_rows.push_back(
        events[static_cast<size_t>(dataset.items[static_cast<size_t>(row.position)])]);
  return of_rows;
}

void add_thirds(const std::vector<int64_t>& events, std::vector<Slice>& slices) {
  std::vector<int64_t> known;
  std::copy_if(events.begin(), events.end(), std::back_inserter(known),
               [](int64_t count) { return count > 0; });
  std::sort(known.begin(), known.end());
  int64_t least = 1;
  const char* const names[] = {"rare", "middling", "popular"};
  for (size_t third = 0; third < 3 && !known.empty(); ++third) {
    const int64_t most =
        third == 2 ? known.back() : known[(third + 1) * known.size() / 3 - (known.size() >= 3)];
    add_slice(
        fmt::format("{} items ({} to {} training events)", names[third], least, most),
        events.size(), [&](size_t row) { return events[row] >= least && events[row] <= most; },
        slices);
    least = std::max(least, most + 1);
  }
}

// By the time between the last event and the request.
void add_pauses(const Dataset& dataset, std::span<const Row> rows, std::vector<Slice>& slices) {
  const auto pause = [&](size_t row) {
    const auto at = static_cast<size_t>(rows[row].position);
    return dataset.times[at] - dataset.times[at - 1];
  };
  add_slice(
      "last event at most 1 day before", rows.size(),
      [&](size_t row) { return pause(row) <= kShortPause; }, slices);
  add_slice(
      "last event 1 to 30 days before", rows.size(),
      [&](size_t row) { return pause(row) > kShortPause && pause(row) <= kLongPause; }, slices);
  add_slice(
      "last event more than 30 days before", rows.size(),
      [&](size_t row) { return pause(row) > kLongPause; }, slices);
}

}  // namespace

std::vector<Slice> slices_of(const Dataset& dataset, const Split& split,
                             std::span<const Row> rows) {
  std::vector<Slice> slices;
  const std::vector<int64_t> events = events_of_targets(dataset, split, rows);
  add_slice(
      "cold items (no training event)", rows.size(), [&](size_t row) { return events[row] == 0; },
      slices);
  add_thirds(events, slices);
  const auto is_cold = [&](size_t row) {
    return rows[row].position - dataset.user_offsets[static_cast<size_t>(rows[row].user)] <=
           kFewEvents;
  };
  add_slice(fmt::format("cold users (at most {} earlier events)", kFewEvents), rows.size(), is_cold,
            slices);
  add_slice(
      "other users", rows.size(), [&](size_t row) { return !is_cold(row); }, slices);
  if (!dataset.order_only) add_pauses(dataset, rows, slices);
  return slices;
}

}  // namespace etrlrec
