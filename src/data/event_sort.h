// Interactions in the order of a data set: by user with a counting sort, inside a user by time with
// a stable sort, so that ties keep the order of the input; exact repeats are left out. Internal to
// data/.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

struct SortCounts {
  int64_t duplicates = 0;  // events that equal an earlier one of the user in time and item
  int64_t ties = 0;        // events that are kept and share the time of the event before
};

class EventSort {
 public:
  EventSort(int64_t num_users, int32_t threads) : num_users_(num_users), threads_(threads) {}

  // The columns of the input, [I] each, ratings also empty; they are released.
  void take(std::vector<int32_t> users, std::vector<int32_t> items, std::vector<float> ratings,
            std::vector<double> seconds);
  SortCounts order_events(int64_t num_items, bool keep_duplicates);
  // Fills offsets and columns; times become whole seconds. Returns the users that have events.
  std::vector<int32_t> write(bool rated, Dataset& dataset);

 private:
  struct Event {
    double time;
    int32_t item;
    float rating;
  };
  // The users whose events thread t works on: [begin, end), about the same number of events each.
  std::pair<int64_t, int64_t> users_of(int32_t thread) const;
  int64_t order_user(int64_t user, bool keep_duplicates, std::vector<int64_t>& last_run,
                     int64_t& run, SortCounts& counts);

  int64_t num_users_;
  int32_t threads_;
  std::vector<Event> events_;
  std::vector<int64_t> offsets_;  // [U + 1]
  std::vector<int64_t> kept_;     // [U] events of each user, at the start of its range
};

}  // namespace etrlrec
