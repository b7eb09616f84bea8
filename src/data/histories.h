// What a request shows of a user's past.
#pragma once

#include <cstdint>
#include <span>

#include "data/dataset.h"

namespace etrlrec {

// Gives the request the last max_history of these entries. The only function that cuts a history.
void set_recent_history(std::span<const int32_t> items, std::span<const int64_t> times,
                        int32_t max_history, Request& request);
// The request with the last max_history entries of its history.
Request with_recent_history(const Request& request, int32_t max_history);
// The user's events before place `end` of the data set, at most max_history most recent ones, as a
// request without candidates and without its time.
Request request_after(const Dataset& dataset, int32_t user, int64_t end, int32_t max_history);

}  // namespace etrlrec
