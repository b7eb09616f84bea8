// Training byte-level BPE: deterministic, required words are one token each, and the file reads
// back.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/io.h"
#include "base/rng.h"
#include "text/bpe.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

fs::path fresh_folder(const std::string& name) {
  const fs::path folder =
      fs::temp_directory_path() / fmt::format("etrlrec_bpe_{}_{}", name, ::getpid());
  fs::remove_all(folder);
  return folder;
}

std::vector<std::string> sample_documents(int count) {
  const std::vector<std::string> words{"drama", "comedy", "hollow", "river", "after", "gap",
                                       "of",    "days",   "the",    "12",    "7"};
  Rng rng(3, "documents");
  std::vector<std::string> documents;
  for (int d = 0; d < count; ++d) {
    std::string text = "Last:";
    for (int i = 0; i < 20; ++i) text += " " + words[rng.below(words.size())];
    documents.push_back(text + ".\n");
  }
  return documents;
}

std::unique_ptr<Tokenizer> trained(const std::vector<std::string>& documents,
                                   const BpeTrainingOptions& options, const std::string& name) {
  const fs::path folder = fresh_folder(name);
  train_bpe(documents, options, folder);
  auto tokenizer = load_tokenizer(folder);
  fs::remove_all(folder);
  return tokenizer;
}

TEST(BpeTraining, makes_frequent_words_one_token) {
  const auto tokenizer = trained(sample_documents(50), {.vocab_size = 400}, "frequent");
  for (const char* word : {" drama", " comedy", " hollow", " river", " after", " days"})
    EXPECT_EQ(tokenizer->encode(word).size(), 1u) << word;
  EXPECT_EQ(tokenizer->eos_id(), 0);
  EXPECT_EQ(tokenizer->special_id("<|endoftext|>"), 0);
}

TEST(BpeTraining, makes_every_required_word_one_token) {
  std::vector<std::string> words{" drama", "7",          " 20",    " 19",   "</", "abcabcabc",
                                 "bcabc",  " caf\u00e9", "cabcab", "aaaaa", "aaa"};
  const auto tokenizer =
      trained(sample_documents(20), {.vocab_size = 500, .required_words = words}, "required");
  for (const std::string& word : words) EXPECT_EQ(tokenizer->encode(word).size(), 1u) << word;
  EXPECT_EQ(tokenizer->encode("x 20").size(), 2u);
}

TEST(BpeTraining, makes_random_required_words_one_token) {
  Rng rng(5, "words");
  std::vector<std::string> words;
  for (int i = 0; i < 400; ++i) {
    std::string word(1 + rng.below(9), ' ');
    for (char& c : word) c = static_cast<char>('a' + rng.below(3));
    words.push_back(word);
  }
  const auto tokenizer = trained({}, {.vocab_size = 4000, .required_words = words}, "random");
  for (const std::string& word : words) EXPECT_EQ(tokenizer->encode(word).size(), 1u) << word;
}

TEST(BpeTraining, keeps_numbers_whole_or_splits_them_as_asked) {
  const std::vector<std::string> documents(5, "1234 1234 1234");
  const auto whole = trained(documents, {.vocab_size = 300, .required_words = {"123"}}, "whole");
  EXPECT_EQ(whole->encode("1234").size(), 2u);
  const auto split = trained(documents, {.vocab_size = 300, .split_digits = true}, "split");
  EXPECT_EQ(split->encode("1234").size(), 4u);
}

TEST(BpeTraining, writes_the_same_file_twice) {
  const fs::path a = fresh_folder("a"), b = fresh_folder("b");
  train_bpe(sample_documents(30), {.vocab_size = 350}, a);
  std::vector<std::string> reversed = sample_documents(30);
  std::reverse(reversed.begin(), reversed.end());
  train_bpe(reversed, {.vocab_size = 350}, b);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"})
    EXPECT_EQ(read_file(a / file), read_file(b / file)) << file;
  fs::remove_all(a);
  fs::remove_all(b);
}

TEST(BpeTraining, agrees_with_counting_all_pairs_again_after_every_merge) {
  const std::vector<std::string> documents{"aaab aab abab baab aaaa bbab", "abba abab aaab"};
  const auto tokenizer = trained(documents, {.vocab_size = 265}, "recount");
  std::vector<std::string> merged;
  for (int64_t id = 257; id < tokenizer->vocab_size(); ++id)
    merged.push_back(tokenizer->decode(std::vector<int64_t>{id}));
  // The slow twin: words as token strings, ties to the smaller pair of ids.
  std::map<std::string, int64_t> ids;
  for (int byte = 0; byte < 256; ++byte) ids[std::string(1, static_cast<char>(byte))] = byte + 1;
  std::vector<std::vector<std::string>> words;
  for (const std::string& document : documents)
    for (size_t i = 0; i < document.size(); ++i) {
      if (i == 0 || document[i] == ' ') words.emplace_back();
      words.back().emplace_back(1, document[i]);
    }
  for (const std::string& token : merged) {
    std::map<std::pair<int64_t, int64_t>, int64_t> counts;
    for (const auto& word : words)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (!ids.contains(word[i] + word[i + 1])) ++counts[{ids.at(word[i]), ids.at(word[i + 1])}];
    const auto best =
        std::max_element(counts.begin(), counts.end(), [](const auto& x, const auto& y) {
          return x.second != y.second ? x.second < y.second : x.first > y.first;
        });
    std::string left, right;
    for (const auto& [text, id] : ids) {
      if (id == best->first.first) left = text;
      if (id == best->first.second) right = text;
    }
    ASSERT_EQ(left + right, token);
    ids[token] = static_cast<int64_t>(ids.size()) + 1;
    for (auto& word : words)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (word[i] == left && word[i + 1] == right) {
          word[i] += right;
          word.erase(word.begin() + static_cast<int64_t>(i) + 1);
        }
  }
  EXPECT_GT(merged.size(), 5u);
}

TEST(BpeTraining, stops_when_no_pair_occurs_twice) {
  const auto tokenizer = trained({"ab"}, {.vocab_size = 1000}, "stops");
  EXPECT_EQ(tokenizer->vocab_size(), 257);
}

TEST(BpeTraining, refuses_what_it_cannot_do) {
  const fs::path folder = fresh_folder("refuses");
  const std::vector<std::string> none;
  EXPECT_THROW(train_bpe(none, {.vocab_size = 200}, folder), Error);
  EXPECT_THROW(train_bpe(none, {.required_words = {"two words"}}, folder), Error);
  EXPECT_THROW(train_bpe(none, {.required_words = {""}}, folder), Error);
  EXPECT_THROW(train_bpe(none, {.required_words = {"1234"}}, folder), Error);
  EXPECT_THROW(train_bpe(none, {.vocab_size = 258, .required_words = {"abc"}}, folder), Error);
  EXPECT_THROW(train_bpe(none, {.special_tokens = {"<s>", "<s>"}}, folder), Error);
  EXPECT_FALSE(fs::exists(folder));
}

}  // namespace
}  // namespace etrlrec
