// Tokenizer families of tokenizer.json: ids and texts of the reference implementations, flags of
// added tokens, and refusals by name.
#include <gtest/gtest.h>

#include <iterator>
#include <sstream>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "shared_models.h"
#include "text/chat.h"
#include "text/split_patterns.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

#define SKIP_WITHOUT_MODELS() \
  if (!fs::exists(kModels)) GTEST_SKIP() << "no tokenizer files at " << kModels

// llama.cpp vectors: texts separated by a marker line, one line of ids each.
void expect_family_vectors(const Tokenizer& tokenizer, const std::string& base) {
  const std::string input = read_file(kModels + base + ".inp");
  const std::string marker = "\n__ggml_vocab_test__\n";
  size_t begin = 0;
  int64_t count = 0;
  for_each_line(kModels + base + ".out", [&](std::string_view line, int64_t) {
    const size_t end = std::min(input.find(marker, begin), input.size());
    std::istringstream stream{std::string(line)};
    const std::vector<int64_t> ids{std::istream_iterator<int64_t>(stream), {}};
    const std::string text = input.substr(begin, end - begin);
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
    begin = std::min(end + marker.size(), input.size());
    ++count;
  });
  EXPECT_GE(count, 46);
}

// Hugging Face vectors; `bos` is left out of the ids.
void expect_cases(const Tokenizer& tokenizer, const std::string& key, int64_t bos) {
  const Json cases = read_json(kModels + "hf-tokenizer-vectors/tokenizer_tests.json").at(key);
  for (const Json& entry : cases) {
    auto ids = entry.at("encoded").at("input_ids").get<std::vector<int64_t>>();
    if (!ids.empty() && ids[0] == bos) ids.erase(ids.begin());
    EXPECT_EQ(tokenizer.encode(entry.at("input").get<std::string>()), ids) << entry.at("input");
    EXPECT_EQ(tokenizer.decode(ids), entry.at("decoded_without_special"));
  }
}

void expect_long_text(const Tokenizer& tokenizer, const std::string& file, int64_t bos) {
  const Json entry = read_json(kModels + "hf-tokenizer-vectors/" + file);
  auto ids = entry.at("token_ids").get<std::vector<int64_t>>();
  if (!ids.empty() && ids[0] == bos) ids.erase(ids.begin());
  EXPECT_EQ(tokenizer.encode(entry.at("text").get<std::string>()), ids);
}

std::unique_ptr<Tokenizer> phi3() { return load_tokenizer(kModels + "phi3-tokenizer"); }

TEST(Families, gives_the_ids_and_texts_of_phi3) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = phi3();
  expect_family_vectors(*tokenizer, "phi3-tokenizer/ggml-vocab-phi-3.gguf");
  EXPECT_EQ(tokenizer->eos_id(), 32000);
  EXPECT_EQ(tokenizer->vocab_size(), 32011);
}

TEST(Families, gives_the_ids_of_llama2_from_the_same_pieces) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = phi3();
  expect_cases(*tokenizer, "coreml-projects/Llama-2-7b-chat-coreml", 1);
  expect_long_text(*tokenizer, "llama_encoded.json", 1);
}

TEST(Families, gives_the_prompt_ids_of_a_small_vocabulary_without_bytes) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = load_tokenizer(kModels + "tinystories-656k-hf");
  const Json golden = read_json(kModels + "tinystories-656k-hf/golden_greedy_f64.json");
  for (const Json& entry : golden.at("cases")) {
    auto ids = entry.at("prompt_ids").get<std::vector<int64_t>>();
    ids.erase(ids.begin());
    EXPECT_EQ(tokenizer->encode(entry.at("prompt").get<std::string>()), ids);
  }
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_EQ(tokenizer->encode("\u6c34\xff\u6c34"), (std::vector<int64_t>{80, 0}));  // fused
}

// Llama 3 as its file has it: special tokens behind the vocabulary, whole words taken as they are.
TEST(Families, gives_the_ids_of_llama3_and_its_chats) {
  SKIP_WITHOUT_MODELS();
  const Json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json split{{"type", "Split"},
                   {"pattern", {{"Regex", split_pattern(PatternKind::kLlama3)}}},
                   {"behavior", "Isolated"}};
  Json root{{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
            {"decoder", {{"type", "ByteLevel"}}}};
  root["model"] = {{"type", "BPE"},
                   {"ignore_merges", true},
                   {"vocab", read_json(kModels + "llama3-tokenizer/encoder.json")}};
  for_each_line(kModels + "llama3-tokenizer/vocab.bpe",
                [&](std::string_view line, int64_t) { root["model"]["merges"].push_back(line); });
  for (const auto& [content, id] : std::map<std::string, int64_t>{{"<|begin_of_text|>", 128000},
                                                                  {"<|start_header_id|>", 128006},
                                                                  {"<|end_header_id|>", 128007},
                                                                  {"<|eot_id|>", 128009}})
    root["added_tokens"].push_back({{"content", content}, {"id", id}, {"special", true}});
  const auto tokenizer = parse_tokenizer(root.dump(), R"({"eos_token": "<|eot_id|>"})", "llama3");
  expect_family_vectors(*tokenizer, "llama3-tokenizer/ggml-vocab-llama-bpe.gguf");
  expect_long_text(*tokenizer, "llama_3.2_encoded.json", 128000);
  const std::vector<ChatMessage> hello{{"user", "Hello<|eot_id|>"}};
  const auto ids =
      encode_chat(*tokenizer, render_chat(chat_template_by_name("llama3"), hello, true));
  EXPECT_EQ(ids[0], 128000);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 128009), 2);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 128006), 3);
}

// A text goes on behind a special token of Phi-3, which takes the white space (rstrip).
TEST(Families, lets_special_tokens_of_phi3_take_white_space) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = phi3();
  const std::vector<ChatPiece> pieces{{"<|user|>", true}, {"\nHi"}, {"<|end|>", true}, {"\n"}};
  EXPECT_EQ(encode_chat(*tokenizer, pieces), (std::vector<int64_t>{32010, 6324, 32007}));
  EXPECT_TRUE(tokenizer->added_token("<|end|>").rstrip);
  EXPECT_FALSE(tokenizer->added_token("<|endoftext|>").rstrip);
}

// A minimal_family file: "\u2581" 4, letters, one merge across a space and one behind it, two byte
// tokens.
Json minimal_family() {
  const std::string space = "\u2581";
  return {{"added_tokens",
           {{{"id", 0}, {"content", "<unk>"}, {"special", true}},
            {{"id", 1}, {"content", "</s>"}, {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "Metaspace"},
            {"replacement", space},
            {"prepend_scheme", "always"},
            {"split", false}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", space}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"model",
           {{"type", "BPE"},
            {"byte_fallback", true},
            {"fuse_unk", false},
            {"unk_token", "<unk>"},
            {"vocab",
             {{"<unk>", 0},
              {"</s>", 1},
              {"<0xC3>", 2},
              {"<0xA9>", 3},
              {space, 4},
              {"a", 5},
              {"b", 6},
              {"a" + space, 7},
              {space + "b", 8}}},
            {"merges", {"a " + space, space + " b"}}}}};
}

std::unique_ptr<Tokenizer> parsed(const Json& root) {
  return parse_tokenizer(root.dump(), R"({"eos_token": "</s>"})", "tokenizer.json");
}

Json with(const char* pointer, const Json& value) {
  Json root = minimal_family();
  root[Json::json_pointer(pointer)] = value;
  return root;
}

using Ids = std::vector<int64_t>;

TEST(Families, puts_a_space_where_the_file_says) {
  EXPECT_EQ(parsed(minimal_family())->encode("a"), (Ids{4, 5}));
  EXPECT_EQ(parsed(minimal_family())->encode(" a"), (Ids{4, 5}));
  EXPECT_EQ(parsed(minimal_family())->encode(""), Ids{});
  const auto first = parsed(with("/pre_tokenizer/prepend_scheme", "first"));
  EXPECT_EQ(first->encode("b"), Ids{8});
  EXPECT_EQ(first->encode_after_special("b"), Ids{6});
  EXPECT_EQ(parsed(with("/pre_tokenizer/prepend_scheme", "never"))->encode("b"), Ids{6});
  Json root = with("/pre_tokenizer", nullptr);
  const std::string space = "\u2581";
  root["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "Prepend"}, {"prepend", space}},
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space}}}}};
  EXPECT_EQ(parsed(root)->encode(" a"), (Ids{4, 4, 5}));
}

TEST(Families, merges_across_spaces_only_without_split) {
  EXPECT_EQ(parsed(minimal_family())->encode("a b"), (Ids{4, 7, 6}));
  EXPECT_EQ(parsed(with("/pre_tokenizer/split", true))->encode("a b"), (Ids{4, 5, 8}));
}

TEST(Families, falls_back_to_bytes_then_to_unknown) {
  EXPECT_EQ(parsed(minimal_family())->encode("\u00e9"), (Ids{4, 2, 3}));
  EXPECT_EQ(parsed(minimal_family())->encode("\u00e8\u00e8"), (Ids{4, 0, 0}));
  EXPECT_EQ(parsed(with("/model/fuse_unk", true))->encode("\u00e8\u00e8"), (Ids{4, 0}));
  EXPECT_EQ(parsed(minimal_family())->decode(Ids{4, 2, 3, 8, 1}), "\u00e9 b</s>");
  EXPECT_EQ(parsed(minimal_family())->token_text(8), " b");
  EXPECT_EQ(parsed(with("/model/unk_token", nullptr))->encode("c"), Ids{4});  // left out
  EXPECT_THROW(parsed(minimal_family())->decode(Ids{9}), Error);
}

void expect_family_refusal(const char* pointer, const Json& value, const std::string& part) {
  try {
    parsed(with(pointer, value));
    ADD_FAILURE() << "accepted: " << pointer;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Families, refuses_unknown_steps_by_name) {
  expect_family_refusal("/pre_tokenizer/prepend_scheme", "twice", "prepend_scheme twice");
  expect_family_refusal("/model/unk_token", "<nothing>", "<nothing>");
  expect_family_refusal("/model/merges", {"a c"}, "must be in model.vocab");
}

TEST(Families, takes_marks_out_of_no_text) {
  const auto tokenizer =
      parsed(with("/added_tokens/2", {{"id", 9}, {"content", "<think>"}, {"special", false}}));
  EXPECT_EQ(tokenizer->special_id("<think>"), 9);
  EXPECT_EQ(tokenizer->vocab_size(), 10);
  const Ids ids = tokenizer->encode("<think>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 9), 0);
  EXPECT_EQ(tokenizer->encode_prompt("<think>", false), Ids{9});
}

// Hostile files: an Error or a tokenizer that answers.
TEST(Families, survives_mutated_files_and_long_texts) {
  const std::string valid = minimal_family().dump();
  int accepted = 0, refused = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    Rng rng(5, "families", i);
    std::string text = valid;
    for (uint64_t n = 1 + rng.below(3); n > 0; --n)
      text[rng.below(text.size())] = "0129\"{}[],:null"[rng.below(15)];
    try {
      const auto tokenizer = parse_tokenizer(text, "", "fuzz");
      tokenizer->decode(tokenizer->encode("a b\xff c"));
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 0);
  const std::string hard = std::string(200000, 'a') + std::string(200000, ' ') + "\xc3\xa9";
  EXPECT_EQ(parsed(minimal_family())->decode(parsed(minimal_family())->encode(hard)), hard);
}

}  // namespace
}  // namespace etrlrec
