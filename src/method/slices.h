// Parts of the rows that are predicted, by how much was known of the item and of the user
// and how long ago the user was seen (method.md G.9.9): where one model is better than another.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

inline constexpr int64_t kFewEvents = 5;  // before the request, of a cold user
inline constexpr int64_t kShortPause = 86400, kLongPause = 30 * kShortPause;  // seconds

struct Slice {
  std::string name;
  std::vector<int64_t> rows;  // indices into the rows, ascending; at least one
};
// Cold items: targets without a training event. The others in thirds of the rows by the training
// events of their targets; rows with equally many stay together. Cold users: at most kFewEvents
// events before the target. Pauses: the time since the last event, up to kShortPause, up to
// kLongPause, longer; none where times only number the events. Parts without a row are left out.
std::vector<Slice> slices_of(const Dataset& dataset, const Split& split, std::span<const Row> rows);

}  // namespace etrlrec
