// A log that several threads read in small blocks is the log that one thread reads in one piece.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "base/rng.h"
#include "data/interner.h"
#include "data/readers.h"

namespace etrlrec {
namespace {

// How a log is written, and how often something is wrong with a row.
struct Style {
  const char* name;
  const char* file;
  std::string delimiter;
  const char* end;  // of a line
  double faults;
  bool quotes, dates, last_end;
};

const std::vector<Style> kStyles = {
    {"plain", "log.tsv", "\t", "\n", 0, false, false, true},
    {"faults", "log.tsv", "\t", "\n", 0.1, false, false, true},
    {"no last newline", "log.csv", ",", "\n", 0.1, false, false, false},
    {"carriage returns", "log.csv", ",", "\r\n", 0.1, false, false, true},
    {"quotes", "log.csv", ",", "\n", 0.02, true, false, true},
    {"quotes and carriage returns", "log.csv", ";", "\r\n", 0.02, true, false, false},
    {"pairs", "log.dat", "::", "\n", 0.05, false, false, true},
    {"dates", "log.csv", ",", "\n", 0.05, false, true, true},
    {"objects", "log.jsonl", "", "\n", 0.05, false, false, true},
};

std::string id(const char* letter, Rng& rng) {
  const auto number = rng.below(200);
  if (number == 0) return std::string(letter) + " of a long name that fits no slot";
  if (number == 1) return "caf\xe9";  // Windows-1252
  if (number == 2) return "caf\xc3\xa9";
  return letter + std::to_string(number * number);
}

std::string row(const Style& style, Rng& rng) {
  const std::string& d = style.delimiter;
  std::string time = style.dates ? fmt::format("2014-{:02}-{:02} 10:{:02}:00", 1 + rng.below(12),
                                               1 + rng.below(28), rng.below(60))
                                 : std::to_string(1'400'000'000 + rng.below(5000));
  std::string user = id("u", rng), item = id("i", rng);
  if (rng.uniform() < style.faults) {
    switch (rng.below(9)) {
      case 0:
        return "";
      case 1:
        return d + d + d;
      case 2:
        return user + d + item;
      case 3:
        time = "soon";
        break;
      case 4:
        time = "0";
        break;
      case 5:
        user = " NULL";
        break;
      case 6:
        item =
            "a\x01"
            "b";
        break;
      case 7:
        return user + d + item + d + "4.5";
      default:
        time = "";
        break;
    }
  }
  if (style.delimiter.empty())
    return fmt::format(R"({{"user": "{}", "item": "{}", "time": "{}"}})", user, item, time);
  if (style.quotes && rng.below(50) == 0) {
    switch (rng.below(3)) {
      case 0:
        item = "\"" + item + d + " \"\"2\"\"\"";
        break;
      case 1:
        item = "\"" + item;
        break;  // never closed, or by a later one
      default:
        user = "\"" + user + "\n\"";
    }
  }
  return user + d + item + d + "4.5" + d + time;
}

std::string text_of(const Style& style, uint64_t seed) {
  Rng rng(seed, "reader threads");
  std::string text;
  if (!style.delimiter.empty()) {
    for (const char* name : {"user", "item", "rating"}) text += name + style.delimiter;
    text += std::string("time") + style.end;
  }
  const auto rows = 1 + rng.below(1500);
  for (uint64_t r = 0; r < rows; ++r)
    text += row(style, rng) + (r + 1 < rows || style.last_end ? style.end : "");
  return text;
}

// Everything that reading gives, as text.
std::string all_of(const fs::path& path, int32_t threads, int64_t block_bytes) {
  ReaderOptions options;
  options.threads = threads;
  options.block_bytes = block_bytes;
  try {
    const auto [data, report] = read_log(path, options);
    check_dataset(data, "log");
    std::string text = fmt::format("{} {} {} {} {} {} {}\n", report.log.rows, report.log.blank,
                                   report.log.rejected, report.log.encoding, report.ties,
                                   report.duplicates, report.time_unit);
    for (const auto& warning : report.warnings) text += warning + "\n";
    text += rejected_tsv(report.rejected);
    for (int64_t u = 0; u < data.num_users(); ++u) {
      text += data.user_ids[u] + ":";
      for (int64_t p = data.user_offsets[u]; p < data.user_offsets[u + 1]; ++p)
        text += fmt::format(" {}@{}/{}", data.catalogue.item_ids[data.items[p]], data.times[p],
                            data.ratings.empty() ? -1 : data.ratings[p]);
      text += "\n";
    }
    for (const auto& item : data.catalogue.item_ids) text += item + "\n";
    return text;
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ReaderThreads, read_what_one_thread_reads) {
  const fs::path folder =
      fs::temp_directory_path() / ("etrlrec_reader_threads_" + std::to_string(getpid()));
  fs::create_directories(folder);
  int64_t errors = 0;
  for (const Style& style : kStyles) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      const fs::path path = folder / style.file;
      write_file_atomic(path, text_of(style, seed));
      const std::string one = all_of(path, 1, 1 << 22);
      errors += one.find('@') == std::string::npos;
      for (const int32_t threads : {2, 5})
        for (const int64_t bytes : {64, 1000})
          ASSERT_EQ(one, all_of(path, threads, bytes))
              << style.name << ", seed " << seed << ", " << threads << " threads, " << bytes;
    }
  }
  EXPECT_LT(errors, 10) << "most logs must be readable";
  fs::remove_all(folder);
}

TEST(ReaderThreads, several_files_are_one_log) {
  const fs::path folder =
      fs::temp_directory_path() / ("etrlrec_reader_files_" + std::to_string(getpid()));
  fs::create_directories(folder);
  Rng rng(3, "reader files");
  for (const char* part : {"train", "valid", "test"}) {
    std::string text = "user_id:token\titem_id:token\ttimestamp:float\n";
    for (int r = 0; r < 300; ++r)
      text += fmt::format("u{}\ti{}\t{}\n", rng.below(30), rng.below(60),
                          r % 50 == 0 ? "soon" : std::to_string(1'400'000'000 + rng.below(999)));
    write_file_atomic(folder / fmt::format("shop.{}.inter", part), text);
  }
  const std::string one = all_of(folder, 1, 1 << 22);
  EXPECT_NE(one.find('@'), std::string::npos) << one;
  EXPECT_EQ(one, all_of(folder, 4, 100));
  fs::remove_all(folder);
}

TEST(Interner, numbers_strings_by_their_first_appearance) {
  Interner interner;
  EXPECT_EQ(interner.index(""), 0);
  EXPECT_EQ(interner.index(std::string_view("\0", 1)), 1);
  EXPECT_EQ(interner.index("12345678"), 2);
  EXPECT_EQ(interner.index("123456789"), 3);
  for (int i = 0; i < 5000; ++i) {
    EXPECT_EQ(interner.index("a long identifier, number " + std::to_string(i)), 4 + 2 * i);
    EXPECT_EQ(interner.index("s" + std::to_string(i)), 5 + 2 * i);
  }
  EXPECT_EQ(interner.index("123456789"), 3);
  EXPECT_EQ(interner.index(""), 0);
  EXPECT_EQ(interner.size(), 10004);
  EXPECT_EQ(interner.text(1), std::string_view("\0", 1));
  EXPECT_EQ(interner.text(5 + 2 * 4999), "s4999");
  EXPECT_EQ(interner.index("s4999"), 5 + 2 * 4999);
}

}  // namespace
}  // namespace etrlrec
