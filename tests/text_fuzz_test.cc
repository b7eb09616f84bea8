// Hostile tokenizer files and texts: either an Error or a tokenizer that keeps what it encodes.
// Bounded, seeded.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "text/bpe.h"
#include "text/split_patterns.h"
#include "text/tokenizer_folder.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

std::string small_file() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[bytes_to_visible(std::string(1, static_cast<char>(byte)))] = byte;
  vocab["ab"] = 256;
  vocab["abab"] = 257;
  const Json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json split{{"type", "Split"},
                   {"pattern", {{"Regex", split_pattern(PatternKind::kQwen2)}}},
                   {"behavior", "Isolated"}};
  return Json{{"added_tokens", {{{"id", 258}, {"content", "<end>"}}}},
              {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
              {"decoder", {{"type", "ByteLevel"}}},
              {"model", {{"type", "BPE"}, {"merges", {"a b", {"ab", "ab"}}}, {"vocab", vocab}}}}
      .dump();
}

// Overwrites, removes, repeats or swaps in pieces of JSON grammar.
void mutate(std::string& text, Rng& rng) {
  static const std::vector<std::string> parts{
      "null", "-1",   "{}",      "[]",      "\"\"", "1e999", "18446744073709551615", ",", ":",
      "true", "[[[[", "\\ud800", "\"a b\"", "258",  "\xff"};
  const size_t at = rng.below(text.size());
  switch (rng.below(5)) {
    case 0:
      text[at] = static_cast<char>(rng.below(256));
      break;
    case 1:
      text.erase(at, 1 + rng.below(8));
      break;
    case 2:
      text.insert(at, text.substr(rng.below(text.size()), rng.below(16)));
      break;
    case 3:
      text.insert(at, parts[rng.below(parts.size())]);
      break;
    default:
      text.replace(at, 1 + rng.below(4), parts[rng.below(parts.size())]);
  }
}

TEST(TokenizerFuzz, survives_mutated_files) {
  const std::string valid = small_file();
  int accepted = 0, refused = 0, whole = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    Rng rng(7, "file", i);
    std::string text = valid;
    for (uint64_t n = 1 + rng.below(3); n > 0; --n) mutate(text, rng);
    try {
      const auto tokenizer = parse_tokenizer(text, "", "fuzz");
      const std::string sample = "abab 12 <end>\xc3\xa9";
      // A byte whose token was renamed gives none, other settings other texts.
      whole += tokenizer->decode(tokenizer->encode(sample)) == sample;
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(whole, accepted / 2);
  EXPECT_GT(refused, 0);
}

TEST(TokenizerFuzz, keeps_mutated_texts) {
  const auto tokenizer = parse_tokenizer(small_file(), "", "fuzz");
  const std::string base =
      "It's 20 days later:\r\n\r\n  caf\u00e9 \u6c34\U0001F600 don't ABAB\t\u200d\u00a0\u180e x";
  for (uint64_t i = 0; i < 10000; ++i) {
    Rng rng(7, "text", i);
    std::string text = base;
    for (uint64_t n = 1 + rng.below(6); n > 0; --n) mutate(text, rng);
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

// Twin: long pieces are merged by another algorithm than short ones.
TEST(TokenizerFuzz, merges_long_pieces_as_short_ones) {
  BpeMerges merges;
  Rng rng(9, "merges");
  uint32_t next = 3;
  while (merges.size() < 60) {
    const auto left = static_cast<uint32_t>(rng.below(next)),
               right = static_cast<uint32_t>(rng.below(next));
    if (merges.add({left, right, next})) ++next;
  }
  const auto naive =
      [&](std::vector<uint32_t> ids) {  // whole passes, rank by rank, through two-id calls
        for (bool changed = true; changed;) {
          changed = false;
          uint32_t lowest = ~0u;
          size_t at = 0;
          for (size_t i = 0; i + 1 < ids.size(); ++i) {
            std::vector<uint32_t> pair{ids[i], ids[i + 1]};
            merges.apply(pair);
            if (pair.size() == 1 && pair[0] < lowest) lowest = pair[0], at = i, changed = true;
          }
          if (!changed) break;
          ids[at] = lowest;
          ids.erase(ids.begin() + static_cast<int64_t>(at) + 1);
        }
        return ids;
      };
  for (int i = 0; i < 300; ++i) {
    std::vector<uint32_t> ids(1 + rng.below(200));
    for (uint32_t& id : ids) id = static_cast<uint32_t>(rng.below(3));
    std::vector<uint32_t> merged = ids;
    merges.apply(merged);
    ASSERT_EQ(merged, naive(ids));
  }
}

}  // namespace
}  // namespace etrlrec
