// Phrases that a vocabulary keeps as one token: the matcher, and byte-level BPE with them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "base/rng.h"
#include "text/bpe_train.h"
#include "text/phrases.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

// The definition, written out: the first place where a phrase begins, and the longest one there.
Phrases::Match slow_find(const std::vector<std::string>& phrases, std::string_view text,
                         size_t from) {
  for (size_t begin = from; begin < text.size(); ++begin) {
    Phrases::Match best;
    for (size_t i = 0; i < phrases.size(); ++i)
      if (text.substr(begin, phrases[i].size()) == phrases[i] && phrases[i].size() > best.length)
        best = {begin, phrases[i].size(), static_cast<uint32_t>(i)};
    if (best.length > 0) return best;
  }
  return {};
}

TEST(Phrases, are_found_as_the_definition_says) {
  Rng rng(5, "test/phrases");
  const auto word = [&rng](uint64_t length) {
    std::string text;
    for (uint64_t i = 0; i < length; ++i) text += "ab;"[rng.below(3)];
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> list;
    Phrases phrases;
    EXPECT_TRUE(phrases.empty());
    for (uint32_t i = 0; i < 6; ++i) {
      const std::string phrase = word(1 + rng.below(4));
      if (std::find(list.begin(), list.end(), phrase) != list.end()) continue;
      phrases.add(phrase, static_cast<uint32_t>(list.size()));
      list.push_back(phrase);
    }
    const std::string text = word(12);
    for (size_t from = 0; from <= text.size(); ++from) {
      const Phrases::Match found = phrases.find(text, from), expected = slow_find(list, text, from);
      ASSERT_EQ(found.length, expected.length) << text << " from " << from;
      if (expected.length == 0) continue;
      ASSERT_EQ(found.begin, expected.begin) << text;
      ASSERT_EQ(found.id, expected.id) << text;
    }
  }
  Phrases phrases;
  EXPECT_THROW(phrases.add("", 1), Error);
}

class PhraseTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("etrlrec_phrases_{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::unique_ptr<Tokenizer> train(std::vector<std::string> phrases) const {
    const std::vector<std::string> documents{" week Toy Story; week Toy Soldiers;"};
    train_bpe(documents, {.vocab_size = 300, .phrases = std::move(phrases)}, folder_);
    return load_tokenizer(folder_);
  }
  fs::path folder_;
};

TEST_F(PhraseTokenizer, takes_phrases_whole_and_the_rest_as_before) {
  const auto plain = train({});
  const auto with = train({" Toy Story;", " Toy Story II;"});
  EXPECT_EQ(with->vocab_size(), plain->vocab_size() + 2);
  const int64_t first = plain->vocab_size();
  EXPECT_EQ(with->encode(" Toy Story;"), std::vector<int64_t>{first});
  EXPECT_EQ(with->encode(" Toy Story II;"), std::vector<int64_t>{first + 1});
  const std::string text = " week Toy Story; week Toy Soldiers; tie Toy Story II; Toy Story";
  std::vector<int64_t> expected = plain->encode(" week");
  const auto append = [&expected](const std::vector<int64_t>& ids) {
    expected.insert(expected.end(), ids.begin(), ids.end());
  };
  append({first});
  append(plain->encode(" week Toy Soldiers; tie"));
  append({first + 1});
  append(plain->encode(" Toy Story"));
  EXPECT_EQ(with->encode(text), expected);
  EXPECT_EQ(with->decode(expected), text);
}

TEST_F(PhraseTokenizer, refuses_phrases_that_are_empty_twice_there_or_no_text) {
  EXPECT_THROW(train({"x"}), Error);
  EXPECT_THROW(train({" one;", " one;"}), Error);
  EXPECT_THROW(train({" \xFF;"}), Error);
}

}  // namespace
}  // namespace etrlrec
