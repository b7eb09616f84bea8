// When a failed call is made again: which answers of a server are accidents, what Retry-After says,
// and how long to wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace etrlrec {

// 408 Request Timeout, 409 Conflict, 429 Too Many Requests and all of 5xx.
bool is_retryable(int status);
// Whether the answer speaks of all calls alike (key, address, money), so that further ones are in
// vain: 401, 402, 403, 404, 405.
bool refuses_every_call(int status);

// Seconds from `now` (since 1970, UTC) on, of "120" or "Fri, 31 Dec 1999 23:59:59 GMT"; nothing for
// other texts. Not below 0.
std::optional<double> retry_after_seconds(std::string_view value, int64_t now);

// Exponential backoff with jitter: min(most, base 2^attempt) times a number between 1/2 and 1,
// which `uniform` in [0, 1) draws. `attempt` counts from 0.
double retry_delay(int attempt, double base, double most, double uniform);

}  // namespace etrlrec
