// Answers as token ids, with tokenizers that keep numbers whole and with one that splits digits.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "numbers.h"
#include "temporal/encoding.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

class Encoding : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("etrlrec_encoding_{}", ::getpid());
    fs::create_directories(folder_);
    std::vector<std::string> documents;
    for (int k = 1; k <= 40; ++k)
      documents.push_back(
          completion_text(fmt::format(" need( drama) pick( DRAMA {})", k), number(k), {}));
    train_bpe(documents, {.vocab_size = 320, .split_digits = GetParam()}, folder_);
    tokenizer_ = load_tokenizer(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(Encoding, no_answer_begins_another_one) {
  const AnswerEncoding encoding = encode_answers(*tokenizer_, numbers(30), {});
  for (const auto& a : encoding.answers)
    for (const auto& b : encoding.answers) {
      if (&a == &b) continue;
      EXPECT_FALSE(a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin()));
    }
}

TEST_P(Encoding, the_ids_spell_the_completion) {
  const AnswerEncoding encoding = encode_answers(*tokenizer_, numbers(30), {});
  for (const int32_t k : {1, 3, 12, 30}) {
    auto ids = encode_completion(*tokenizer_, encoding, " need( drama)", k);
    ASSERT_EQ(ids.back(), tokenizer_->eos_id());
    ids.pop_back();
    EXPECT_EQ(tokenizer_->decode(ids), completion_text(" need( drama)", number(k), {}));
  }
}

// Elimination asks with fewer and fewer candidates: what follows an answer must not change.
TEST_P(Encoding, the_finish_is_that_of_the_longest_list) {
  const auto finish = encode_answers(*tokenizer_, numbers(30), {}).finish;
  for (const int32_t n : {1, 2, 9, 12}) {
    const AnswerEncoding fewer = encode_answers(*tokenizer_, numbers(n), {}, 30);
    EXPECT_EQ(fewer.finish, finish);
    EXPECT_EQ(fewer.answers.size(), static_cast<size_t>(n));
  }
}

TEST(EncodingOfSmallLists, stays_one_token_where_nothing_is_ambiguous) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("etrlrec_small_{}", ::getpid());
  fs::create_directories(folder);
  train_bpe({}, {.vocab_size = 300, .required_words = {" 1", " 2", " 3"}}, folder);
  const auto tokenizer = load_tokenizer(folder);
  for (const auto& answer : encode_answers(*tokenizer, numbers(3), {}).answers)
    EXPECT_EQ(answer.size(), 1u);
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(Digits, Encoding, testing::Bool(),
                         [](const auto& info) { return info.param ? "split" : "whole"; });

}  // namespace
}  // namespace etrlrec
