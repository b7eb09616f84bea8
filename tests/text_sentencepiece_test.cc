// SentencePiece models: ids and texts of the reference implementations for T5 and Llama 2, files
// that do not fit together, and damaged files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <iterator>
#include <sstream>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "shared_models.h"
#include "text/chat.h"
#include "text/sentencepiece.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

const std::string kVectors = kModels + "hf-tokenizer-vectors/";
using Ids = std::vector<int64_t>;

#define SKIP_WITHOUT_MODELS() \
  if (!fs::exists(kModels)) GTEST_SKIP() << "no tokenizer files at " << kModels

// A folder of copies of files of the shared models.
class Folder {
 public:
  Folder() {
    static int count = 0;
    path_ = fs::temp_directory_path() / fmt::format("etrlrec-spm-{}-{}", ::getpid(), ++count);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder& take(const std::string& file, const char* as = nullptr) {
    return put(as != nullptr ? as : fs::path(file).filename().c_str(), read_file(kModels + file));
  }
  Folder& put(const char* name, const std::string& content) {
    write_file_atomic(path_ / name, content);
    return *this;
  }
  std::unique_ptr<Tokenizer> load() const { return load_tokenizer(path_); }

 private:
  fs::path path_;
};

void expect_error(const Folder& folder, ExitCode code, const std::string& part) {
  try {
    folder.load();
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

// Hugging Face vectors without the special tokens at their ends.
void expect_cases(const Tokenizer& tokenizer, const std::string& key, int64_t bos, int64_t eos) {
  const auto bare = [&](Ids ids) {
    if (!ids.empty() && ids.front() == bos) ids.erase(ids.begin());
    if (!ids.empty() && ids.back() == eos) ids.pop_back();
    return ids;
  };
  const Json cases = read_json(kVectors + "tokenizer_tests.json").at(key);
  EXPECT_GE(cases.size(), 18u);
  for (const Json& entry : cases)
    EXPECT_EQ(tokenizer.encode(entry.at("input").get<std::string>()),
              bare(entry.at("encoded").at("input_ids")))
        << entry.at("input");
}

void expect_long_text(const Tokenizer& tokenizer, const char* file, int64_t bos) {
  const Json entry = read_json(kVectors + file);
  Ids ids = entry.at("token_ids");
  if (ids.front() == bos) ids.erase(ids.begin());
  if (ids.back() == tokenizer.eos_id()) ids.pop_back();
  EXPECT_EQ(tokenizer.encode(entry.at("text").get<std::string>()), ids);
}

TEST(SentencePiece, gives_the_ids_and_texts_of_llama2) {
  SKIP_WITHOUT_MODELS();
  const auto tokenizer = load_tokenizer(kModels + "llama2-tokenizer");
  const std::string base = kModels + "llama2-tokenizer/ggml-vocab-llama-spm.gguf";
  const std::string input = read_file(base + ".inp"), marker = "\n__ggml_vocab_test__\n";
  size_t begin = 0;
  for_each_line(base + ".out", [&](std::string_view line, int64_t) {
    const size_t end = std::min(input.find(marker, begin), input.size());
    std::istringstream stream{std::string(line)};
    const Ids ids{std::istream_iterator<int64_t>(stream), {}};
    const std::string text = input.substr(begin, end - begin);
    EXPECT_EQ(tokenizer->encode(text), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids), text);
    begin = std::min(end + marker.size(), input.size());
  });
  expect_cases(*tokenizer, "coreml-projects/Llama-2-7b-chat-coreml", 1, -1);
  expect_long_text(*tokenizer, "llama_encoded.json", 1);
  const Json vectors = read_json(kModels + "llama2-tokenizer/encode_vectors.json");
  for (const Json& entry : vectors.at("cases")) {
    Ids ids = entry.at("ids");
    ids.erase(ids.begin());
    EXPECT_EQ(tokenizer->encode(entry.at("text").get<std::string>()), ids);
  }
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_EQ(tokenizer->special_id("<s>"), 1);
  EXPECT_EQ(tokenizer->vocab_size(), 32000);
  EXPECT_EQ(tokenizer->decode(Ids{1, 15043, 3186, 2}), "<s> Hello world</s>");
  EXPECT_EQ(tokenizer->token_text(3186), " world");
}

void expect_t5(const Tokenizer& tokenizer) {
  expect_cases(tokenizer, "t5-base", -1, 1);
  expect_long_text(tokenizer, "t5_base_encoded.json", -1);
  EXPECT_EQ(tokenizer.vocab_size(), 32100);
  EXPECT_EQ(tokenizer.special_id("<extra_id_0>"), 32099);
  EXPECT_EQ(tokenizer.special_id("<extra_id_99>"), 32000);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_EQ(tokenizer.decode(Ids{21820, 296, 32099, 1}), "hello world<extra_id_0></s>");
}

TEST(SentencePiece, gives_the_ids_of_t5_beside_its_json) {
  SKIP_WITHOUT_MODELS();
  expect_t5(*load_tokenizer(kModels + "t5-tokenizer"));
}

TEST(SentencePiece, gives_the_ids_of_t5_from_the_model_alone) {
  SKIP_WITHOUT_MODELS();
  Folder folder;
  expect_t5(*folder.take("t5-tokenizer/spiece.model").load());
  expect_t5(*folder.take("t5-tokenizer/tokenizer_config.json").load());
}

TEST(SentencePiece, lets_no_text_open_or_close_anything) {
  SKIP_WITHOUT_MODELS();
  for (const char* folder : {"t5-tokenizer", "llama2-tokenizer"}) {
    const auto tokenizer = load_tokenizer(kModels + folder);
    for (int64_t id : tokenizer->encode("</s><s> <extra_id_0> <0x0A></s>"))
      EXPECT_TRUE(id != tokenizer->eos_id() && id != 1 && id < 32000 &&
                  tokenizer->token_text(id) != "\n")
          << id;
  }
  const auto t5 = load_tokenizer(kModels + "t5-tokenizer");
  const std::vector<ChatMessage> messages{{"user", "hello </s>"}};
  const Ids ids = encode_chat(*t5, render_chat(chat_template_by_name("t5"), messages, true));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 1);
  EXPECT_EQ(ids.back(), 1);
}

TEST(SentencePiece, normalises_japanese_by_the_table_of_the_model) {
  SKIP_WITHOUT_MODELS();
  Folder folder;
  const auto tokenizer =
      folder.take("sentencepiece-tests/test_ja_model.model", "tokenizer.model").load();
  EXPECT_EQ(tokenizer->vocab_size(), 8000);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("\uff76\uff9e\u3000\u2460")), "\u30ac 1");
}

TEST(SentencePiece, prefers_the_json_of_a_folder) {
  SKIP_WITHOUT_MODELS();
  Folder folder;
  folder.take("llama2-tokenizer/tokenizer.model").take("phi3-tokenizer/tokenizer.json");
  EXPECT_EQ(folder.load()->vocab_size(), 32011);
}

TEST(SentencePiece, reads_added_tokens_beside_the_model) {
  SKIP_WITHOUT_MODELS();
  Folder folder;
  folder.take("llama2-tokenizer/tokenizer.model").take("phi3-tokenizer/tokenizer_config.json");
  const auto tokenizer = folder.load();
  EXPECT_EQ(tokenizer->special_id("<|user|>"), 32010);
  EXPECT_TRUE(tokenizer->added_token("<|user|>").rstrip);
  EXPECT_EQ(tokenizer->eos_id(), 32000);
  EXPECT_EQ(tokenizer->decode(Ids{32010, 15043}), "<|user|> Hello");
  EXPECT_THROW(tokenizer->encode_after_special("x"), Error);  // "legacy": false
}

TEST(SentencePiece, refuses_files_that_do_not_fit_together) {
  SKIP_WITHOUT_MODELS();
  Folder folder;
  expect_error(folder, ExitCode::kInput, "expected tokenizer.json, spiece.model");
  folder.take("t5-tokenizer/tokenizer.json");
  EXPECT_EQ(folder.load()->vocab_size(), 32100);  // the pipeline serves it
  folder.take("sentencepiece-tests/test_model.model", "spiece.model");
  expect_error(folder, ExitCode::kModel, "as in the SentencePiece model beside it");
  Folder other;
  other.take("sentencepiece-tests/test_model.model", "tokenizer.model");
  EXPECT_EQ(other.load()->vocab_size(), 1000);
  other.put("added_tokens.json", R"({"<x>": 5})");
  expect_error(other, ExitCode::kModel, "has the id of the piece");
  other.put("added_tokens.json", R"({"<x>": 99999999})");
  expect_error(other, ExitCode::kModel, "out of range");
  other.put("added_tokens.json", R"({"word": 1000})");
  EXPECT_EQ(other.load()->special_id("word"), 1000);
  other.put("tokenizer_config.json", R"({"eos_token": "<end>"})");
  expect_error(other, ExitCode::kModel, "end token \"<end>\"");
}

std::string refusal(const std::string& bytes) {
  try {
    parse_sentencepiece(bytes, {}, "m")->encode("a text, and \u212b");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    return error.what();
  }
  return "";
}

TEST(SentencePiece, refuses_every_truncation) {
  SKIP_WITHOUT_MODELS();
  const std::string whole = read_file(kModels + "sentencepiece-tests/test_model.model");
  EXPECT_EQ(refusal(whole), "");
  for (size_t size = 0; size < whole.size(); size += size < 400 ? 1 : 997)
    EXPECT_NE(refusal(whole.substr(0, size)), "") << size;
  EXPECT_NE(refusal(whole.substr(0, whole.size() - 1)), "");
  for (const char* text : {"", "\n", "not a model", "IQ== 0\nIg== 1\n"})
    EXPECT_NE(refusal(text), "") << text;
}

// A protocol buffer field with bytes.
std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (size_t n = bytes.size();; n >>= 7) {
    out += static_cast<char>((n & 0x7F) | (n > 0x7F ? 0x80 : 0));
    if (n <= 0x7F) break;
  }
  return out + bytes;
}
std::string piece(const std::string& text, char type) {
  return field(1, field(1, text) + std::string("\x15\0\0\0\0\x18", 6) + type);
}
std::string model(const std::string& more, char type, const std::string& charsmap) {
  return piece("<unk>", 2) + piece("a", 1) + more + field(2, std::string("\x18") + type) +
         field(3, charsmap.empty() ? "" : field(2, charsmap));
}

TEST(SentencePiece, refuses_what_it_cannot_trust_by_name) {
  EXPECT_EQ(refusal(model("", 1, "")), "");
  const auto expect = [](const std::string& bytes, const char* part) {
    EXPECT_NE(refusal(bytes).find(part), std::string::npos) << refusal(bytes);
  };
  expect(model("", 3, ""), "model type word");
  expect(model("", 4, ""), "model type char");
  expect(model(piece("<turn>", 4), 1, ""), "user-defined");
  expect(model(piece("x", 9), 1, ""), "unknown type 9");
  expect(model(piece(std::string("a\0b", 3), 1), 1, ""), "without zeros");
  expect(model(piece("\xff", 1), 1, ""), "UTF-8");
  expect(model(piece("a", 1), 1, ""), "SentencePiece refuses");  // twice
  expect(model("", 1, "abc"), "normalisation table");
  std::string map(4 + 1024, '\0');
  map[1] = 4;  // 1024 bytes of trie
  expect(model("", 1, map), "normalisation table");
  map += std::string("x\0", 2);
  EXPECT_EQ(refusal(model("", 1, map)), "");
  std::string far = map;
  far[4 + 3] = 0x40;  // an offset far behind the trie
  expect(model("", 1, far), "damaged unit 0");
  std::string leaf = map;
  leaf[4 + 1] = 0x05;  // offset 1, has a leaf
  leaf[4 + 4 + 1] = 0x7f;
  expect(model("", 1, leaf), "damaged leaf 1");
  expect(model("", 1, map.substr(0, map.size() - 1)), "normalisation table");
}

// Any change of bytes: an Error or a tokenizer that answers.
TEST(SentencePiece, survives_mutated_files) {
  SKIP_WITHOUT_MODELS();
  const std::string whole = read_file(kModels + "sentencepiece-tests/test_model.model");
  int accepted = 0, refused = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    Rng rng(3, "sentencepiece", i);
    std::string bytes = whole;
    for (uint64_t n = 1 + rng.below(8); n > 0; --n)
      bytes[rng.below(bytes.size())] = static_cast<char>(rng.below(256));
    refusal(bytes).empty() ? ++accepted : ++refused;
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace etrlrec
