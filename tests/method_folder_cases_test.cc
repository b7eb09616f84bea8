// Model folders that people reported, with the ids that Transformers gives; ../shared/cases lies
// beside the project: without it these tests skip.
#include <gtest/gtest.h>

#include <filesystem>

#include "method/text_generation.h"
#include "refusals.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;
const fs::path kCases = fs::path(ETRLREC_SOURCE_DIR) / "../shared/cases";

std::vector<int64_t> greedy_ids(const std::string& model, const std::string& adapter,
                                const std::string& prompt, size_t prompt_tokens) {
  TextGenerationOptions options;
  options.model = (kCases / model).string();
  if (!adapter.empty()) options.adapters = {(kCases / adapter).string()};
  options.max_new_tokens = 6;
  options.sampling.temperature = 0;
  TextGenerator generator(options);
  const std::vector<int64_t> ids = generator.encode(prompt);
  EXPECT_EQ(ids.size(), prompt_tokens) << model;
  generator.load();
  return generator.run(ids).front().ids;
}

TEST(FolderCases, give_the_ids_of_transformers) {
  if (!fs::exists(kCases)) GTEST_SKIP() << "the cases are not here";
  const std::vector<int64_t> usual{114, 285, 285, 285, 285, 285};
  for (const char* model : {"14-tokenizer-truncation/model", "15-tokenizer-empty-normalizer/model",
                            "19-index-beside-single-file/both",
                            "19-index-beside-single-file/leftover", "20-tied-flag-own-head/model"})
    EXPECT_EQ(greedy_ids(model, "", "recommend a film from 1999", 7), usual) << model;
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(greedy_ids("16-tokenizer-digits/model", "", "recommend a film from 1999", 9),
            (Ids{364, 349, 245, 260, 69, 364}));
  EXPECT_EQ(greedy_ids("17-added-tokens-in-text/model", "", "history <a_1><b_2><c_3> next", 13),
            (Ids{12, 329, 380, 164, 166, 380}));
  EXPECT_EQ(greedy_ids("23-t5-without-spiece/model", "", "recommend a film from 1999", 15),
            (Ids{43, 43, 57, 75, 57, 75}));
}

TEST(FolderCases, chats_keep_what_a_template_prints_besides) {
  if (!fs::exists(kCases)) GTEST_SKIP() << "the cases are not here";
  const auto tokens = [](const char* name) {
    TextGenerationOptions options;
    options.model = (kCases / "18-chat-template-extras" / name).string();
    options.chat = true;
    const std::vector<ChatMessage> messages{{"user", "Recommend a film"}};
    return TextGenerator(options).encode(messages).size();
  };
  EXPECT_EQ(tokens("answer"), size_t{29});
  EXPECT_EQ(tokens("begin"), size_t{22});
}

TEST(FolderCases, adapters_that_hold_more_or_a_pickle_are_refused_with_a_way_out) {
  if (!fs::exists(kCases)) GTEST_SKIP() << "the cases are not here";
  const std::string root = "21-adapter-files/";
  refuses([&] { greedy_ids(root + "model", root + "head", "x", 1); }, ExitCode::kModel,
          "hint: merge this adapter with PEFT");
  refuses([&] { greedy_ids(root + "model", root + "pickle", "x", 1); }, ExitCode::kModel,
          "found adapter_model.bin");
}

}  // namespace
}  // namespace etrlrec
