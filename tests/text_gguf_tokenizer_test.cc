// Tokenizers of GGUF files: the ids of the libraries that their makers use, and every refusal.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "ggml_vectors.h"
#include "gguf_bytes.h"
#include "golden_path.h"
#include "refusals.h"
#include "shared_models.h"
#include "text/begin_tokens.h"
#include "text/chat_recognition.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

using enum GgufValueType;

fs::path imported(const fs::path& file) {
  const fs::path folder = fs::path(testing::TempDir()) / ("tokenizer-" + file.stem().string());
  fs::create_directories(folder);
  write_gguf_tokenizer(GgufFile(file), folder);
  return folder;
}

// A vocabulary file of llama.cpp beside its vectors.
void expect_gguf_vectors(const std::string& base) {
  if (!fs::exists(kModels)) GTEST_SKIP() << "no tokenizer files at " << kModels;
  expect_vectors(*load_tokenizer(imported(kModels + base)), base);
}

TEST(GgufTokenizer, gives_the_ids_of_gpt2) {
  expect_gguf_vectors("gpt2-tokenizer/ggml-vocab-gpt-2.gguf");
}
TEST(GgufTokenizer, gives_the_ids_of_starcoder) {
  expect_gguf_vectors("more-ggml-vocabs/ggml-vocab-starcoder.gguf");
}
TEST(GgufTokenizer, gives_the_ids_of_llama2) {
  expect_gguf_vectors("llama2-tokenizer/ggml-vocab-llama-spm.gguf");
}

// Twin: the SentencePiece library with the model from which the file was made.
TEST(GgufTokenizer, merges_by_score_as_sentencepiece_does) {
  if (!fs::exists(kModels)) GTEST_SKIP() << "no tokenizer files at " << kModels;
  const auto ours =
      load_tokenizer(imported(kModels + "llama2-tokenizer/ggml-vocab-llama-spm.gguf"));
  const auto theirs = load_tokenizer(kModels + "llama2-tokenizer");
  const std::vector<std::string> parts{"the", " ",      "  ", "ing",        "\n", "Ab",
                                       "123", "\u00e9", "z",  "\u4e2d",     "!",  "ed",
                                       "un",  "t",      "'s", "\U0001f600", "x"};
  Rng rng(5, "spm");
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (uint64_t n = 1 + rng.below(12); n > 0; --n) text += parts[rng.below(parts.size())];
    ASSERT_EQ(ours->encode(text), theirs->encode(text)) << text;
  }
}

TEST(GgufTokenizerGolden, gives_the_ids_of_its_tokenizer_json) {
  const GgufFile file(golden_path() / "gguf" / "mixed.gguf");
  const fs::path folder = imported(file.name());
  const auto tokenizer = load_tokenizer(folder);
  const Json cases = read_json(golden_path() / "tokenizers" / "smollm" / "vectors.json");
  ASSERT_GE(cases.size(), 25u);
  for (const Json& entry : cases)
    EXPECT_EQ(tokenizer->encode(entry.at("text").get<std::string>()),
              entry.at("ids").get<std::vector<int64_t>>())
        << entry.at("text");
  EXPECT_EQ(tokenizer->eos_id(), 0);
  EXPECT_EQ(tokenizer->special_id("<|im_end|>"), 2);
  EXPECT_TRUE(begin_tokens(folder, *tokenizer).empty());
  EXPECT_EQ(folder_chat_template(folder, *tokenizer)->name, "chatml");
  EXPECT_EQ(gguf_end_tokens(file), (std::vector<int64_t>{0}));
  EXPECT_EQ(gguf_num_tokens(file), tokenizer->vocab_size());
}

TEST(GgufTokenizerGolden, gives_the_ids_of_its_sentencepiece_model) {
  const fs::path folder = imported(golden_path() / "gguf" / "pieces.gguf");
  const auto tokenizer = load_tokenizer(folder);
  const Json cases = read_json(golden_path() / "tokenizers" / "llama2" / "vectors.json");
  ASSERT_GE(cases.size(), 25u);
  for (const Json& entry : cases)
    EXPECT_EQ(tokenizer->encode(entry.at("text").get<std::string>()),
              entry.at("ids").get<std::vector<int64_t>>())
        << entry.at("text");
  EXPECT_EQ(begin_tokens(folder, *tokenizer), (std::vector<int64_t>{1}));
  EXPECT_EQ(tokenizer->eos_id(), 2);
}

// A small vocabulary, right as it is; a test replaces one pair.
class SmallVocabulary {
 public:
  SmallVocabulary() {
    std::string tokens = gguf_text("<|end|>"), types = gguf_bytes_of(3);
    for (const char* text : {"a", "b", "\u0120", "ab", "[PAD]"}) tokens += gguf_text(text);
    for (const int32_t type : {1, 1, 1, 1, 5}) types += gguf_bytes_of(type);
    put("general.architecture", gguf_pair("general.architecture", kString, gguf_text("qwen2")));
    put("model", gguf_pair("tokenizer.ggml.model", kString, gguf_text("gpt2")));
    put("pre", gguf_pair("tokenizer.ggml.pre", kString, gguf_text("smollm")));
    put("tokens", gguf_list("tokenizer.ggml.tokens", kString, 6, tokens));
    put("types", gguf_list("tokenizer.ggml.token_type", kInt32, 6, types));
    put("merges", gguf_list("tokenizer.ggml.merges", kString, 1, gguf_text("a b")));
    put("eos", gguf_pair("tokenizer.ggml.eos_token_id", kUint32, gguf_bytes_of(0u)));
  }
  SmallVocabulary& put(const std::string& name, const std::string& pair) {
    pairs_[name] = pair;
    return *this;
  }
  SmallVocabulary& without(const std::string& name) {
    pairs_.erase(name);
    return *this;
  }
  fs::path import() const {
    GgufBytes bytes;
    for (const auto& [name, pair] : pairs_) bytes.value(pair);
    return imported(bytes.write("small-vocabulary.gguf"));
  }
  void expect_refused(const std::string& words) const {
    refuses([&] { load_tokenizer(import()); }, ExitCode::kInput, words);
  }

 private:
  std::map<std::string, std::string> pairs_;
};

TEST(GgufTokenizer, leaves_unused_tokens_out) {
  const auto tokenizer = load_tokenizer(SmallVocabulary().import());
  EXPECT_EQ(tokenizer->encode("ab a"), (std::vector<int64_t>{4, 3, 1}));
  EXPECT_EQ(tokenizer->vocab_size(), 5);
  EXPECT_EQ(tokenizer->eos_id(), 0);
}

TEST(GgufTokenizer, puts_a_begin_token_in_front_where_the_file_says_so) {
  const fs::path folder =
      SmallVocabulary()
          .put("bos", gguf_pair("tokenizer.ggml.bos_token_id", kUint32, gguf_bytes_of(0u)))
          .put("add", gguf_pair("tokenizer.ggml.add_bos_token", kBool, "\1"))
          .import();
  EXPECT_EQ(begin_tokens(folder, *load_tokenizer(folder)), (std::vector<int64_t>{0}));
}

TEST(GgufTokenizer, takes_the_pattern_of_the_architecture_where_none_is_named) {
  const fs::path folder = SmallVocabulary().without("pre").import();
  EXPECT_NE(read_file(folder / "tokenizer.json").find("NFC"), std::string::npos);
}

TEST(GgufTokenizer, added_words_of_ordinary_text_are_one_token) {
  const std::string types = gguf_bytes_of(3) + gguf_bytes_of(1) + gguf_bytes_of(1) +
                            gguf_bytes_of(1) + gguf_bytes_of(1) + gguf_bytes_of(4);
  std::string tokens = gguf_text("<|end|>");
  for (const char* text : {"a", "b", "\u0120", "ab", "a b"}) tokens += gguf_text(text);
  const auto tokenizer =
      load_tokenizer(SmallVocabulary()
                         .put("types", gguf_list("tokenizer.ggml.token_type", kInt32, 6, types))
                         .put("tokens", gguf_list("tokenizer.ggml.tokens", kString, 6, tokens))
                         .import());
  EXPECT_EQ(tokenizer->encode("aba b"), (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(tokenizer->decode(std::vector<int64_t>{5, 3}), "a b ");
}

TEST(GgufTokenizer, refuses_what_it_cannot_read) {
  const auto with = [](const std::string& name, const std::string& pair) {
    return SmallVocabulary().put(name, pair);
  };
  with("model", gguf_pair("tokenizer.ggml.model", kString, gguf_text("bert")))
      .expect_refused("\"bert\" is not supported");
  with("pre", gguf_pair("tokenizer.ggml.pre", kString, gguf_text("tekken")))
      .expect_refused("\"tekken\" is not supported");
  SmallVocabulary().without("merges").expect_refused("tokenizer.ggml.merges is missing");
  SmallVocabulary().without("tokens").expect_refused("tokenizer.ggml.tokens is missing");
  with("tokens", gguf_list("tokenizer.ggml.tokens", kString, 0, "")).expect_refused("is empty");
  with("types", gguf_list("tokenizer.ggml.token_type", kInt32, 1, gguf_bytes_of(1)))
      .expect_refused("expected 6 entries, found 1");
  std::string types;
  for (int i = 0; i < 6; ++i) types += gguf_bytes_of(i < 5 ? 1 : 7);
  with("types", gguf_list("tokenizer.ggml.token_type", kInt32, 6, types))
      .expect_refused("unknown type 7");
  with("eos", gguf_pair("tokenizer.ggml.eos_token_id", kUint32, gguf_bytes_of(6u)))
      .expect_refused("is not one of 6 tokens");
  const auto token = [&](const std::string& text) {
    std::string tokens = gguf_text("<|end|>");
    for (const std::string& each :
         {std::string("a"), std::string("b"), text, std::string("ab"), std::string("x")})
      tokens += gguf_text(each);
    return with("tokens", gguf_list("tokenizer.ggml.tokens", kString, 6, tokens));
  };
  token("a").expect_refused("occurs twice");
  token("").expect_refused("not empty");
  token("\xff").expect_refused("UTF-8");
  with("merges", gguf_list("tokenizer.ggml.merges", kString, 1, gguf_text("a c")))
      .expect_refused("must be in model.vocab");
}

TEST(GgufTokenizer, refuses_bad_scores) {
  SmallVocabulary llama;
  llama.put("model", gguf_pair("tokenizer.ggml.model", kString, gguf_text("llama")));
  llama.expect_refused("tokenizer.ggml.scores is missing");
  llama.put("scores", gguf_list("tokenizer.ggml.scores", kFloat32, 1, gguf_bytes_of(1.0f)));
  llama.expect_refused("expected 6 entries, found 1");
  std::string scores;
  for (int i = 0; i < 6; ++i) scores += gguf_bytes_of(i == 2 ? std::nanf("") : 0.0f);
  llama.put("scores", gguf_list("tokenizer.ggml.scores", kFloat32, 6, scores));
  llama.expect_refused("expected finite numbers");
}

}  // namespace
}  // namespace etrlrec
