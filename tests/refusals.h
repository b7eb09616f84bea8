// Something that must be refused, and how.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/check.h"

namespace etrlrec {

// Runs something that must be refused, with a message that says `what`.
inline void refuses(const std::function<void()>& run, ExitCode code, const std::string& what) {
  try {
    run();
    ADD_FAILURE() << "expected an Error: " << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
}

}  // namespace etrlrec
