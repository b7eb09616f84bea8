#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"
#include "method/prepare_words.h"

namespace etrlrec {
namespace {

std::string refusal(const std::function<void(PrepareWords&)>& change) {
  PrepareWords words;
  change(words);
  try {
    prepare_options(words, 42);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

TEST(PrepareWords, without_words_the_options_are_the_defaults) {
  const PrepareOptions options = prepare_options({}, 42);
  EXPECT_EQ(options.reader.format, "auto");
  EXPECT_FALSE(options.world);
  EXPECT_FALSE(options.filters.min_rating);
  EXPECT_FALSE(options.reader.log_table.header);
  EXPECT_EQ(options.split.kind, SplitKind::kGlobalTime);
  EXPECT_EQ(options.split.valid_quantile, 0.8);
  EXPECT_EQ(options.test.min_history, 1);
}

TEST(PrepareWords, a_log_is_read_as_the_words_say) {
  PrepareWords words;
  words.input = "log.tsv";
  words.map = {"user=cust", "time=a=b"};
  words.delimiter = "tab";
  words.header = "off";
  words.quoting = "on";
  words.min_rating = 3;
  words.min_test_history = 4;
  const PrepareOptions options = prepare_options(words, 42);
  EXPECT_EQ(options.input, "log.tsv");
  EXPECT_EQ(options.reader.map.at("user"), "cust");
  EXPECT_EQ(options.reader.map.at("time"), "a=b");
  EXPECT_EQ(options.reader.log_table.delimiter, "\t");
  EXPECT_EQ(options.reader.log_table.header, false);
  EXPECT_EQ(options.reader.log_table.quoting, true);
  EXPECT_EQ(options.filters.min_rating, 3.0F);
  EXPECT_EQ(options.valid.min_history, 4);
  EXPECT_EQ(options.test.min_history, 4);
}

TEST(PrepareWords, a_world_gets_the_seed_of_the_run) {
  PrepareWords words;
  words.format = "synthetic";
  words.world.users = 7;
  const PrepareOptions options = prepare_options(words, 5);
  ASSERT_TRUE(options.world);
  EXPECT_EQ(options.world->users, 7);
  EXPECT_EQ(options.world->seed, 5U);
  EXPECT_EQ(options.split.seed, 5U);
  EXPECT_EQ(options.candidates.seed, 5U);
  EXPECT_FALSE(options.train.kind);
  words.train_negatives = "alive";
  EXPECT_EQ(prepare_options(words, 5).train.kind, CandidateKind::kAlive);
}

TEST(PrepareWords, a_cut_is_a_quantile_or_a_date) {
  PrepareWords words;
  words.valid = "0.5";
  words.test = "1970-01-02";
  const SplitOptions split = prepare_options(words, 42).split;
  EXPECT_EQ(split.valid_quantile, 0.5);
  EXPECT_FALSE(split.valid_time);
  EXPECT_EQ(split.test_time, 86400);
}

TEST(PrepareWords, refuses_words_without_a_meaning) {
  for (const char* pair : {"user", "=cust", "user="})
    EXPECT_EQ(refusal([&](PrepareWords& words) { words.map = {pair}; }),
              fmt::format("--map: expected role=column, found \"{}\"", pair));
  for (const char* cut : {"0", "1.5", "-1"})
    EXPECT_EQ(refusal([&](PrepareWords& words) { words.valid = cut; }),
              fmt::format("--valid: expected a quantile in (0, 1] or a date, found {}", cut));
  EXPECT_EQ(refusal([](PrepareWords& words) { words.test = "soon"; }),
            "--test: expected a quantile in (0, 1] or a date like 2024-05-01, found \"soon\"");
  EXPECT_EQ(refusal([](PrepareWords& words) {
              words.ratio = {0.5, 0.5};
            }),
            "--ratio: expected three shares, found 2");
  EXPECT_NE(refusal([](PrepareWords& words) { words.split = "random"; }), "");
  EXPECT_NE(refusal([](PrepareWords& words) { words.candidates = "best"; }), "");
}

}  // namespace
}  // namespace etrlrec
