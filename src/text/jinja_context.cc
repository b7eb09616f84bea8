#include "text/jinja_context.h"

namespace etrlrec {

void JinjaContext::fail_with(const std::string& message) const {
  etrlrec::fail(ExitCode::kInput, "{}:{}: {}", name_, line, message);
}

void JinjaContext::charge(size_t steps) {
  if (steps < static_cast<size_t>(limits.steps)) {
    used_ += static_cast<int64_t>(steps);
    if (used_ <= limits.steps) return;
  }
  fail("the template takes more than {} steps", limits.steps);
}

void JinjaContext::check_text(size_t bytes) const {
  if (bytes > limits.text_bytes)
    fail("expected a text of at most {} bytes, found {}", limits.text_bytes, bytes);
}

void JinjaContext::charge_text(size_t bytes) {
  check_text(bytes);
  charge(bytes / 16);
}

}  // namespace etrlrec
