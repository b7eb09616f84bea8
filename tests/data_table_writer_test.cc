// Tables of results: what is written is what the readers read, in every format.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "data/table_sniff.h"
#include "data/table_stream.h"
#include "data/table_writer.h"

namespace etrlrec {
namespace {

class TableWriters : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("etrlrec_tables_{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Two rows; a title with everything that a delimited file has to quote.
  fs::path write(const std::string& name, bool commit = true) const {
    const auto table = new_table_writer(folder_ / name, {{"user_id", ColumnType::kText},
                                                         {"rank", ColumnType::kInteger},
                                                         {"title", ColumnType::kText},
                                                         {"score", ColumnType::kFloat}});
    table->write(std::vector<Cell>{std::string_view("u1"), int64_t{1},
                                   std::string_view("Good, \"Bad\" & Ugly"), 0.25f});
    table->write(
        std::vector<Cell>{std::string_view("ü2"), int64_t{12}, std::string_view("Amélie"), 1e-7f});
    if (commit) table->commit();
    return folder_ / name;
  }
  fs::path folder_;
};

TEST_F(TableWriters, write_what_the_readers_read) {
  for (const char* name : {"t.csv", "t.jsonl", "t.parquet"}) {
    const TableInfo info = sniff_table(write(name), {});
    std::vector<int32_t> columns;
    for (const char* column : {"user_id", "rank", "title", "score"}) {
      const auto found = std::find(info.columns.begin(), info.columns.end(), column);
      ASSERT_NE(found, info.columns.end()) << name << column;
      columns.push_back(static_cast<int32_t>(found - info.columns.begin()));
    }
    std::vector<std::vector<std::string>> rows;
    read_table(
        info, columns,
        [&](int64_t, std::span<const std::string_view> values) {
          rows.emplace_back(values.begin(), values.end());
        },
        [](int64_t line, const std::string& reason, std::string_view) {
          ADD_FAILURE() << line << reason;
        });
    ASSERT_EQ(rows.size(), 2u) << name;
    EXPECT_EQ(rows[0], (std::vector<std::string>{"u1", "1", "Good, \"Bad\" & Ugly", "0.25"}));
    EXPECT_EQ(rows[1][0], "ü2");
    EXPECT_EQ(rows[1][2], "Amélie");
    EXPECT_EQ(std::stof(rows[1][3]), 1e-7f) << name;
  }
}

TEST_F(TableWriters, leave_nothing_behind_without_a_commit) {
  for (const char* name : {"t.csv", "t.jsonl", "t.parquet"}) write(name, false);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(TableWriters, refuse_other_endings) {
  for (const char* name : {"t.xlsx", "t", "t.csv.gz"}) {
    try {
      check_table_name(folder_ / name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      EXPECT_NE(std::string(error.what()).find(".parquet"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace etrlrec
