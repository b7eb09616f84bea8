#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/sha256.h"

namespace etrlrec {
namespace {

class TemporaryFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fmt::format("etrlrec-io-{}",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

using Io = TemporaryFolder;

TEST_F(Io, sha256_matches_published_vectors) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(Io, lines_drop_both_line_ends_and_are_numbered_from_one) {
  write_file_atomic(folder_ / "a.txt", "one\r\ntwo\n\nlast");
  std::vector<std::string> lines;
  for_each_line(folder_ / "a.txt", [&](std::string_view line, int64_t number) {
    lines.push_back(fmt::format("{}:{}", number, line));
  });
  EXPECT_EQ(lines, (std::vector<std::string>{"1:one", "2:two", "3:", "4:last"}));
}

TEST_F(Io, atomic_write_replaces_the_whole_content) {
  write_file_atomic(folder_ / "a.txt", "a long old content");
  write_file_atomic(folder_ / "a.txt", "new");
  EXPECT_EQ(read_file(folder_ / "a.txt"), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(Io, missing_file_is_an_input_error_that_names_it) {
  try {
    read_file(folder_ / "absent.txt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    EXPECT_NE(std::string(error.what()).find("absent.txt"), std::string::npos);
  }
}

TEST_F(Io, file_above_the_limit_is_refused) {
  write_file_atomic(folder_ / "a.txt", "12345");
  EXPECT_THROW(read_file(folder_ / "a.txt", 4), Error);
}

TEST_F(Io, folder_appears_only_at_commit) {
  FolderWriter writer(folder_ / "result");
  write_file_atomic(writer.path() / "a.txt", "x");
  EXPECT_FALSE(fs::exists(folder_ / "result"));
  writer.commit();
  EXPECT_EQ(read_file(folder_ / "result" / "a.txt"), "x");
}

TEST_F(Io, abandoned_folder_leaves_nothing_behind) {
  { FolderWriter writer(folder_ / "result"); }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Io, existing_result_is_not_overwritten_unless_asked) {
  fs::create_directories(folder_ / "result");
  write_file_atomic(folder_ / "result" / "old.txt", "x");
  EXPECT_THROW(FolderWriter(folder_ / "result"), Error);
  FolderWriter writer(folder_ / "result", true);
  write_file_atomic(writer.path() / "new.txt", "y");
  EXPECT_TRUE(fs::exists(folder_ / "result" / "old.txt"));
  writer.commit();
  EXPECT_FALSE(fs::exists(folder_ / "result" / "old.txt"));
  EXPECT_EQ(read_file(folder_ / "result" / "new.txt"), "y");
}

// What a process killed in the middle of a write leaves behind goes with the next write to the same
// target; the temporary names of living processes and other files stay.
TEST_F(Io, leftovers_of_killed_processes_are_removed) {
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderWriter writer(folder_ / "result");
    write_file_atomic(writer.path() / "a.txt", "half");
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  const fs::path left = folder_ / fmt::format(".result.tmp-{}", child);
  const fs::path living = folder_ / ".result.tmp-1", other = folder_ / ".result.tmp-x";
  write_file_atomic(living, "");
  write_file_atomic(other, "");
  ASSERT_TRUE(fs::exists(left / "a.txt"));
  FolderWriter writer(folder_ / "result");
  writer.commit();
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(living));
  EXPECT_TRUE(fs::exists(other));
}

TEST_F(Io, a_folder_in_use_is_refused_until_it_is_left) {
  const auto refusal = [&](const fs::path& path) {
    try {
      const ExclusiveUse use(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      return std::string(error.what());
    }
    return std::string();
  };
  {
    const ExclusiveUse use(folder_);
    EXPECT_NE(refusal(folder_).find("another process is at work there"), std::string::npos);
    fs::create_directories(folder_ / "inside");
    EXPECT_EQ(refusal(folder_ / "inside"), "");
  }
  EXPECT_EQ(refusal(folder_), "");
  // A killed process holds nothing.
  const pid_t child = ::fork();
  if (child == 0) {
    const ExclusiveUse use(folder_);
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(folder_), "");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
  EXPECT_THROW(ExclusiveUse(folder_ / "nothing"), Error);
}

TEST_F(Io, deep_json_is_refused) {
  EXPECT_THROW(parse_json(std::string(5000, '['), "test"), Error);
}

TEST_F(Io, json_getter_names_key_and_document) {
  const Json value = parse_json(R"({"a": "text"})", "config.json");
  EXPECT_EQ(get<std::string>(value, "a", "config.json"), "text");
  EXPECT_EQ(get_or<int64_t>(value, "b", 7, "config.json"), 7);
  EXPECT_THROW(get<int64_t>(value, "a", "config.json"), Error);
  EXPECT_THROW(get<int64_t>(value, "b", "config.json"), Error);
}

}  // namespace
}  // namespace etrlrec
