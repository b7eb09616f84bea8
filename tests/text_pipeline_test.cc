// tokenizer.json of any composition: ids and texts of Hugging Face tokenizers, the fast ways
// against the pipeline, refusals, hostile files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <sstream>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "golden_path.h"
#include "shared_models.h"
#include "text/bpe_file.h"
#include "text/char_bpe_file.h"
#include "text/charsmap.h"
#include "text/normal_forms.h"
#include "text/pipeline_file.h"
#include "text/text_pattern.h"
#include "text/tokenizer_folder.h"
#include "text/utf8.h"
#include "text/wordpiece.h"

namespace etrlrec {
namespace {

using Ids = std::vector<int64_t>;

const std::string kCases = std::string(ETRLREC_SOURCE_DIR) + "/../shared/cases/";

Ids ids_of(const std::string& spelled) {
  std::istringstream in(spelled);
  return {std::istream_iterator<int64_t>(in), {}};
}

// Bytes that make no UTF-8 as the library writes them.
std::string readable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    out += length > 0 ? text.substr(0, length) : "\uFFFD";
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

TEST(Pipeline, gives_the_ids_and_texts_of_the_library_for_every_step) {
  const Json golden = read_json(golden_path() / "pipelines/pipelines.json");
  const Json& texts = golden.at("texts");
  ASSERT_GE(golden.at("cases").size(), 100u);
  for (Json root : golden.at("cases")) {
    const auto name = root.at("name").get<std::string>();
    root["model"] = golden.at("models").at(root.at("model").get<std::string>());
    const auto tokenizer = read_pipeline(root, "", name);
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto text = texts[i].get<std::string>();
      const Ids ids = ids_of(root.at("ids")[i].get<std::string>());
      EXPECT_EQ(tokenizer->encode_prompt(text, true), ids) << name << ": " << text;
      if (root.contains("typed")) {
        EXPECT_EQ(tokenizer->encode_prompt(text, false),
                  ids_of(root["typed"][i].get<std::string>()))
            << name << ": " << text;
      }
      if (!root.contains("decoded")) continue;
      const Json& decoded = root["decoded"][i];  // null: the text
      EXPECT_EQ(readable(tokenizer->decode(ids)),
                decoded.is_null() ? text : decoded.get<std::string>())
          << name;
    }
  }
}

// A text of ordinary and difficult characters.
std::string random_text(Rng& rng) {
  static const std::vector<std::string> kParts{
      " ",     "  ",    "a",      "the",     "Kalo",   "1",          "23",     ".",
      "'s",    "\n",    "\u00e9", "e\u0301", "\u2581", "\u65e5",     "\u3000", "<s>",
      "[CLS]", "<a_1>", "don't",  "\t",      "\u00df", "\U0001f600", "\u00bd", "\r\n",
      "#",     "Bel",   "\u0130", "\u0430",  "x y",    "!?"};
  std::string out;
  for (uint64_t n = rng.below(12); n > 0; --n) out += kParts[rng.below(kParts.size())];
  return out;
}

// The fast way of a file against the pipeline of the same file.
void expect_same(const fs::path& path, bool is_fast) {
  if (!fs::exists(path)) return;
  const std::string name = path.string();
  const Json root = read_json(path);
  EXPECT_EQ(
      is_byte_level_bpe(root, name) || is_char_bpe(root, name) || is_bert_word_piece(root, name),
      is_fast)
      << name;
  const auto fast = parse_tokenizer(root.dump(), "", name), slow = read_pipeline(root, "", name);
  EXPECT_EQ(fast->vocab_size(), slow->vocab_size());
  for (uint64_t i = 0; i < 200; ++i) {
    Rng rng(11, "pipeline", i);
    const std::string text = random_text(rng);
    const Ids ids = fast->encode(text);
    EXPECT_EQ(ids, slow->encode(text)) << name << ": " << text;
    EXPECT_EQ(fast->encode_after_special(text), slow->encode_after_special(text)) << text;
    for (const bool parse_special : {false, true})
      EXPECT_EQ(fast->encode_prompt(text, parse_special), slow->encode_prompt(text, parse_special))
          << name << ": " << text;
    EXPECT_EQ(fast->decode(ids), slow->decode(ids)) << name << ": " << text;
  }
}

TEST(Pipeline, is_the_slow_twin_of_the_fast_ways) {
  for (const char* name : {"gpt2", "qwen2", "llama3", "phrases", "smollm", "bert"})
    expect_same(golden_path() / "tokenizers" / name / "tokenizer.json", true);
  for (const char* name : {"14-tokenizer-truncation", "15-tokenizer-empty-normalizer",
                           "16-tokenizer-digits", "17-added-tokens-in-text"})
    expect_same(kCases + name + "/model/tokenizer.json", true);
}

// Phi-3's layout with vocabularies of bytes, as it is read fast.
TEST(Pipeline, is_the_slow_twin_of_bpe_over_characters) {
  if (!fs::exists(kModels)) GTEST_SKIP() << "no tokenizer files at " << kModels;
  expect_same(kModels + "phi3-tokenizer/tokenizer.json", true);
  expect_same(kModels + "tinystories-656k-hf/tokenizer.json", false);
}

TEST(Pipeline, reads_files_of_others) {
  if (!fs::exists(kCases)) GTEST_SKIP() << "no cases at " << kCases;
  const std::string film = "recommend a film from 1999";
  const auto prompt = [&](const std::string& name, const std::string& text) {
    return load_tokenizer(kCases + name + "/model")->encode_prompt(text, false);
  };
  EXPECT_EQ(prompt("14-tokenizer-truncation", film).size(), 7u);
  EXPECT_EQ(prompt("15-tokenizer-empty-normalizer", film).size(), 7u);
  EXPECT_EQ(prompt("16-tokenizer-digits", film).size(), 9u);
  EXPECT_EQ(prompt("17-added-tokens-in-text", "history <a_1><b_2><c_3> next"),
            (Ids{74, 75, 325, 342, 223, 377, 382, 387, 223, 80, 71, 90, 86}));
  EXPECT_EQ(prompt("23-t5-without-spiece", film),
            (Ids{3, 61, 25, 41, 36, 3, 6, 29, 35, 10, 64, 33, 46, 58}));  // "</s>" comes later
}

TEST(Pipeline, recognises_sentinels_of_t5_in_prompts_only) {
  if (!fs::exists(kModels)) GTEST_SKIP() << "no tokenizer files at " << kModels;
  const auto tokenizer = load_tokenizer(kModels + "t5-tokenizer");
  const int64_t sentinel = tokenizer->special_id("<extra_id_0>");
  const auto count = [&](const Ids& ids) { return std::count(ids.begin(), ids.end(), sentinel); };
  EXPECT_EQ(count(tokenizer->encode_prompt("a <extra_id_0> b", true)), 1);
  EXPECT_EQ(count(tokenizer->encode_prompt("a <extra_id_0> b", false)), 0);
  EXPECT_EQ(count(tokenizer->encode("a <extra_id_0> b")), 0);
}

Json words(const Json& steps = Json::object()) {
  Json root{{"model",
             {{"type", "WordLevel"},
              {"unk_token", "u"},
              {"vocab", {{"u", 0}, {"a", 1}, {"<s>", 2}, {"<t>", 3}, {"b", 4}}}}},
            {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
            {"added_tokens",
             {{{"id", 2}, {"content", "<s>"}, {"special", true}},
              {{"id", 3}, {"content", "<t>"}, {"special", false}},
              {{"id", 4}, {"content", "b"}, {"special", false}}}}};
  root.update(steps);
  return root;
}

// Even where the model knows them as words.
TEST(Pipeline, takes_no_special_token_out_of_outside_text) {
  const auto tokenizer = read_pipeline(words(), R"({"eos_token": "<s>"})", "words");
  EXPECT_EQ(tokenizer->encode("a <s> <t> b"), (Ids{1, 0, 0, 4}));
  EXPECT_EQ(tokenizer->encode_prompt("a <s> <t> b", false), (Ids{1, 0, 3, 4}));
  EXPECT_EQ(tokenizer->encode_prompt("a <s> <t> b", true), (Ids{1, 2, 3, 4}));
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_EQ(tokenizer->decode(Ids{1, 2}), "a <s>");
  EXPECT_EQ(tokenizer->token_text(1), " a");
  EXPECT_THROW(tokenizer->decode(Ids{5}), Error);
  EXPECT_THROW(tokenizer->special_id("a"), Error);
}

TEST(Pipeline, reads_bytes_that_are_no_utf8_as_the_replacement_character) {
  Json root = words();
  root["model"]["vocab"]["\uFFFD"] = 5;
  const auto tokenizer = read_pipeline(root, "", "words");
  EXPECT_EQ(tokenizer->encode("a \xff \xc3"), (Ids{1, 5, 5}));
}

std::string pipeline_refusal(const Json& root) {
  try {
    read_pipeline(root, "", "file")->encode_prompt("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    return error.what();
  }
  return "";
}

Json regex_step(const std::string& pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
}

TEST(Pipeline, refuses_what_it_does_not_know_by_name) {
  const std::vector<std::pair<Json, std::string>> kBad{
      {{{"normalizer", {{"type", "Uppercase"}}}}, "normalizer Uppercase is not supported; known"},
      {{{"normalizer", {{"type", "Sequence"}}}}, "\"normalizers\": expected an array"},
      {{{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}}}}, "table"},
      {{{"pre_tokenizer", {{"type", "UnicodeScripts"}}}}, "pre_tokenizer UnicodeScripts"},
      {{{"pre_tokenizer", {{"type", "Punctuation"}, {"behavior", "Gone"}}}}, "behavior Gone"},
      {{{"pre_tokenizer", {{"type", "CharDelimiterSplit"}, {"delimiter", "ab"}}}}, "one character"},
      {{{"pre_tokenizer", {{"type", "FixedLength"}, {"length", 0}}}}, "positive length"},
      {{{"decoder", {{"type", "CTC"}}}}, "decoder CTC is not supported; known"},
      {{{"decoder", {{"type", "Strip"}, {"start", -1}, {"stop", 0}}}}, "expected counts"},
      {{{"added_tokens", {{{"id", 1}, {"content", "zz"}}}}}, "occurs twice"},
      {{{"added_tokens", {{{"id", 9}, {"content", "a"}}}}}, "another id in model.vocab"},
      {{{"added_tokens", {{{"id", -1}, {"content", "zz"}}}}}, "out of range"},
      {{{"pre_tokenizer", regex_step("(a+)+[bc]")}}, "takes too many steps"},
  };
  for (const auto& [steps, part] : kBad)
    EXPECT_NE(pipeline_refusal(words(steps)).find(part), std::string::npos)
        << steps << ": " << pipeline_refusal(words(steps));
}

TEST(Pipeline, refuses_regular_expressions_it_cannot_translate) {
  for (const char* pattern :
       {"(", ")", "[", "a)", "(?x) a", "(?~a)", "\\", "\\C", "\\p{Elvish}", "[b-a]", "\\x{110000}",
        "*a", "(?<=a*)b", "[[:elf:]]", "\\pL", "(?<n", "\\u12", "a\\xC3", "(?(1)a)"})
    EXPECT_NE(pipeline_refusal(words({{"pre_tokenizer", regex_step(pattern)}})), "") << pattern;
  EXPECT_NE(pipeline_refusal(words({{"pre_tokenizer", regex_step(std::string(300, '('))}})), "");
  EXPECT_NE(pipeline_refusal(words({{"pre_tokenizer", regex_step(std::string(300, '['))}})), "");
  EXPECT_NE(pipeline_refusal(words({{"pre_tokenizer", regex_step(std::string(20000, 'a'))}})), "");
}

TEST(Pipeline, refuses_damaged_models) {
  const auto with_model = [](const Json& model) { return pipeline_refusal({{"model", model}}); };
  EXPECT_NE(with_model({{"type", "Unigram"}, {"vocab", Json::array()}}), "");
  EXPECT_NE(
      with_model(
          {{"type", "Unigram"}, {"vocab", Json::array({Json::array({"a", -1.0})})}, {"unk_id", 7}}),
      "");
  EXPECT_NE(with_model({{"type", "Unigram"}, {"vocab", Json::array({Json::array({"b", -1.0})})}})
                .find("no unknown token"),
            std::string::npos);
  EXPECT_NE(with_model({{"type", "WordLevel"}, {"vocab", {{"b", 1}}}}).find("unknown token"),
            std::string::npos);
  EXPECT_NE(with_model({{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", {"a a"}}}), "");
  EXPECT_NE(with_model({{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 0}}}, {"merges", {}}}), "");
}

TEST(Pipeline, survives_mutated_files) {
  const Json golden = read_json(golden_path() / "pipelines/pipelines.json");
  int accepted = 0, refused = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    Rng rng(5, "pipelines", i);
    Json root = golden.at("cases")[rng.below(golden.at("cases").size())];
    const bool is_small = root.at("model") != "characters";
    root["model"] = golden.at("models").at(is_small ? root["model"] : Json("word pieces"));
    root.erase("ids");
    root.erase("decoded");
    std::string text = root.dump();
    for (uint64_t n = 1 + rng.below(3); n > 0; --n)
      text[rng.below(text.size())] = "0129\"{}[],:null\\()"[rng.below(18)];
    try {
      const auto tokenizer = parse_tokenizer(text, "", "fuzz");
      tokenizer->decode(tokenizer->encode_prompt("kalo <s>miren\xff 12 \u65e5", true));
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 100);
}

TEST(Charsmap, reads_no_damaged_table_beyond_its_end) {
  for (uint64_t i = 0; i < 3000; ++i) {
    Rng rng(3, "charsmap", i);
    std::string bytes(8 + 4 * rng.below(80), '\0');
    for (char& c : bytes) c = static_cast<char>(rng.below(3) == 0 ? rng.below(256) : 0);
    const uint32_t size = static_cast<uint32_t>(4 * rng.below(bytes.size() / 4));
    std::memcpy(bytes.data(), &size, sizeof size);
    try {
      const Charsmap charsmap(bytes, "fuzz");
      size_t read = 0;
      charsmap.normalize("a\u00e9\u3000\r\nx\u0301",
                         [&](std::string_view before, auto) { read += before.size(); });
      EXPECT_EQ(read, 11u);
    } catch (const Error&) {
    }
  }
}

TEST(NormalForms, orders_long_runs_of_marks_quickly) {
  std::string text = "a";
  for (int i = 0; i < 100000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0316";
  const std::string out = normal_form(text, NormalForm::kNfd);
  EXPECT_EQ(out.size(), text.size());
  EXPECT_TRUE(out.starts_with("a\u0316\u0316"));
  EXPECT_EQ(normal_form("e\u0301\u0316", NormalForm::kNfc), "\u00e9\u0316");
  EXPECT_EQ(normal_form("\ufb01", NormalForm::kNfkc), "fi");
}

// A chat template may print them, so they must be known by name.
TEST(Pipeline, names_its_added_tokens) {
  const Json root{
      {"added_tokens", {{{"id", 2}, {"content", "<|im_end|>"}, {"special", true}}}},
      {"model", {{"type", "WordLevel"}, {"vocab", {{"a", 0}, {"b", 1}}}, {"unk_token", "a"}}}};
  EXPECT_EQ(read_pipeline(root, "", "words")->added_token_names(),
            std::vector<std::string>{"<|im_end|>"});
}

}  // namespace
}  // namespace etrlrec
