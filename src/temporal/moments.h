// What everybody's events strictly before a moment say: what is chosen lately, what usually follows
// the last entry, what is new. It is the knowledge "time" that a prompt may show and claims may
// speak of. The log goes on after the training part; whoever asks at a moment knows what happened
// before it, whichever part it belongs to.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

inline constexpr double kLatelyHalfLifeDays = 30;  // an event counts half after so many days
inline constexpr int64_t kFreshDays = 30;  // an item is new for so long after its first event

class Moments {
 public:
  explicit Moments(const Dataset& dataset);

  // Decayed count of the item's events before `now`.
  double lately(int32_t item, int64_t now) const;
  // Whether it was first chosen within kFreshDays before `now`.
  bool is_fresh(int32_t item, int64_t now) const;

  // Lists of at most `most` items (no pattern), of the request's candidates or, where it has none,
  // of the whole catalogue, with `mask_seen` without the items of its history. `lately` and `fresh`
  // are in the order of the decayed counts, `after` by how often an item directly followed the last
  // entry; none holds an item with a count of 0. Equal counts in the candidates' order.
  KnownItems known(const Request& request, int32_t most, bool mask_seen) const;

 private:
  struct Event {
    int64_t time = 0;
    double decayed = 0;  // the item's count right after it
  };
  struct Successor {
    int64_t time = 0;
    int32_t item = 0;
  };
  std::vector<int32_t> title_;              // [N] the item that stands for all of this title
  std::vector<std::vector<Event>> events_;  // [N] ascending in time; of such items only
  std::vector<std::vector<Successor>> successors_;  // [N] the same
};

}  // namespace etrlrec
