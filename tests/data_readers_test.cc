#include <arrow/api.h>
#include <arrow/io/api.h>
#include <arrow/util/compression.h>
#include <gtest/gtest.h>
#include <parquet/arrow/writer.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "data/calendar.h"
#include "data/readers.h"
#include "data/time_text.h"

namespace etrlrec {
namespace {

const fs::path kShared = fs::path(ETRLREC_SOURCE_DIR) / "../shared/data";

class Readers : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              (std::string("etrlrec_readers_") + info->name() + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& text) {
    write_file_atomic(folder_ / name, text);
    return folder_ / name;
  }
  fs::path write_compressed(const std::string& name, const std::string& text,
                            arrow::Compression::type type) {
    const auto codec = arrow::util::Codec::Create(type).ValueOrDie();
    const auto file = arrow::io::FileOutputStream::Open((folder_ / name).string()).ValueOrDie();
    const auto out = arrow::io::CompressedOutputStream::Make(codec.get(), file).ValueOrDie();
    EXPECT_TRUE(out->Write(text.data(), static_cast<int64_t>(text.size())).ok());
    EXPECT_TRUE(out->Close().ok());
    return folder_ / name;
  }
  ReadResult read(const std::string& text) { return read_log(write("log.csv", text), options_); }
  std::string error_of(const fs::path& path) {
    try {
      read_log(path, options_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  fs::path folder_;
  ReaderOptions options_;
};

std::vector<std::string> item_names(const Dataset& dataset) {
  std::vector<std::string> names;
  for (const int32_t item : dataset.items) names.push_back(dataset.catalogue.item_ids[item]);
  return names;
}

std::vector<std::string> attribute_names(const Catalogue& catalogue, int64_t item) {
  std::vector<std::string> names;
  for (const int32_t a : catalogue.attributes_of(item)) names.push_back(catalogue.attributes[a]);
  return names;
}

using Strings = std::vector<std::string>;
using Times = std::vector<int64_t>;

TEST_F(Readers, sort_by_user_and_time_and_keep_the_order_of_ties) {
  const auto [dataset, report] = read("user_id,item_id,timestamp\nb,x,9\na,y,5\na,z,5\na,x,2\n");
  EXPECT_EQ(dataset.user_ids, (Strings{"b", "a"}));
  EXPECT_EQ(item_names(dataset), (Strings{"x", "x", "y", "z"}));
  EXPECT_EQ(dataset.times, (Times{9, 2, 5, 5}));
  EXPECT_EQ(dataset.user_offsets, (Times{0, 1, 4}));
  EXPECT_EQ(report.ties, 1);
  EXPECT_EQ(report.time_unit, "seconds");
  EXPECT_EQ(report.untitled.size(), 3u);
  EXPECT_NO_THROW(check_dataset(dataset, "log"));
}

TEST_F(Readers, reject_bad_rows_with_line_and_reason) {
  const auto [dataset, report] = read(
      "user,item,time\n"
      "a,x,1\n"
      "a,x\n"
      "\n"
      ",x,2\n"
      "a,,2\n"
      "a,y,soon\n"
      "a,y,3,4\n"
      "a,y,3\n"
      "a,\xff,4\n");
  EXPECT_EQ(item_names(dataset), (Strings{"x", "y", "\u00ff"})) << "read as Windows-1252";
  EXPECT_EQ(report.log.encoding, "Windows-1252");
  const std::vector<std::pair<int64_t, std::string>> expected = {{3, "expected 3 fields, found 2"},
                                                                 {5, "empty user id"},
                                                                 {6, "empty item id"},
                                                                 {7, "bad time"},
                                                                 {8, "expected 3 fields, found 4"}};
  ASSERT_EQ(report.rejected.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(report.rejected[i].line, expected[i].first);
    EXPECT_EQ(report.rejected[i].reason, expected[i].second);
  }
  EXPECT_EQ(report.rejected[3].text, "a | y | soon");
  EXPECT_EQ(report.log.rejected, 5);
  EXPECT_EQ(report.log.rows, 8);
  EXPECT_EQ(report.log.blank, 1);
  EXPECT_NE(rejected_tsv(report.rejected).find("log.csv\t7\tbad time\ta | y | soon\n"),
            std::string::npos);
}

TEST_F(Readers, line_numbers_hold_across_blocks_of_a_large_file) {
  std::string text = "user\titem\ttime\n";
  for (int i = 0; i < 700000; ++i) {
    text += i % 100000 == 99999 ? "broken\n" : fmt::format("u{}\ti{}\t{}\n", i % 997, i % 89, i);
  }
  const auto [dataset, report] = read(text);
  ASSERT_EQ(report.rejected.size(), 7u);
  for (int k = 0; k < 7; ++k) EXPECT_EQ(report.rejected[k].line, 100001 + 100000 * k);
  EXPECT_EQ(dataset.num_interactions(), 699993);
}

TEST_F(Readers, strict_turns_the_first_bad_row_into_an_error) {
  options_.strict = true;
  const auto path = write("log.csv", "user,item,time\na,x,1\na,y,soon\n");
  EXPECT_NE(error_of(path).find("log.csv:3: bad time"), std::string::npos) << error_of(path);
}

TEST_F(Readers, name_the_columns_and_the_nearest_when_one_is_missing) {
  options_.map = {{"user", "cust"}, {"item", "sku"}, {"time", "tss"}};
  const std::string error = error_of(write("log.csv", "cust,sku,ts\na,x,1\n"));
  EXPECT_NE(error.find("columns: cust, sku, ts"), std::string::npos) << error;
  EXPECT_NE(error.find("did you mean \"ts\"?"), std::string::npos) << error;
}

TEST_F(Readers, read_tables_without_a_header_by_column_number) {
  options_.map = {{"user", "1"}, {"item", "2"}, {"time", "4"}, {"rating", "3"}};
  const auto [dataset, report] = read("a;x;2.5;100\na;y;4;50\n");
  EXPECT_EQ(report.log.table.delimiter, ";");
  EXPECT_FALSE(report.log.table.header);
  EXPECT_EQ(item_names(dataset), (Strings{"y", "x"}));
  EXPECT_EQ(dataset.ratings, (std::vector<float>{4, 2.5}));
}

TEST_F(Readers, tell_the_unit_of_times_by_their_size) {
  const std::vector<std::tuple<std::string, std::string, int64_t>> cases = {
      {"1400000000", "seconds", 1400000000},
      {"1.4e9", "seconds", 1400000000},
      {"1400000000999", "milliseconds", 1400000000},
      {"1400000000999999", "microseconds", 1400000000},
      {"1400000000500000000", "nanoseconds", 1400000000},
      {"2014-05-13", "ISO-8601", 1399939200},
      {"2014-05-13T16:53:20Z", "ISO-8601", 1400000000},
      {"2014-05-13 18:53:20.75+02:00", "ISO-8601", 1400000000}};
  for (const auto& [text, unit, seconds] : cases) {
    const auto [dataset, report] = read("user,item,time\na,x," + text + "\n");
    EXPECT_EQ(report.time_unit, unit) << text;
    EXPECT_EQ(dataset.times, (Times{seconds})) << text;
  }
}

TEST_F(Readers, sort_by_fractions_of_a_second_before_dropping_them) {
  const auto [dataset, report] = read("user,item,time\na,x,1400000000900\na,y,1400000000100\n");
  EXPECT_EQ(item_names(dataset), (Strings{"y", "x"}));
  EXPECT_EQ(report.ties, 0);
}

TEST_F(Readers, drop_and_count_exact_repeats_unless_told_to_keep_them) {
  const std::string text = "user,item,time\na,x,1\na,y,1\na,x,1\na,x,2\n";
  const auto [dataset, report] = read(text);
  EXPECT_EQ(item_names(dataset), (Strings{"x", "y", "x"}));
  EXPECT_EQ(report.duplicates, 1);
  options_.keep_duplicates = true;
  EXPECT_EQ(read(text).dataset.num_interactions(), 4);
}

TEST_F(Readers, join_the_catalogue_with_titles_and_attributes) {
  options_.items = write("items.csv",
                         "item,name,kind,brand\n"
                         "x,\"One, two\",drama|war,Acme\n"
                         "y,\"say \"\"hi\"\"\",,Bolt\n"
                         "x,again,,\n"
                         "w,Unused,comedy,\n");
  options_.attributes = {"kind", "brand"};
  const auto [dataset, report] = read("user,item,time\na,y,1\na,x,2\na,v,3\n");
  EXPECT_EQ(dataset.catalogue.item_ids, (Strings{"x", "y", "w", "v"}));
  EXPECT_EQ(dataset.catalogue.titles, (Strings{"One, two", "say \"hi\"", "Unused", "v"}));
  EXPECT_EQ(attribute_names(dataset.catalogue, 0), (Strings{"drama", "war", "Acme"}));
  EXPECT_EQ(dataset.catalogue.fields, (Strings{"kind", "brand"}));
  EXPECT_EQ(report.untitled, (std::vector<int32_t>{3}));
  ASSERT_EQ(report.rejected.size(), 1u);
  EXPECT_EQ(report.rejected[0].reason, "item id occurs twice");
  EXPECT_EQ(report.rejected[0].line, 4);
}

TEST_F(Readers, count_titles_that_read_the_same) {
  options_.items = write("items.tsv", "item_id\ttitle\nx\tKull (1997)\ny\tkull  (1997)\n");
  EXPECT_EQ(read("user,item,time\na,y,1\na,x,2\n").report.duplicate_titles, 1);
}

TEST_F(Readers, read_compressed_files_whatever_their_name) {
  const std::string text = "user,item,time\na,x,1\na,y,2\n";
  for (const auto type : {arrow::Compression::GZIP, arrow::Compression::ZSTD}) {
    const auto result = read_log(write_compressed("log.csv", text, type), options_);
    EXPECT_EQ(item_names(result.dataset), (Strings{"x", "y"}));
    EXPECT_FALSE(result.report.log.table.compression.empty());
  }
}

TEST_F(Readers, read_json_lines_with_numbers_lists_and_bad_lines) {
  options_.items = write("items.jsonl",
                         "{\"item\":1,\"title\":\"One\",\"tags\":[\"a, b\",\"c\"]}\n"
                         "{\"item\":2,\"title\":\"Two\",\"tags\":null}\n");
  options_.attributes = {"tags"};
  const auto path = write("log.jsonl",
                          "{\"user\":\"u\",\"item\":2,\"time\":5}\n"
                          "{\"user\":\"u\",\"item\":1,\n"
                          "[1]\n"
                          "{\"user\":\"u\",\"item\":1}\n"
                          "{\"user\":\"u\",\"item\":1,\"time\":4.5}\n");
  const auto [dataset, report] = read_log(path, options_);
  EXPECT_EQ(item_names(dataset), (Strings{"1", "2"}));
  EXPECT_EQ(attribute_names(dataset.catalogue, 0), (Strings{"a, b", "c"}));
  ASSERT_EQ(report.rejected.size(), 3u);
  EXPECT_EQ(report.rejected[0].reason, "not a JSON object");
  EXPECT_EQ(report.rejected[1].reason, "not a JSON object");
  EXPECT_EQ(report.rejected[2].reason, "no time");
}

TEST_F(Readers, refuse_a_json_array) {
  EXPECT_NE(error_of(write("log.json", "[{\"user\":1}]")).find("JSON Lines"), std::string::npos);
}

TEST_F(Readers, read_parquet_with_typed_columns) {
  arrow::Int64Builder users;
  arrow::StringBuilder items;
  arrow::TimestampBuilder times(arrow::timestamp(arrow::TimeUnit::MILLI),
                                arrow::default_memory_pool());
  ASSERT_TRUE(users.AppendValues({7, 7, 7}).ok());
  ASSERT_TRUE(items.AppendValues({"x", "y", "z"}).ok());
  ASSERT_TRUE(times.AppendValues({1400000000500, 1300000000000}).ok());
  ASSERT_TRUE(times.AppendNull().ok());
  const auto schema =
      arrow::schema({arrow::field("extra", arrow::int64()), arrow::field("cust", arrow::int64()),
                     arrow::field("sku", arrow::utf8()), arrow::field("ts", times.type())});
  const auto user_array = users.Finish().ValueOrDie();
  const auto table = arrow::Table::Make(
      schema, {user_array, user_array, items.Finish().ValueOrDie(), times.Finish().ValueOrDie()});
  const auto path = folder_ / "log.parquet";
  const auto out = arrow::io::FileOutputStream::Open(path.string()).ValueOrDie();
  ASSERT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), out, 1024).ok());
  ASSERT_TRUE(out->Close().ok());
  options_.map = {{"user", "cust"}, {"item", "sku"}, {"time", "ts"}};
  const auto [dataset, report] = read_log(path, options_);
  EXPECT_EQ(dataset.user_ids, (Strings{"7"}));
  EXPECT_EQ(item_names(dataset), (Strings{"y", "x"}));
  EXPECT_EQ(dataset.times, (Times{1300000000, 1400000000}));
  ASSERT_EQ(report.rejected.size(), 1u);
  EXPECT_EQ(report.rejected[0].line, 3);
}

TEST_F(Readers, refuse_damaged_files) {
  EXPECT_NE(error_of(write("log.parquet", "PAR1 and then nothing of the kind")), "");
  EXPECT_NE(error_of(write("log.gz", "\x1f\x8b\x08 garbage behind the magic")), "");
  EXPECT_NE(error_of(write("empty.csv", "")), "");
  EXPECT_NE(error_of(write("one.csv", "word\nword\n")), "");
  EXPECT_NE(error_of(write("header.csv", "user,item,time\n")), "");
  EXPECT_NE(error_of(folder_ / "missing.csv"), "");
  EXPECT_NE(error_of(folder_).find("recbole (an .inter file)"), std::string::npos);
  options_.format = "table";
  EXPECT_NE(error_of(folder_).find("expected a file, found none"), std::string::npos);
}

TEST_F(Readers, read_movielens_dat_files_with_double_colons_in_titles) {
  write("ratings.dat", "1::10::5::978300760\n1::20::3::978300000\n");
  write("movies.dat", "10::Knossos :: the film (1999)::Drama|War\n20::Caf\xe9 (1998)::Comedy\n");
  const auto [dataset, report] = read_log(folder_, options_);
  EXPECT_EQ(item_names(dataset), (Strings{"20", "10"}));
  EXPECT_EQ(dataset.catalogue.titles, (Strings{"Knossos :: the film (1999)", "Café (1998)"}));
  EXPECT_EQ(attribute_names(dataset.catalogue, 0), (Strings{"Drama", "War"}));
  EXPECT_EQ(report.items->encoding, "Windows-1252");
  EXPECT_TRUE(report.rejected.empty());
}

TEST_F(Readers, read_movielens_csv_files) {
  write("ratings.csv", "userId,movieId,rating,timestamp\n1,10,4.5,978300760\n");
  write("movies.csv", "movieId,title,genres\n10,\"Rose, The (1979)\",(no genres listed)\n");
  const auto [dataset, report] = read_log(folder_, options_);
  EXPECT_EQ(report.format, "movielens ratings.csv");
  EXPECT_EQ(dataset.catalogue.titles, (Strings{"Rose, The (1979)"}));
  EXPECT_TRUE(dataset.catalogue.attribute_ids.empty());
  EXPECT_EQ(dataset.ratings, (std::vector<float>{4.5}));
}

std::optional<double> time_of(std::string_view text) {
  int32_t form = 0;
  const auto time = parse_time_text(text, form);
  return time ? std::optional(time->seconds) : std::nullopt;
}

TEST(ParseTime, refuses_what_is_no_date) {
  for (const char* text :
       {"", "2024", "2024-13-01", "2024-02-30", "2024-01-01T", "2024-01-01T25:00",
        "2024-01-01 10:00x", "2024-01-01T10:00:00+", "24-01-01"}) {
    EXPECT_FALSE(time_of(text)) << text;
  }
  EXPECT_EQ(time_of("1969-12-31T23:59:59Z"), -1);
  EXPECT_EQ(format_iso_time(-1), "1969-12-31T23:59:59Z");
  EXPECT_EQ(format_iso_time(951782400), "2000-02-29T00:00:00Z");
}

// The counts are those of the README beside each data set.
void expect_counts(const ReadResult& result, int64_t users, int64_t items, int64_t interactions) {
  EXPECT_EQ(result.dataset.num_users(), users);
  EXPECT_EQ(result.dataset.catalogue.num_items(), items);
  EXPECT_EQ(result.dataset.num_interactions(), interactions);
  EXPECT_TRUE(result.report.rejected.empty());
  EXPECT_EQ(result.report.duplicates, 0);
  EXPECT_NO_THROW(check_dataset(result.dataset, "data"));
}

TEST(SharedData, movielens_100k_as_published) {
  const fs::path path = kShared / "ml-100k/grouplens";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path;
  const ReadResult result = read_log(path, {});
  expect_counts(result, 943, 1682, 100000);
  const Catalogue& catalogue = result.dataset.catalogue;
  EXPECT_EQ(result.report.duplicate_titles, 18);
  EXPECT_EQ(catalogue.titles[542], "Misérables, Les (1995)");
  EXPECT_EQ(attribute_names(catalogue, 0), (Strings{"Animation", "Children's", "Comedy"}));
  EXPECT_EQ(catalogue.attributes.size(), 18u);
  EXPECT_EQ(result.report.items->encoding, "Windows-1252");
  const auto& times = result.dataset.times;
  EXPECT_EQ(format_iso_time(*std::min_element(times.begin(), times.end())), "1997-09-20T03:05:10Z");
  EXPECT_EQ(format_iso_time(*std::max_element(times.begin(), times.end())), "1998-04-22T23:10:38Z");
  EXPECT_NEAR(static_cast<double>(result.report.ties) / (100000 - 943), 0.51, 0.005);
}

TEST(SharedData, movielens_100k_as_recbole_files_holds_the_same_events) {
  const fs::path path = kShared / "ml-100k/recbole";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path;
  const ReadResult result = read_log(path, {});
  expect_counts(result, 943, 1682, 100000);
  const Catalogue& catalogue = result.dataset.catalogue;
  EXPECT_EQ(catalogue.titles[0], "Toy Story");
  EXPECT_EQ(catalogue.fields, (Strings{"class"}));
  EXPECT_EQ(attribute_names(catalogue, 0), (Strings{"Animation", "Children's", "Comedy"}));
  EXPECT_EQ(result.report.duplicate_titles, 23);
  const Dataset original = read_log(kShared / "ml-100k/grouplens", {}).dataset;
  EXPECT_EQ(result.dataset.items, original.items);
  EXPECT_EQ(result.dataset.times, original.times);
  EXPECT_EQ(result.dataset.ratings, original.ratings);
}

TEST(SharedData, beauty_reads_through_the_table_reader) {
  const fs::path path = kShared / "beauty/derived";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path;
  ReaderOptions options;
  options.items = path / "items.tsv.gz";
  const ReadResult result = read_log(path / "interactions.tsv.gz", options);
  expect_counts(result, 22332, 12086, 198215);
  EXPECT_EQ(result.report.log.table.compression, "gzip");
  EXPECT_NEAR(static_cast<double>(result.report.ties) / (198215 - 22332), 0.439, 0.0005);
  EXPECT_TRUE(result.report.untitled.empty());
}

TEST(SharedData, steam_reads_through_the_table_reader) {
  const fs::path path = kShared / "steam/derived";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path;
  ReaderOptions options;
  options.items = path / "items.tsv.gz";
  const ReadResult result = read_log(path / "interactions.tsv.gz", options);
  expect_counts(result, 10369, 3593, 126824);
  EXPECT_EQ(result.report.duplicate_titles, 0);
  EXPECT_NEAR(static_cast<double>(result.report.ties) / (126824 - 10369), 0.189, 0.0005);
}

}  // namespace
}  // namespace etrlrec
