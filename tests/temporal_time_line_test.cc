// Answers by title: the time line that prompts and reading share, and its contract.
#include <gtest/gtest.h>

#include "base/check.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

const PromptOptions kTitle{.reasoning = false, .answer = AnswerKind::kTitle};

TEST(TimeLine, the_prompt_is_the_text_that_is_read) {
  const Catalogue catalogue = small_catalogue();
  Request request = small_request();
  const std::string prompt = student_prompt(catalogue, request, kTitle);
  EXPECT_EQ(prompt,
            "History; start autumn Hollow River; drama dark day Paper Crown; crime dark week Iron "
            "Letter; crime bright tie Paper Crown; crime dark month Hollow River; drama dark week "
            "winter");
  // Whatever comes next, the prompt is how the longer time line begins.
  for (const int32_t next : request.candidates) {
    auto items = request.history;
    auto times = request.times;
    items.push_back(next);
    times.push_back(request.now);
    const TimeLine line = find_style("compact").time_line(catalogue, items, times, kTitle);
    ASSERT_EQ(line.titles.size(), items.size());
    const TimeLine::Span& last = line.titles.back();
    EXPECT_EQ(line.text.substr(0, last.begin), prompt);
    EXPECT_EQ(line.text.substr(last.begin, last.end - last.begin),
              find_style("compact").title(catalogue, next));
    // Behind a reasoning the title stands as it does there.
    PromptOptions reasoned = kTitle;
    reasoned.reasoning = true;
    Request one = request;
    one.candidates = {next};
    const std::string answer = answer_texts(catalogue, one, reasoned)[0];
    EXPECT_EQ(answer, " Hollow River; drama dark week winter" +
                          find_style("compact").title(catalogue, next));
    EXPECT_TRUE(line.text.substr(0, last.end).ends_with(answer)) << line.text;
  }
  request.target_slot = 0;
  EXPECT_EQ(student_prompt(catalogue, request, kTitle), prompt);
}

TEST(TimeLine, has_no_word_of_time_without_times) {
  const Catalogue catalogue = small_catalogue();
  PromptOptions options = kTitle;
  options.with_times = false;
  EXPECT_EQ(student_prompt(catalogue, small_request(), options),
            "History; Hollow River; drama dark Paper Crown; crime dark Iron Letter; crime bright "
            "Paper Crown; crime dark Hollow River; drama dark");
}

// In front of an answer behind a reasoning, too.
TEST(TimeLine, has_titles_alone_without_attributes) {
  const Catalogue catalogue = small_catalogue();
  PromptOptions options = kTitle;
  options.with_attributes = false;
  EXPECT_EQ(student_prompt(catalogue, small_request(), options),
            "History; start autumn Hollow River; day Paper Crown; week Iron Letter; tie Paper "
            "Crown; month Hollow River; week winter");
  options.reasoning = true;
  EXPECT_EQ(answer_texts(catalogue, small_request(), options)[0],
            " Hollow River; week winter Paper Crown;");
}

TEST(TimeLine, begins_where_there_is_no_history) {
  Request request;
  request.now = kJanuary;
  request.candidates = {0, 1};
  EXPECT_EQ(student_prompt(small_catalogue(), request, kTitle), "History; start winter");
}

// Two equal titles, a title that begins another one, one that is too long, one with every sign that
// texts use.
TEST(TimeLine, titles_of_every_kind_are_answers_of_their_own) {
  const std::string longest(200, 'x');
  const Catalogue catalogue = hand_catalogue({"genre"}, {{"Alien", {}},
                                                         {"Alien", {}},
                                                         {"Alien Nation", {}},
                                                         {longest, {}},
                                                         {"A; <b> (c)", {}},
                                                         {longest + "y", {}},
                                                         {"Alien #2", {}}});
  Request request;
  request.now = kJanuary;
  request.candidates = {0, 1, 2, 3, 4, 5, 6};
  for (const bool reasoning : {true, false}) {
    PromptOptions options = kTitle;
    options.reasoning = reasoning;
    const auto texts = answer_texts(catalogue, request, options);
    for (size_t a = 0; a < texts.size(); ++a)
      for (size_t b = 0; b < texts.size(); ++b)
        EXPECT_TRUE(a == b || !texts[b].starts_with(texts[a])) << texts[a] << " " << texts[b];
    const std::string lead = reasoning ? " start winter" : "";
    EXPECT_EQ(texts[0], lead + " Alien;");
    EXPECT_EQ(texts[1], lead + " Alien #2;");
    EXPECT_EQ(texts[4], lead + " A, [b] [c];");
    for (size_t k = 0; k < texts.size(); ++k) {
      const std::string text = completion_text(" need( drama)", texts[k], options);
      const ParsedCompletion parsed = parse_completion(text, texts, options);
      EXPECT_EQ(parsed.code, AnswerCode::kValid) << text;
      EXPECT_EQ(parsed.answer, static_cast<int32_t>(k) + 1) << text;
      EXPECT_EQ(parsed.reasoning, reasoning ? " need( drama)" : "");
      const std::string twice = text + text;
      EXPECT_NE(parse_completion(twice, texts, options).code, AnswerCode::kValid);
    }
  }
}

TEST(TimeLine, each_fault_of_an_answer_has_its_code) {
  using enum AnswerCode;
  const std::vector<std::string> texts{" Alien;", " Heat;"};
  PromptOptions options = kTitle;
  options.reasoning = true;
  const std::vector<std::pair<std::string, AnswerCode>> cases{
      {"", kNoReasoning},
      {" Heat;", kNoReasoning},
      {" \n</reasoning> Heat;", kNoReasoning},
      {"x</reasoning>", kNoAnswer},
      {"x</reasoning> Heat", kNoAnswer},
      {"x</reasoning> Speed;", kNoCandidate},
      {"x</reasoning> Heat 2;", kNoCandidate},
      {"x</reasoning> Heat; week", kTrailingText},
      {"x</reasoning> y</reasoning> Heat;", kRepeatedTag},
      {"x</reasoning>\n Heat; ", kValid}};
  for (const auto& [text, code] : cases)
    EXPECT_EQ(parse_completion(text, texts, options).code, code) << text;
  EXPECT_STREQ(answer_code_name(kNoCandidate), "no_candidate");
}

TEST(TimeLine, kinds_of_answers_have_names) {
  for (const AnswerKind kind : {AnswerKind::kNumber, AnswerKind::kTitle})
    EXPECT_EQ(answer_kind(answer_kind_name(kind)), kind);
  EXPECT_THROW(answer_kind("word"), Error);
}

}  // namespace
}  // namespace etrlrec
