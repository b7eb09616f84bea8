// The main function of the test programs. --isa=base|avx2|avx512|avx512_bf16 limits all kernels to
// an instruction set, so that one machine tests what others run. --room=NAME runs the tests of one
// room (files NAME_..._test.cc), --part=quick|golden|slow one part of them: slow are the tests that
// tests/slow_tests.txt names, golden the other suites whose name holds "Golden", quick the rest.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/check.h"
#include "kernels/simd.h"

namespace etrlrec {
namespace {

// Lines "Suite.name  why it takes long"; '#' begins a comment.
std::set<std::string> slow_tests() {
  std::ifstream file(std::string(ETRLREC_SOURCE_DIR) + "/tests/slow_tests.txt");
  CHECK(file.good(), kInput, "tests/slow_tests.txt: cannot be read");
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#') names.insert(line.substr(0, line.find(' ')));
  return names;
}

std::string part_of(const testing::TestInfo& test, const std::set<std::string>& slow) {
  const std::string suite = test.test_suite_name();
  if (slow.contains(suite + "." + test.name())) return "slow";
  return suite.find("Golden") != std::string::npos ? "golden" : "quick";
}

// The filter of GoogleTest that picks a part of a room; empty: all parts, all rooms.
std::string filter_of(const std::string& room, const std::string& part) {
  CHECK(part.empty() || part == "quick" || part == "golden" || part == "slow", kUsage,
        "--part: expected quick, golden or slow, found {}", part);
  const std::set<std::string> slow = slow_tests();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  std::string filter;
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    const testing::TestSuite& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const testing::TestInfo& test = *suite.GetTestInfo(t);
      const std::string file = std::filesystem::path(test.file()).filename().string();
      if (!room.empty() && !file.starts_with(room + "_")) continue;
      if (part.empty() || part_of(test, slow) == part)
        filter += fmt::format("{}.{}:", suite.name(), test.name());
    }
  }
  CHECK(!filter.empty(), kUsage, "no test in room \"{}\", part \"{}\"", room, part);
  return filter;
}

void apply(int argc, char** argv) {
  std::string room, part;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::string value = argument.substr(std::min(argument.find('=') + 1, argument.size()));
    if (argument.starts_with("--isa=")) {
      simd::set_isa(simd::parse_isa(value));
    } else if (argument.starts_with("--room=")) {
      room = value;
    } else if (argument.starts_with("--part=")) {
      part = value;
    } else {
      fail(ExitCode::kUsage,
           "expected --isa=NAME, --room=NAME, --part=NAME or an option of GoogleTest, found {}",
           argument);
    }
  }
  if (!room.empty() || !part.empty()) GTEST_FLAG_SET(filter, filter_of(room, part));
}

}  // namespace
}  // namespace etrlrec

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    etrlrec::apply(argc, argv);
  } catch (const etrlrec::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return static_cast<int>(error.code());
  }
  return RUN_ALL_TESTS();
}
