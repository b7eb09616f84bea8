// Every kind of tokenizer that is read, on small ones of our own: ids of Hugging Face's tokenizers
// and of SentencePiece, and texts that come back.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "golden_path.h"
#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

using Ids = std::vector<int64_t>;

struct Vectors {
  explicit Vectors(const std::string& name)
      : tokenizer(load_tokenizer(golden_path() / "tokenizers" / name)),
        cases(read_json(golden_path() / "tokenizers" / name / "vectors.json")) {}
  void expect_ids() const {
    ASSERT_GE(cases.size(), 25u);
    for (const Json& entry : cases)
      EXPECT_EQ(tokenizer->encode(entry.at("text").get<std::string>()), entry.at("ids").get<Ids>())
          << entry.at("text");
  }
  // Texts come back as they were, where no normalizer changes them; those with `visible_space` not.
  void expect_texts(const std::string& visible_space = "") const {
    for (const Json& entry : cases) {
      const auto text = entry.at("text").get<std::string>();
      if (!visible_space.empty() && text.find(visible_space) != std::string::npos) continue;
      EXPECT_EQ(tokenizer->decode(entry.at("ids").get<Ids>()), text);
    }
  }
  std::unique_ptr<Tokenizer> tokenizer;
  Json cases;
};

TEST(TokenizerGolden, bytes_split_like_gpt2) {
  const Vectors vectors("gpt2");
  vectors.expect_ids();
  vectors.expect_texts();
}

TEST(TokenizerGolden, bytes_split_like_qwen2_with_composed_letters) {
  const Vectors vectors("qwen2");
  vectors.expect_ids();
  EXPECT_EQ(vectors.tokenizer->encode("caf\u00e9"), vectors.tokenizer->encode("cafe\u0301"));
}

TEST(TokenizerGolden, bytes_split_like_llama3_with_whole_words_first) {
  const Vectors vectors("llama3");
  vectors.expect_ids();
  vectors.expect_texts();
}

// Titles as one token (`new-lm --whole-titles`): found as the library finds added tokens that are
// not special.
TEST(TokenizerGolden, phrases_of_ordinary_text_like_added_tokens) {
  const Vectors vectors("phrases");
  vectors.expect_ids();
  vectors.expect_texts();
}

// Most of its bytes have no token and give none.
TEST(TokenizerGolden, bytes_split_like_smollm_with_digits_one_by_one) {
  Vectors("smollm").expect_ids();
}

// Truncation and padding of the file are for batches of others and change no ids here.
TEST(TokenizerGolden, word_pieces_like_bert) {
  const Vectors vectors("bert");
  vectors.expect_ids();
  for (const Json& entry : vectors.cases)
    EXPECT_EQ(vectors.tokenizer->decode(entry.at("ids").get<Ids>()), entry.at("decoded"))
        << entry.at("text");
  EXPECT_EQ(vectors.tokenizer->token_text(vectors.tokenizer->special_id("[CLS]")), " [CLS]");
  EXPECT_EQ(vectors.tokenizer->eos_id(), vectors.tokenizer->special_id("[SEP]"));
  EXPECT_EQ(vectors.tokenizer->encode("kalo \xff\xc3"), vectors.tokenizer->encode("kalo"));
}

TEST(TokenizerGolden, word_pieces_of_damaged_files_are_refused) {
  const auto folder = golden_path() / "tokenizers/bert";
  const Json good = read_json(folder / "tokenizer.json");
  const auto refusal = [&](const char* pointer, const Json& value) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    try {
      parse_tokenizer(changed.dump(), "", "test");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(refusal("/model/unk_token", "[NONE]").find("[NONE]"), std::string::npos);
  EXPECT_NE(refusal("/model/vocab/kalo", 1).find("occurs twice"), std::string::npos);
  EXPECT_NE(refusal("/model/vocab/kalo", -1).find("id -1"), std::string::npos);
  EXPECT_EQ(refusal("/model/max_input_chars_per_word", 3), "");
}

TEST(TokenizerGolden, unigram_pieces_like_t5) { Vectors("t5").expect_ids(); }

TEST(TokenizerGolden, merged_pieces_with_bytes_like_llama2) {
  const Vectors vectors("llama2");
  vectors.expect_ids();
  vectors.expect_texts("\u2581");
}

}  // namespace
}  // namespace etrlrec
