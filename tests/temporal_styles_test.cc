// What every style of writing must keep, whatever its words are.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

// The answers by number of a prompt with `count` candidates.
std::vector<std::string> numbers_of(const PromptStyle& style, int32_t count) {
  std::vector<std::string> texts;
  for (int32_t k = 1; k <= count; ++k) texts.push_back(style.number(k));
  return texts;
}

TEST(Styles, are_found_by_name_and_others_are_refused) {
  ASSERT_EQ(style_names().size(), prompt_styles().size());
  for (const std::string& name : style_names()) EXPECT_EQ(find_style(name).name, name);
  try {
    find_style("baroque", "card.json: style");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    EXPECT_NE(std::string(error.what()).find("card.json: style: expected one of compact"),
              std::string::npos);
  }
  EXPECT_THROW(student_prompt(small_catalogue(), small_request(), {.style = "baroque"}), Error);
  EXPECT_THROW(parse_completion("</answer>", {}, {.style = "baroque"}), Error);
}

TEST(Styles, read_back_what_they_write) {
  for (const PromptStyle& style : prompt_styles())
    for (const bool reasoning : {true, false})
      for (const int32_t answer : {1, 9, 10, 20}) {
        const PromptOptions options{.reasoning = reasoning, .style = std::string(style.name)};
        const std::string text = completion_text(" long( drama)", style.number(answer), options);
        const ParsedCompletion parsed = parse_completion(text, numbers_of(style, 20), options);
        EXPECT_EQ(parsed.code, AnswerCode::kValid) << text;
        EXPECT_EQ(parsed.answer, answer) << text;
        EXPECT_EQ(parsed.reasoning, reasoning ? " long( drama)" : "") << text;
        const std::string twice = text + text;
        EXPECT_NE(parse_completion(twice, numbers_of(style, 20), options).code, AnswerCode::kValid)
            << text;
      }
}

TEST(Styles, show_every_entry_and_candidate_and_not_the_target) {
  const Catalogue catalogue = small_catalogue();
  for (const PromptStyle& style : prompt_styles()) {
    const PromptOptions options{.style = std::string(style.name)};
    Request request = small_request();
    const std::string text = student_prompt(catalogue, request, options);
    for (const char* word : {"Hollow River", "Paper Crown", "Iron Letter", "Lost Meadow"})
      EXPECT_NE(text.find(word), text.npos) << style.name << ": " << word;
    request.target_slot = 0;
    EXPECT_EQ(student_prompt(catalogue, request, options), text) << style.name;
    EXPECT_THROW(
        student_prompt(catalogue, request, {.max_history = 4, .style = std::string(style.name)}),
        Error);
  }
}

TEST(Styles, have_words_that_a_tokenizer_can_keep_whole) {
  const Catalogue catalogue = small_catalogue();
  const fs::path folder = fs::temp_directory_path() / fmt::format("etrlrec_styles_{}", ::getpid());
  for (const PromptStyle& style : prompt_styles()) {
    BpeTrainingOptions options{.vocab_size = 600, .required_words = {" 1"}};
    std::vector<std::string> words;
    for (const std::string& word : style.words(catalogue, 12))
      for (const std::string& piece : training_pieces(word, options))
        if (piece.size() > 1 && std::find(words.begin(), words.end(), piece) == words.end())
          words.push_back(piece);
    options.required_words = words;
    fs::create_directories(folder);
    train_bpe({}, options, folder);
    const auto tokenizer = load_tokenizer(folder);
    for (const std::string& word : words) EXPECT_EQ(tokenizer->encode(word).size(), 1u) << word;
    const PromptOptions prompt{.style = std::string(style.name)};
    for (const auto& answer : encode_answers(*tokenizer, numbers_of(style, 12), prompt).answers)
      EXPECT_EQ(answer.size(), 1u) << style.name;
    fs::remove_all(folder);
  }
}

}  // namespace
}  // namespace etrlrec
