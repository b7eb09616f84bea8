// Inputs that people have brought and that were once misread. They may not be copied into the
// project: without ../shared/cases these tests skip. data_times_test.cc and data_tables_test.cc
// have the rules behind them.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/check.h"
#include "data/calendar.h"
#include "data/readers.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;
const fs::path kCases = fs::path(ETRLREC_SOURCE_DIR) / "../shared/cases";

class Cases : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kCases)) GTEST_SKIP() << kCases << " is not there";
  }
  ReadResult read(const std::string& log, const std::string& items = "") {
    if (!items.empty()) options_.items = kCases / items;
    return read_log(kCases / log, options_);
  }
  std::string error_of(const std::string& log) {
    try {
      read(log);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  ReaderOptions options_;
};

std::pair<std::string, std::string> span_of(const ReadResult& result) {
  const auto& times = result.dataset.times;
  const auto [first, last] = std::minmax_element(times.begin(), times.end());
  return {format_iso_time(*first), format_iso_time(*last)};
}

std::vector<std::string> attributes_of(const ReadResult& result, int64_t item) {
  std::vector<std::string> names;
  for (const int32_t a : result.dataset.catalogue.attributes_of(item))
    names.push_back(result.dataset.catalogue.attributes[static_cast<size_t>(a)]);
  return names;
}

TEST_F(Cases, a_stray_quote_costs_one_row) {
  const auto log = read("01-stray-quote/log.csv");
  EXPECT_EQ(log.dataset.num_interactions(), 479);
  ASSERT_EQ(log.report.rejected.size(), 1u);
  EXPECT_EQ(log.report.rejected[0].line, 102);
  options_.attributes = {"genre"};
  const auto items = read("01-stray-quote/log-good.csv", "01-stray-quote/items.csv");
  ASSERT_EQ(items.report.rejected.size(), 1u);
  EXPECT_EQ(items.report.rejected[0].line, 6);
  EXPECT_EQ(items.report.untitled.size(), 1u);
}

TEST_F(Cases, whole_number_dates_are_dates) {
  EXPECT_EQ(span_of(read("02-integer-dates/log.csv")),
            (std::pair<std::string, std::string>{"2014-05-16T00:00:00Z", "2014-08-15T00:00:00Z"}));
}

TEST_F(Cases, common_forms_of_times_are_read) {
  for (const char* name : {"am-pm", "slashes", "utc-word", "weekday-first"}) {
    const auto result = read(std::string("03-time-formats/") + name + ".csv");
    EXPECT_EQ(result.dataset.num_interactions(), 480) << name;
    EXPECT_EQ(span_of(result).first.substr(0, 16), "2014-05-16T19:17") << name;
  }
}

TEST_F(Cases, a_placeholder_in_front_decides_nothing) {
  const auto result = read("04-placeholder-time-first/log.csv");
  EXPECT_EQ(result.dataset.num_interactions(), 480);
  ASSERT_EQ(result.report.rejected.size(), 1u);
  EXPECT_EQ(result.report.rejected[0].line, 2);
}

TEST_F(Cases, python_literals_are_read) {
  options_.map = {{"user", "username"}, {"item", "product_id"}, {"time", "date"}};
  options_.item_column = "id";
  options_.title = "title";
  options_.attributes = {"genres"};
  const auto result = read("05-python-literals/reviews.json.gz", "05-python-literals/games.json");
  EXPECT_TRUE(result.report.rejected.empty());
  EXPECT_TRUE(result.report.untitled.empty());
  EXPECT_EQ(result.dataset.catalogue.titles[0], "Amber Story 0");
  EXPECT_EQ(attributes_of(result, 0), (std::vector<std::string>{"Action", "Drama"}));
}

TEST_F(Cases, whole_decimals_are_whole_ids) {
  options_.attributes = {"genre"};
  const auto result = read("06-float-ids/log.parquet", "06-float-ids/items.parquet");
  const auto& ids = result.dataset.catalogue.item_ids;
  EXPECT_EQ(result.dataset.catalogue.num_items(), 30);
  EXPECT_TRUE(result.report.untitled.empty());
  for (const char* id : {"100000", "200000", "3000000", "10000000"})
    EXPECT_EQ(std::count(ids.begin(), ids.end(), id), 1) << id;
  const auto& users = result.dataset.user_ids;
  EXPECT_EQ(std::count(users.begin(), users.end(), "1000000"), 1);
}

TEST_F(Cases, quoted_names_in_atomic_files_are_lists) {
  options_.attributes = {"categories"};
  const std::vector<std::string> expected = {"Toys & Games", "Drama Puzzles"};
  EXPECT_EQ(attributes_of(read("07-recbole-lists"), 0), expected);
  options_.attribute_separator = "', '";
  EXPECT_EQ(attributes_of(read("07-recbole-lists"), 0), expected);
}

TEST_F(Cases, atomic_files_may_be_compressed) {
  const auto folder = read("08-recbole-compressed");
  EXPECT_EQ(folder.report.format, "recbole");
  EXPECT_EQ(folder.dataset.num_interactions(), 480);
  EXPECT_TRUE(folder.report.untitled.empty());
  EXPECT_EQ(read("08-recbole-compressed/shop.inter.gz").dataset.num_interactions(), 480);
}

TEST_F(Cases, a_guessed_rating_rejects_nothing) {
  const auto result = read("10-rating-not-needed/log.csv");
  EXPECT_EQ(result.dataset.num_interactions(), 480);
  EXPECT_TRUE(result.dataset.ratings.empty());
  ASSERT_EQ(result.report.warnings.size(), 1u);
  options_.need_rating = true;
  EXPECT_EQ(read("10-rating-not-needed/log.csv").report.rejected.size(), 320u);
}

TEST_F(Cases, words_for_nothing_are_no_ids_titles_or_attributes) {
  options_.attributes = {"genre"};
  const auto result = read("11-null-words/log.csv", "11-null-words/items.csv");
  for (const std::string& user : result.dataset.user_ids)
    EXPECT_TRUE(user.starts_with('u')) << user;
  EXPECT_EQ(result.report.untitled.size(), 15u);
  EXPECT_FALSE(result.report.rejected.empty());
  const auto& names = result.dataset.catalogue.attributes;
  EXPECT_EQ(std::count(names.begin(), names.end(), "nan"), 0);
}

TEST_F(Cases, windows_1252_is_read) {
  const auto result = read("12-windows-1252/log.csv", "12-windows-1252/items.csv");
  EXPECT_EQ(result.dataset.catalogue.titles[0], "Amber’s Tale – €0");
  EXPECT_EQ(result.report.items->encoding, "Windows-1252");
}

TEST_F(Cases, quotes_in_tab_separated_catalogues_are_taken_off) {
  const auto result = read("13-quoted-tsv-catalogue/log.csv", "13-quoted-tsv-catalogue/items.tsv");
  EXPECT_EQ(result.dataset.catalogue.titles[0], "The \"Amber Story 0\"");
}

TEST_F(Cases, titles_inside_the_log_are_taken) {
  options_.map = {{"user", "customer_id"}, {"item", "sku"}, {"time", "ts"}};
  options_.title = "name";
  options_.attributes = {"category"};
  const std::string log = "24-titles-inside-the-log/log.csv";
  for (const std::string& items : {std::string(), log}) {
    const auto result = read(log, items);
    EXPECT_TRUE(result.report.untitled.empty());
    ASSERT_EQ(result.report.rejected.size(), 13u) << "repeats of an item are none";
    for (const auto& row : result.report.rejected) EXPECT_EQ(row.reason, "empty item id");
    const auto& catalogue = result.dataset.catalogue;
    const auto s9 = std::find(catalogue.item_ids.begin(), catalogue.item_ids.end(), "s9");
    const auto index = s9 - catalogue.item_ids.begin();
    EXPECT_EQ(catalogue.titles[static_cast<size_t>(index)], "Juniper Story 9");
    EXPECT_EQ(attributes_of(result, index), std::vector<std::string>{"Comedy"});
  }
  options_.strict = true;
  EXPECT_NE(error_of(log).find("log.csv:51: empty item id (13 bad rows"), std::string::npos);
}

}  // namespace
}  // namespace etrlrec
