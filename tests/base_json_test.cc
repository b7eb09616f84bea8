// Typed getters: a number that the C++ type does not hold is an error, never another number.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace etrlrec {
namespace {

template <typename T>
T value_of(const std::string& text) {
  return get<T>(parse_json(R"({"key":)" + text + "}", "test"), "key", "test");
}

template <typename T>
void expect_refused(const std::string& text) {
  try {
    value_of<T>(text);
    FAIL() << text << " was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    EXPECT_NE(std::string(error.what()).find("key \"key\""), std::string::npos) << error.what();
  }
}

TEST(Json, whole_numbers_are_taken_in_any_notation) {
  EXPECT_EQ(value_of<int32_t>("7"), 7);
  EXPECT_EQ(value_of<int64_t>("1e6"), 1'000'000);
  EXPECT_EQ(value_of<int64_t>("4096.0"), 4096);
  EXPECT_EQ(value_of<int64_t>("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(value_of<uint64_t>("18446744073709551615"), std::numeric_limits<uint64_t>::max());
}

TEST(Json, numbers_that_the_integer_does_not_hold_are_refused) {
  for (const char* text : {"2147483648", "-2147483649", "6.77778e57", "1.5", "true", "\"7\""})
    expect_refused<int32_t>(text);
  for (const char* text : {"9223372036854775808", "9.3e18", "-1e300"})
    expect_refused<int64_t>(text);
  for (const char* text : {"-1", "-1.0", "1e20"}) expect_refused<uint64_t>(text);
  for (const char* text : {"1", "0", "null"}) expect_refused<bool>(text);
}

TEST(Json, numbers_inside_lists_and_maps_are_looked_at_too) {
  EXPECT_EQ(value_of<std::vector<int32_t>>("[1,2]"), (std::vector<int32_t>{1, 2}));
  expect_refused<std::vector<int32_t>>("[1,6.7e57]");
  expect_refused<std::vector<float>>("[1e39]");
  expect_refused<std::vector<int32_t>>(R"({"a":1})");
  using Window = std::map<std::string, std::pair<double, int64_t>>;
  EXPECT_EQ(value_of<Window>(R"({"loss":[0.5,3]})"), (Window{{"loss", {0.5, 3}}}));
  expect_refused<Window>(R"({"loss":[0.5,3.5]})");
  expect_refused<Window>(R"({"loss":[0.5]})");
}

}  // namespace
}  // namespace etrlrec
