#include "remote/retry.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/strings.h"

namespace etrlrec {

bool is_retryable(int status) {
  return status == 408 || status == 409 || status == 429 || (status >= 500 && status <= 599);
}

bool refuses_every_call(int status) {
  return status == 401 || status == 402 || status == 403 || status == 404 || status == 405;
}

std::optional<double> retry_after_seconds(std::string_view value, int64_t now) {
  const std::string text(trim(value));
  const bool digits = !text.empty() && text.size() <= 9 &&
                      std::all_of(text.begin(), text.end(),
                                  [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  if (digits && std::count(text.begin(), text.end(), '.') <= 1 && text != ".")
    return std::stod(text);
  struct tm date {};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::max<double>(0, static_cast<double>(::timegm(&date) - now));
}

double retry_delay(int attempt, double base, double most, double uniform) {
  return std::min(most, std::ldexp(base, std::min(attempt, 60))) * (0.5 + 0.5 * uniform);
}

}  // namespace etrlrec
