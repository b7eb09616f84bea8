// Reading byte-level BPE tokenizers: ids equal to the reference implementations, any bytes survive,
// and what is not implemented is refused by name.
#include <gtest/gtest.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <thread>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "ggml_vectors.h"
#include "shared_models.h"
#include "text/bpe.h"
#include "text/split_patterns.h"
#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

std::string test_text(const char* name) { return read_file(kModels + name); }

// tokenizer.json of a vocabulary file and a merges file.
std::unique_ptr<Tokenizer> from_files(const std::string& vocab, const std::string& merges,
                                      PatternKind kind, bool ignore_merges) {
  Json root;
  root["added_tokens"] = Json::array();
  root["decoder"] = {{"type", "ByteLevel"}};
  const Json byte_level{{"type", "ByteLevel"},
                        {"add_prefix_space", false},
                        {"use_regex", kind == PatternKind::kGpt2}};
  const Json split{
      {"type", "Split"}, {"pattern", {{"Regex", split_pattern(kind)}}}, {"behavior", "Isolated"}};
  root["pre_tokenizer"] = kind == PatternKind::kGpt2
                              ? byte_level
                              : Json{{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}};
  root["model"] = {
      {"type", "BPE"}, {"vocab", read_json(kModels + vocab)}, {"ignore_merges", ignore_merges}};
  Json& list = root["model"]["merges"] = Json::array();
  for_each_line(kModels + merges, [&](std::string_view line, int64_t) {
    if (!line.empty() && !line.starts_with("#version")) list.push_back(line);
  });
  return parse_tokenizer(root.dump(), "", vocab);
}

std::unique_ptr<Tokenizer> gpt2() {
  return from_files("gpt2-tokenizer/vocab.json", "gpt2-tokenizer/merges.txt", PatternKind::kGpt2,
                    false);
}
std::unique_ptr<Tokenizer> llama3() {
  return from_files("llama3-tokenizer/encoder.json", "llama3-tokenizer/vocab.bpe",
                    PatternKind::kLlama3, true);
}
std::unique_ptr<Tokenizer> qwen(const std::string& version) {
  const std::string folder = kModels + "qwen-tokenizer/";
  return parse_tokenizer(read_file(folder + "tokenizer." + version + ".json"),
                         read_file(folder + "tokenizer_config." + version + ".json"), version);
}

// Hugging Face vectors: short cases under `key`; the ids may start with `bos`.
void expect_hf_cases(const Tokenizer& tokenizer, const std::string& key, int64_t bos) {
  const Json cases = read_json(kModels + "hf-tokenizer-vectors/tokenizer_tests.json").at(key);
  for (const Json& entry : cases) {
    auto ids = entry.at("encoded").at("input_ids").get<std::vector<int64_t>>();
    if (bos >= 0 && !ids.empty() && ids[0] == bos) ids.erase(ids.begin());
    EXPECT_EQ(tokenizer.encode(entry.at("input").get<std::string>()), ids) << entry.at("input");
  }
}

std::string random_bytes(Rng& rng, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i)
    text += static_cast<char>(rng.chance(0.5) ? rng.below(256) : 32 + rng.below(96));
  return text;
}

#define SKIP_WITHOUT_MODELS() \
  if (!fs::exists(kModels)) GTEST_SKIP() << "no tokenizer files at " << kModels

TEST(Tokenizer, gives_the_ids_of_gpt2) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = gpt2();
  expect_vectors(*tokenizer, "gpt2-tokenizer/ggml-vocab-gpt-2.gguf");
  expect_hf_cases(*tokenizer, "distilgpt2", -1);
  const Json text = read_json(kModels + "hf-tokenizer-vectors/gpt2_encoded_tokens.json");
  EXPECT_EQ(tokenizer->encode(text.at("text").get<std::string>()),
            text.at("token_ids").get<std::vector<int64_t>>());
}

TEST(Tokenizer, gives_the_ids_of_llama3) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = llama3();
  expect_vectors(*tokenizer, "llama3-tokenizer/ggml-vocab-llama-bpe.gguf");
  expect_hf_cases(*tokenizer, "pcuenq/Llama-3.2-1B-Instruct-tokenizer", 128000);
}

TEST(Tokenizer, gives_the_ids_of_qwen2) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = qwen("qwen2.5");
  expect_vectors(*tokenizer, "qwen-tokenizer/ggml-vocab-qwen2.gguf");
  EXPECT_EQ(tokenizer->special_id("<|im_start|>"), 151644);
  EXPECT_EQ(tokenizer->eos_id(), tokenizer->special_id("<|im_end|>"));
  EXPECT_THROW(tokenizer->special_id("<|nothing|>"), Error);
  // Composed and decomposed letters are the same text under NFC.
  EXPECT_EQ(tokenizer->encode("caf\u00e9"), tokenizer->encode("cafe\u0301"));
}

// Twin: stretches that cannot change are skipped; the whole text through utf8proc gives the same.
TEST(Tokenizer, normalises_like_the_whole_text_at_once) {
  const PreTokenizer normalizing(PatternKind::kQwen2, true);
  PreTokenizer::Scratch scratch;
  std::vector<std::string_view> pieces;
  const std::vector<std::string> parts{"a",      "e",      " ",      "\u0301", "\u0323",
                                       "\u00e9", "\u212b", "\u1100", "\u1161", "\u11a8",
                                       "\uac00", "\u0415", "\u0306", "\u4e2d", "\u2014",
                                       "\u0344", "\uf900", "\u0958", "\u0387", "\ud7a3"};
  Rng rng(2, "nfc");
  for (int i = 0; i < 3000; ++i) {
    std::string text, joined;
    for (uint64_t n = rng.below(12); n > 0; --n) text += parts[rng.below(parts.size())];
    normalizing.split(text, scratch, pieces);
    for (std::string_view piece : pieces) joined += piece;
    utf8proc_uint8_t* whole = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
    ASSERT_EQ(joined, reinterpret_cast<const char*>(whole)) << text;
    std::free(whole);
  }
}

// Twin: PCRE2 cuts every piece. Texts of all that the patterns tell apart, and of any bytes.
TEST(Tokenizer, cuts_ascii_as_the_patterns_do) {
  const std::vector<std::string> parts{
      "a",      "Z",      "re",     "LL",     "don",    "s",      "S",      "'",
      "'",      "0",      "12",     "7",      " ",      " ",      "  ",     "\t",
      "\n",     "\r",     "\r\n",   "\v",     "\f",     "!",      "_",      "$%",
      "\x1c",   "\x7f",   "\u00e9", "\u017f", "\xff",   "\u212a", "\u00b2", "\u00a0",
      "\u0085", "\u180e", "\u2028", "\u4e2d", "\u0301", "\u20ac", "d",      "\0"};
  PreTokenizer::Scratch scratch, twin_scratch;
  std::vector<std::string_view> pieces, expected;
  const std::vector<PatternKind> kinds{PatternKind::kGpt2, PatternKind::kQwen2,
                                       PatternKind::kLlama3, PatternKind::kSpacedNumbers,
                                       PatternKind::kDigits};
  for (const PatternKind kind : kinds) {
    const PreTokenizer fast(kind, false), twin(kind, false, false);
    Rng rng(3, "ascii", static_cast<uint64_t>(kind));
    for (int i = 0; i < 20000; ++i) {
      std::string text;
      // Mostly ASCII, so that runs grow long enough to end at a character beyond it.
      const size_t known = i % 3 == 0 ? parts.size() : 26;
      for (uint64_t n = rng.below(14); n > 0; --n)
        text += i % 7 == 0 ? random_bytes(rng, 1) : parts[rng.below(known)];
      fast.split(text, scratch, pieces);
      twin.split(text, twin_scratch, expected);
      ASSERT_EQ(pieces, expected) << bytes_to_visible(text);
    }
  }
}

TEST(Tokenizer, does_not_recognise_special_tokens_in_text) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = qwen("qwen2");
  const auto ids = tokenizer->encode("<|endoftext|>");
  EXPECT_GT(ids.size(), 1u);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer->special_id("<|endoftext|>")), 0);
  EXPECT_EQ(tokenizer->decode(ids), "<|endoftext|>");
}

TEST(Tokenizer, keeps_arbitrary_bytes) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = gpt2();
  Rng rng(1, "bytes");
  for (int i = 0; i < 2000; ++i) {
    const std::string text = random_bytes(rng, rng.below(80));
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
  const std::string hard =
      std::string(200000, 'a') + std::string(100000, ' ') + std::string(50000, '\xff');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(hard)), hard);
}

TEST(Tokenizer, gives_the_same_ids_from_many_threads) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = gpt2();
  const std::string text = test_text("gpt2-tokenizer/README.md");
  const auto expected = tokenizer->encode(text);
  std::vector<int> equal(8);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < equal.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) equal[t] += tokenizer->encode(text) == expected;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, std::vector<int>(8, 50));
}

// A minimal valid file, for refusals: all bytes, one merge, one special token.
Json minimal() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[bytes_to_visible(std::string(1, static_cast<char>(byte)))] = byte;
  vocab["ab"] = 256;
  return {
      {"added_tokens", {{{"id", 257}, {"content", "<end>"}, {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b"}}}}};
}

std::string refusal(const Json& root, const std::string& config = "") {
  try {
    parse_tokenizer(root.dump(), config, "tokenizer.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    return error.what();
  }
  return "";
}

void expect_refusal(const char* pointer, const Json& value, const std::string& part) {
  Json root = minimal();
  root[Json::json_pointer(pointer)] = value;
  const std::string message = refusal(root);
  EXPECT_NE(message.find(part), std::string::npos) << pointer << ": " << message;
}

TEST(Tokenizer, reads_a_minimal_file) {
  const auto tokenizer =
      parse_tokenizer(minimal().dump(), R"({"eos_token": {"content": "<end>"}})", "t");
  EXPECT_EQ(tokenizer->encode("abba"), (std::vector<int64_t>{256, 'b', 'a'}));
  EXPECT_EQ(tokenizer->eos_id(), 257);
  EXPECT_EQ(tokenizer->vocab_size(), 258);
  EXPECT_THROW(tokenizer->decode(std::vector<int64_t>{258}), Error);
  EXPECT_THROW(tokenizer->decode(std::vector<int64_t>{-1}), Error);
}

TEST(Tokenizer, refuses_what_it_does_not_implement_by_name) {
  expect_refusal("/model/type", "Viterbi", "tokenizer model Viterbi");
  expect_refusal("/normalizer", {{"type", "Uppercase"}}, "normalizer Uppercase");
  expect_refusal("/pre_tokenizer", {{"type", "UnicodeScripts"}}, "pre_tokenizer UnicodeScripts");
  expect_refusal("/decoder", {{"type", "CTC"}}, "decoder CTC");
  expect_refusal("/model/dropout", 0.1, "dropout");
}

TEST(Tokenizer, ignores_truncation_and_padding) {
  Json root = minimal();
  root["truncation"] = {{"max_length", 1}};
  root["padding"] = {{"strategy", {{"Fixed", 9}}}};
  EXPECT_EQ(parse_tokenizer(root.dump(), "", "t")->encode("abba").size(), 3u);
}

// As in Hugging Face `tokenizers`: what is beside the byte may then merge.
TEST(Tokenizer, bytes_without_a_token_give_none) {
  Json root = minimal();
  root["model"]["vocab"].erase("c");
  const auto tokenizer = parse_tokenizer(root.dump(), "", "minimal");
  EXPECT_EQ(tokenizer->encode("c"), std::vector<int64_t>());
  EXPECT_EQ(tokenizer->encode("acb"), tokenizer->encode("ab"));
}

TEST(Tokenizer, cuts_out_digits_one_by_one) {
  const PreTokenizer digits(PatternKind::kDigits, false);
  PreTokenizer::Scratch scratch;
  std::vector<std::string_view> pieces;
  digits.split("a1  23 b \u00b2\u0663 's", scratch, pieces);
  EXPECT_EQ(pieces, (std::vector<std::string_view>{"a", "1", "  ", "2", "3", " b", " ", "\u00b2",
                                                   "\u0663", " '", "s"}));
}

TEST(Tokenizer, refuses_inconsistent_vocabularies) {
  expect_refusal("/model/vocab/ab", 3, "occurs twice");
  expect_refusal("/model/vocab/ab", -1, "out of range");
  expect_refusal("/model/vocab/ab", 4e9, "integer");
  expect_refusal("/model/vocab/ab", 4000000000, "out of range");
  expect_refusal("/model/merges", {"a c"}, "must be in model.vocab");
  expect_refusal("/model/merges", {"ab"}, "expected two tokens");
  expect_refusal("/model/merges", {"a b", "a b"}, "occurs twice");
  expect_refusal("/added_tokens/0/id", 256, "occurs twice");
  Json root = minimal();
  root["model"]["merges"] = Json::array();
  root["model"]["vocab"] = {{"ab", 0}};
  EXPECT_NE(refusal(root).find("no byte has a token"), std::string::npos);
  EXPECT_NE(refusal(minimal(), R"({"eos_token": "<other>"})").find("<other>"), std::string::npos);
}

}  // namespace
}  // namespace etrlrec
