// UTF-8 against a decoder written out from the table of well-formed sequences (Unicode 15, table
// 3-7).
#include <gtest/gtest.h>

#include "base/rng.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

size_t length_by_table(std::string_view text) {
  const auto in = [&](size_t i, unsigned low, unsigned high) {
    return i < text.size() && static_cast<unsigned char>(text[i]) >= low &&
           static_cast<unsigned char>(text[i]) <= high;
  };
  const auto tail = [&](size_t i) { return in(i, 0x80, 0xBF); };
  if (in(0, 0x00, 0x7F)) return 1;
  if (in(0, 0xC2, 0xDF)) return tail(1) ? 2 : 0;
  if (in(0, 0xE0, 0xE0)) return in(1, 0xA0, 0xBF) && tail(2) ? 3 : 0;
  if (in(0, 0xED, 0xED)) return in(1, 0x80, 0x9F) && tail(2) ? 3 : 0;
  if (in(0, 0xE1, 0xEF)) return tail(1) && tail(2) ? 3 : 0;
  if (in(0, 0xF0, 0xF0)) return in(1, 0x90, 0xBF) && tail(2) && tail(3) ? 4 : 0;
  if (in(0, 0xF1, 0xF3)) return tail(1) && tail(2) && tail(3) ? 4 : 0;
  if (in(0, 0xF4, 0xF4)) return in(1, 0x80, 0x8F) && tail(2) && tail(3) ? 4 : 0;
  return 0;
}

// Bytes at the borders of the table, so that random texts meet all of its rows.
std::string random_text(Rng& rng) {
  static constexpr unsigned char kBytes[] = {'a',  0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                             0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEE,
                                             0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF, 0x00};
  std::string text;
  for (uint64_t i = rng.below(24); i > 0; --i)
    text += static_cast<char>(kBytes[rng.below(std::size(kBytes))]);
  return text;
}

TEST(Utf8, lengths_follow_the_table_for_any_bytes) {
  EXPECT_EQ(utf8_length(""), 0u);
  for (int a = 0; a < 256; ++a)
    for (int b = 0; b < 256; ++b) {
      const std::string text{static_cast<char>(a), static_cast<char>(b), '\x80', '\xBF'};
      ASSERT_EQ(utf8_length(text), length_by_table(text)) << a << " " << b;
      ASSERT_EQ(utf8_length(text.substr(0, 2)), length_by_table(text.substr(0, 2)));
    }
}

TEST(Utf8, the_valid_prefix_ends_at_the_first_bad_byte) {
  Rng rng(1, "test/utf8");
  for (int i = 0; i < 20000; ++i) {
    const std::string text = random_text(rng);
    size_t valid = 0;
    while (valid < text.size() && length_by_table(std::string_view(text).substr(valid)) > 0)
      valid += length_by_table(std::string_view(text).substr(valid));
    ASSERT_EQ(valid_utf8_length(text), valid);
    ASSERT_EQ(is_utf8(text), valid == text.size());
    ASSERT_TRUE(is_utf8(to_utf8(text)));
  }
  EXPECT_EQ(valid_utf8_length(std::string(40, 'a') + "\xFF"), 40u);
}

TEST(Utf8, counts_and_cuts_whole_characters) {
  const std::string text = "a\u00e9\u20ac\U0001f600z";  // 1, 2, 3, 4 and 1 bytes
  EXPECT_EQ(code_points(text), 5u);
  EXPECT_EQ(first_code_points(text, 3), "a\u00e9\u20ac");
  EXPECT_EQ(first_code_points(text, 9), text);
  EXPECT_EQ(first_code_points(text, 0), "");
  const std::vector<size_t> cuts = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (size_t bytes = 0; bytes < cuts.size(); ++bytes)
    EXPECT_EQ(cut_utf8(text, bytes).size(), cuts[bytes]) << bytes;
}

TEST(Utf8, cutting_any_bytes_stays_in_bounds_and_close_to_them) {
  Rng rng(2, "test/utf8");
  for (int i = 0; i < 20000; ++i) {
    const std::string text = random_text(rng);
    const size_t bytes = rng.below(26);
    const size_t left = cut_utf8(text, bytes).size();
    ASSERT_LE(left, std::min(bytes, text.size()));
    ASSERT_GE(left + 3, std::min(bytes, text.size()));
  }
}

TEST(Utf8, other_bytes_are_read_as_windows_1252) {
  EXPECT_EQ(to_utf8("caf\xe9"), "caf\u00e9");
  EXPECT_EQ(to_utf8("caf\u00e9"), "caf\u00e9");
  EXPECT_EQ(windows1252_to_utf8("\xff"), "\u00ff");
  EXPECT_EQ(windows1252_to_utf8("Amber\x92s \x96 \x80"), "Amber’s – €");
  EXPECT_EQ(windows1252_to_utf8("\x81"), "\u0081");
}

}  // namespace
}  // namespace etrlrec
