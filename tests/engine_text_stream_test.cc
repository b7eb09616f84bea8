// Text of generated ids: whole characters, stop strings across token boundaries.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/check.h"
#include "base/rng.h"
#include "engine/text_stream.h"

namespace etrlrec {
namespace {

// Ids are indices into a table of byte strings.
class TableTokenizer final : public Tokenizer {
 public:
  explicit TableTokenizer(std::vector<std::string> table) : table_(std::move(table)) {}
  int64_t vocab_size() const override { return static_cast<int64_t>(table_.size()); }
  std::vector<int64_t> encode(std::string_view) const override { return {}; }
  std::string decode(std::span<const int64_t> ids) const override {
    std::string text;
    for (int64_t id : ids) text += table_.at(static_cast<size_t>(id));
    return text;
  }
  int64_t special_id(std::string_view) const override { return 0; }
  std::vector<std::string> added_token_names() const override { return {}; }
  int64_t eos_id() const override { return 0; }

 private:
  std::vector<std::string> table_;
};

const TableTokenizer kBytes([] {
  std::vector<std::string> table;
  for (int byte = 0; byte < 256; ++byte) table.emplace_back(1, static_cast<char>(byte));
  return table;
}());

std::vector<int64_t> bytes_of(const std::string& text) {
  std::vector<int64_t> ids;
  for (unsigned char c : text) ids.push_back(c);
  return ids;
}

std::vector<std::string> pushes(const std::string& text, std::vector<std::string> stop) {
  TextStream stream(kBytes, std::move(stop), {});
  std::vector<std::string> out;
  for (int64_t id : bytes_of(text)) out.push_back(stream.push(id));
  out.push_back(stream.finish());
  return out;
}

TEST(TextStream, never_gives_a_part_of_a_character) {
  EXPECT_EQ(pushes("a\u00e9\u20ac\U0001F600b", {}),
            (std::vector<std::string>{"a", "", "\u00e9", "", "", "\u20ac", "", "", "", "\U0001F600",
                                      "b", ""}));
}

TEST(TextStream, marks_bytes_that_are_no_text) {
  EXPECT_EQ(pushes("a\x80z", {}), (std::vector<std::string>{"a", "\uFFFD", "z", ""}));
  EXPECT_EQ(pushes("\xE2\x82z", {}), (std::vector<std::string>{"", "", "\uFFFDz", ""}));
  EXPECT_EQ(pushes("\xF0\x9F", {}), (std::vector<std::string>{"", "", "\uFFFD"}));
  EXPECT_EQ(pushes("\xE2\xE2\x82\xAC", {}),
            (std::vector<std::string>{"", "\uFFFD", "", "\u20ac", ""}));
  EXPECT_EQ(pushes("\xC0\xFF", {}), (std::vector<std::string>{"\uFFFD", "\uFFFD", ""}));
}

TEST(TextStream, holds_back_what_may_become_a_stop_string) {
  EXPECT_EQ(pushes("xSTxSTOPy", {"STOP"}),
            (std::vector<std::string>{"x", "", "", "STx", "", "", "", "", "", ""}));
  EXPECT_EQ(pushes("aab", {"aac"}), (std::vector<std::string>{"", "", "aab", ""}));
  EXPECT_EQ(pushes("ST", {"STOP"}), (std::vector<std::string>{"", "", "ST"}));
}

TEST(TextStream, cuts_at_the_earliest_stop_string) {
  const std::vector<std::string> table{"<eos>", "Hello", " wor", "ld\nUs", "er:", " \u20ac"};
  const TableTokenizer tokenizer(table);
  const std::vector<int64_t> ids{1, 2, 3, 4, 1, 0};
  EXPECT_EQ(completion_text(tokenizer, ids, {"\nUser:", "ld"}, {0}), "Hello wor");
  EXPECT_EQ(completion_text(tokenizer, ids, {"\nUser:"}, {0}), "Hello world");
  EXPECT_EQ(completion_text(tokenizer, ids, {"none"}, {0}), "Hello world\nUser:Hello");
  EXPECT_EQ(completion_text(tokenizer, ids, {}, {}), "Hello world\nUser:Hello<eos>");
}

// Random texts over few letters: the stream, the predicate and the plain search agree.
TEST(TextStream, agrees_with_a_plain_search) {
  const TableTokenizer tokenizer({"a", "b", "ab", "\u20ac", "ba", "aab", "\xE2\x82", "\xAC"});
  Rng rng(2, "stops");
  int stopped = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::string> stop;
    for (uint64_t k = rng.below(3); k > 0; --k) {
      std::string one;
      for (uint64_t n = 1 + rng.below(4); n > 0; --n) one += rng.chance(0.5) ? "a" : "b";
      stop.push_back(rng.chance(0.2) ? "\u20ac" + one : one);
    }
    const auto is_complete = stops_at(tokenizer, stop);
    std::vector<int64_t> ids;
    TextStream stream(tokenizer, stop, {});
    std::string streamed;
    for (int t = 0; t < 20 && !stream.is_stopped(); ++t) {
      ids.push_back(static_cast<int64_t>(rng.below(8)));
      streamed += stream.push(ids.back());
      EXPECT_EQ(is_complete(ids), stream.is_stopped());
    }
    streamed += stream.finish();
    std::string text = tokenizer.decode(ids);
    size_t first = std::string::npos;
    for (const std::string& one : stop) first = std::min(first, text.find(one));
    EXPECT_EQ(first != std::string::npos, stream.is_stopped());
    if (streamed.find("\uFFFD") == std::string::npos) {
      EXPECT_EQ(streamed, text.substr(0, first));
    }
    EXPECT_EQ(completion_text(tokenizer, ids, stop, {}), streamed);
    stopped += stream.is_stopped();
  }
  EXPECT_GT(stopped, 500);
}

TEST(TextStream, refuses_empty_stop_strings) {
  EXPECT_THROW(TextStream(kBytes, {""}, {}), Error);
  EXPECT_THROW(stops_at(kBytes, {"a", ""}), Error);
}

}  // namespace
}  // namespace etrlrec
