// The only way to fail: one exception type that says thing, expected, actual and hint, and carries
// the exit code. It is caught in main (one message on stderr) and nowhere else in the program.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace etrlrec {

// Exit codes of the program (docs/formats.md); values are part of the interface.
enum class ExitCode : int {
  kDone = 0,
  kFailure = 1,
  kUsage = 2,
  kInput = 3,
  kModel = 4,
  kMemory = 5,
  kNumbers = 6,
  kTeacher = 7,
  kGate = 8,
  kResumable = 75,
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::kFailure)
      : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// fail(ExitCode::kInput, "{}:{}: expected {} fields, found {}", path, line, expected, found)
template <typename... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...), code);
}

}  // namespace etrlrec

// CHECK(rank > 0, kUsage, "--lora-r: expected a positive rank, found {}", rank);
#undef CHECK  // LibTorch has a macro of this name; its headers come first, in the precompiled one
#define CHECK(condition, code, ...)                                            \
  do {                                                                         \
    if (!(condition)) ::etrlrec::fail(::etrlrec::ExitCode::code, __VA_ARGS__); \
  } while (false)
