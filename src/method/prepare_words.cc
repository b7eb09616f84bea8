#include "method/prepare_words.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "data/time_text.h"

namespace etrlrec {
namespace {

std::optional<bool> tri_state(const std::string& text) {
  if (text == "auto") return std::nullopt;
  return text == "on";
}

TableOptions table_options(const std::string& delimiter, const std::string& header,
                           const std::string& quoting) {
  TableOptions table;
  table.delimiter = delimiter == "tab" ? "\t" : delimiter;
  table.header = tri_state(header);
  table.quoting = tri_state(quoting);
  return table;
}

ReaderOptions reader_options(const PrepareWords& words) {
  ReaderOptions reader = words.prepare.reader;
  reader.format = words.format;
  for (const std::string& pair : words.map) {
    const size_t equals = pair.find('=');
    CHECK(equals != std::string::npos && equals > 0 && equals + 1 < pair.size(), kUsage,
          "--map: expected role=column, found \"{}\"", pair);
    reader.map[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  reader.log_table = table_options(words.delimiter, words.header, words.quoting);
  reader.item_table = table_options(words.items_delimiter, words.items_header, words.items_quoting);
  reader.time.order = words.time == "order";
  reader.need_rating = words.min_rating.has_value();
  return reader;
}

// A number is a quantile, anything else must be a date.
void read_cut(const std::string& text, const char* option, double& quantile,
              std::optional<int64_t>& time) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) {
    CHECK(value > 0 && value <= 1, kUsage, "{}: expected a quantile in (0, 1] or a date, found {}",
          option, text);
    quantile = value;
    return;
  }
  int32_t form = 0;
  const auto date = parse_time_text(text, form);
  CHECK(date && date->order != DayMonth::kEither, kUsage,
        "{}: expected a quantile in (0, 1] or a date like 2024-05-01, found \"{}\"", option, text);
  time = static_cast<int64_t>(date->seconds);
}

SplitOptions split_options(const PrepareWords& words, uint64_t seed) {
  SplitOptions split;
  split.kind = split_kind(words.split);
  split.target = time_target(words.target);
  split.seed = seed;
  read_cut(words.valid, "--valid", split.valid_quantile, split.valid_time);
  read_cut(words.test, "--test", split.test_quantile, split.test_time);
  CHECK(words.ratio.size() == 3, kUsage, "--ratio: expected three shares, found {}",
        words.ratio.size());
  std::copy(words.ratio.begin(), words.ratio.end(), split.ratio.begin());
  return split;
}

}  // namespace

PrepareOptions prepare_options(const PrepareWords& words, uint64_t seed) {
  PrepareOptions options = words.prepare;
  if (words.format == "synthetic") {
    options.world = words.world;
    options.world->seed = seed;
  } else {
    options.input = words.input;
    options.reader = reader_options(words);
  }
  if (words.min_rating) options.filters.min_rating = static_cast<float>(*words.min_rating);
  options.split = split_options(words, seed);
  options.candidates.kind = candidate_kind(words.candidates);
  if (!words.train_negatives.empty()) options.train.kind = candidate_kind(words.train_negatives);
  options.candidates.seed = seed;
  options.valid.min_history = options.test.min_history = words.min_test_history;
  return options;
}

}  // namespace etrlrec
