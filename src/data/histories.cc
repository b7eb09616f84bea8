#include "data/histories.h"

#include <algorithm>

namespace etrlrec {

void set_recent_history(std::span<const int32_t> items, std::span<const int64_t> times,
                        int32_t max_history, Request& request) {
  const size_t kept = std::min(items.size(), static_cast<size_t>(std::max(max_history, 0)));
  const size_t begin = items.size() - kept;
  request.history.assign(items.begin() + static_cast<int64_t>(begin), items.end());
  request.times.assign(times.begin() + static_cast<int64_t>(begin), times.end());
}

Request with_recent_history(const Request& request, int32_t max_history) {
  Request recent;
  recent.user = request.user;
  recent.now = request.now;
  recent.candidates = request.candidates;
  recent.target_slot = request.target_slot;
  recent.known = request.known;
  set_recent_history(request.history, request.times, max_history, recent);
  return recent;
}

Request request_after(const Dataset& dataset, int32_t user, int64_t end, int32_t max_history) {
  const auto begin = static_cast<size_t>(dataset.user_offsets[user]);
  const size_t length = static_cast<size_t>(end) - begin;
  Request request;
  request.user = user;
  set_recent_history(std::span(dataset.items).subspan(begin, length),
                     std::span(dataset.times).subspan(begin, length), max_history, request);
  return request;
}

}  // namespace etrlrec
