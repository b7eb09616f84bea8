// What stands in front of a raw text, by the files of a folder.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/begin_tokens.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

class SpecialTokens final : public Tokenizer {
 public:
  int64_t vocab_size() const override { return 10; }
  std::vector<int64_t> encode(std::string_view) const override { return {}; }
  std::string decode(std::span<const int64_t>) const override { return ""; }
  int64_t special_id(std::string_view name) const override {
    CHECK(name == "<s>", kInput, "no special token {}", name);
    return 7;
  }
  std::vector<std::string> added_token_names() const override { return {"<s>"}; }
  int64_t eos_id() const override { return 2; }
};

std::vector<int64_t> begins(const Json& config, const Json& tokenizer) {
  const fs::path folder = fs::path(testing::TempDir()) / "begin-tokens";
  fs::remove_all(folder);
  fs::create_directories(folder);
  if (!config.is_null()) write_file_atomic(folder / "tokenizer_config.json", config.dump());
  if (!tokenizer.is_null()) write_file_atomic(folder / "tokenizer.json", tokenizer.dump());
  return begin_tokens(folder, SpecialTokens());
}

Json piece(const char* kind, const char* id) { return {{kind, {{"id", id}, {"type_id", 0}}}}; }

Json with_template(const Json& single) {
  return {{"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", single},
            {"special_tokens", {{"<a>", {{"ids", {3}}}}, {"<b>", {{"ids", {4, 5}}}}}}}}};
}

using Ids = std::vector<int64_t>;
const Json kFront = {piece("SpecialToken", "<a>"), piece("Sequence", "A")};
const Json kByteLevel = {{"type", "ByteLevel"}};

TEST(BeginTokens, follow_the_configuration) {
  EXPECT_EQ(begins({{"add_bos_token", true}, {"bos_token", "<s>"}}, nullptr), Ids{7});
  EXPECT_EQ(begins({{"add_bos_token", true}, {"bos_token", {{"content", "<s>"}}}}, Json::object()),
            Ids{7});
  EXPECT_EQ(begins({{"add_bos_token", false}, {"bos_token", "<s>"}}, with_template(kFront)), Ids{});
  EXPECT_EQ(begins({{"tokenizer_class", "LlamaTokenizer"}, {"bos_token", "<s>"}}, nullptr), Ids{7});
  EXPECT_EQ(begins({{"tokenizer_class", "T5Tokenizer"}, {"bos_token", "<s>"}}, nullptr), Ids{});
  EXPECT_EQ(begins(nullptr, nullptr), Ids{});
}

TEST(BeginTokens, follow_the_post_processor) {
  EXPECT_EQ(begins(nullptr, with_template(kFront)), Ids{3});
  EXPECT_EQ(begins({{"bos_token", "<s>"}}, with_template(kFront)), Ids{3});
  EXPECT_EQ(begins(nullptr, with_template({piece("SpecialToken", "<a>"),
                                           piece("SpecialToken", "<b>"), piece("Sequence", "A")})),
            (Ids{3, 4, 5}));
  EXPECT_EQ(begins(nullptr, with_template({piece("Sequence", "A"), piece("SpecialToken", "<a>")})),
            Ids{});
  EXPECT_EQ(begins(nullptr, {{"post_processor", kByteLevel}}), Ids{});
  EXPECT_EQ(begins(nullptr, {{"post_processor", nullptr}}), Ids{});
  for (const char* type : {"BertProcessing", "RobertaProcessing"}) {
    Json processor = {{"type", type}};
    processor["cls"] = Json::array({"<a>", 3});
    EXPECT_EQ(begins(nullptr, {{"post_processor", processor}}), Ids{3}) << type;
    processor["cls"] = Json::array({"<a>", 10});
    EXPECT_THROW(begins(nullptr, {{"post_processor", processor}}), Error) << type;
  }
  const Json llama3 = {{"type", "Sequence"},
                       {"processors", {kByteLevel, with_template(kFront)["post_processor"]}}};
  EXPECT_EQ(begins(nullptr, {{"post_processor", llama3}}), Ids{3});
}

TEST(BeginTokens, refuse_files_that_do_not_say_it) {
  EXPECT_THROW(begins({{"add_bos_token", true}}, nullptr), Error);
  EXPECT_THROW(begins({{"add_bos_token", true}, {"bos_token", "<other>"}}, nullptr), Error);
  EXPECT_THROW(begins({{"add_bos_token", "yes"}}, nullptr), Error);
  EXPECT_THROW(begins(nullptr, {{"post_processor", {{"type", "BertProcessing"}}}}), Error);
  EXPECT_THROW(begins(nullptr, {{"post_processor", {{"type", "TemplateProcessing"}}}}), Error);
  EXPECT_THROW(begins(nullptr, with_template(Json::array({piece("SpecialToken", "<none>")}))),
               Error);
  EXPECT_THROW(begins(nullptr, with_template(piece("SpecialToken", "<a>"))), Error);
  Json outside = with_template(kFront);
  outside["post_processor"]["special_tokens"]["<a>"]["ids"] = {10};
  EXPECT_THROW(begins(nullptr, outside), Error);
}

TEST(BeginTokens, of_published_folders) {
  const fs::path models = fs::path(ETRLREC_SOURCE_DIR) / "../shared/models";
  if (!fs::exists(models)) GTEST_SKIP() << "no tokenizer files at " << models;
  const fs::path stories = models / "tinystories-656k-hf";
  const auto tokenizer = load_tokenizer(stories);
  const Json golden = read_json(stories / "golden_greedy_f64.json");
  for (const Json& entry : golden.at("cases")) {
    Ids ids = begin_tokens(stories, *tokenizer);
    for (int64_t id : tokenizer->encode(entry.at("prompt").get<std::string>())) ids.push_back(id);
    EXPECT_EQ(ids, entry.at("prompt_ids").get<Ids>());
  }
  const fs::path phi3 = models / "phi3-tokenizer";
  EXPECT_EQ(begin_tokens(phi3, *load_tokenizer(phi3)), Ids{});
}

}  // namespace
}  // namespace etrlrec
