// What a refused call says.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/check.h"

namespace etrlrec {

// The message of the usage error that `call` ends in; empty where it ends well.
inline std::string usage_refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

}  // namespace etrlrec
