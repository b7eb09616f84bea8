// What every step of a Jinja rendering shares: where it is, for errors, and how much it may still
// do. A template comes with a model from anywhere, so each kind of growth has a bound, and each
// bound is an error. Internal to text/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/check.h"

namespace etrlrec {

struct JinjaLimits {
  int64_t steps = 20'000'000;           // a node of the tree, an item, 16 bytes of text
  size_t text_bytes = size_t{1} << 25;  // of one text, the result among them
  int depth = 500;                      // of statements, expressions and calls in each other
  int value_depth = 100;                // of lists and dicts in each other
  int64_t range = 100'000;              // items of range(), as Jinja's sandbox has it
};

class JinjaContext {
 public:
  JinjaContext(std::string name, const JinjaLimits& limits)
      : limits(limits), name_(std::move(name)) {}

  // Error (kInput) "name:line: message".
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    fail_with(fmt::format(format, std::forward<Args>(args)...));
  }
  void charge(size_t steps = 1);
  void check_text(size_t bytes) const;  // that a text may be so long
  // Before a text of so many bytes is made.
  void charge_text(size_t bytes);

  const JinjaLimits limits;
  int line = 1;

 private:
  [[noreturn]] void fail_with(const std::string& message) const;

  std::string name_;
  int64_t used_ = 0;
};

}  // namespace etrlrec
