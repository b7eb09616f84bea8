// The style "natural": what its prompts say, its contract, and a teacher whose sentences are the
// claims that it writes in the compact style.
#include <gtest/gtest.h>

#include "base/check.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"
#include "temporal/teachers.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

PromptOptions natural(bool reasoning, AnswerKind answer) {
  PromptOptions options;
  options.reasoning = reasoning;
  options.style = "natural";
  options.answer = answer;
  return options;
}

TEST(NaturalStyle, a_prompt_by_title_is_a_list_in_english_that_goes_on) {
  const Catalogue catalogue = small_catalogue();
  const Request request = small_request();
  const PromptOptions options = natural(false, AnswerKind::kTitle);
  const std::string prompt = student_prompt(catalogue, request, options);
  EXPECT_EQ(prompt,
            "Chosen so far:\n"
            "In autumn: Hollow River; drama, dark\n"
            "Hours later: Paper Crown; crime, dark\n"
            "Days later: Iron Letter; crime, bright\n"
            "At once: Paper Crown; crime, dark\n"
            "Weeks later: Hollow River; drama, dark\n"
            "Days later, in winter:");
  const PromptStyle& style = find_style("natural");
  for (const int32_t next : request.candidates) {
    auto items = request.history;
    auto times = request.times;
    items.push_back(next);
    times.push_back(request.now);
    const TimeLine line = style.time_line(catalogue, items, times, options);
    const TimeLine::Span& last = line.titles.back();
    EXPECT_EQ(line.text.substr(0, last.begin), prompt);
    EXPECT_EQ(line.text.substr(last.begin, last.end - last.begin), style.title(catalogue, next));
  }
  EXPECT_EQ(student_prompt(catalogue, request, natural(true, AnswerKind::kTitle)),
            prompt + "\nReasons:");
  PromptOptions timeless = options;
  timeless.with_times = false;
  const std::string without = student_prompt(catalogue, request, timeless);
  EXPECT_EQ(without.find("later"), without.npos);
  EXPECT_TRUE(without.starts_with("Chosen so far:\nFirst: Hollow River; drama, dark\nThen: Paper"));
  timeless.with_attributes = false;
  EXPECT_TRUE(student_prompt(catalogue, request, timeless)
                  .starts_with("Chosen so far:\nFirst: Hollow River;\nThen: Paper Crown;\n"));
}

TEST(NaturalStyle, a_prompt_by_number_lists_the_candidates) {
  const std::string prompt =
      student_prompt(small_catalogue(), small_request(), natural(true, AnswerKind::kNumber));
  EXPECT_NE(prompt.find("To choose from:\n1: Paper Crown; crime, dark\n2: Silent Bridge; drama, "
                        "bright\n3: Lost Meadow; horror, dark\n4: Hollow River II; drama, dark\n"
                        "Days later, in winter:\nReasons:"),
            prompt.npos)
      << prompt;
  PromptOptions options = natural(true, AnswerKind::kNumber);
  options.with_attributes = false;
  EXPECT_NE(student_prompt(small_catalogue(), small_request(), options)
                .find("To choose from:\n1: Paper Crown;\n2: Silent Bridge;\n3: Lost Meadow;\n"),
            std::string::npos);
}

TEST(NaturalStyle, knowledge_stands_in_lines_of_its_own) {
  Request request = small_request();
  request.known.lately = {6, 1};
  request.known.after = {1};
  request.known.pattern = {2};
  PromptOptions options = natural(false, AnswerKind::kTitle);
  options.knowledge = Knowledge::kTimePattern;
  options.list_candidates = true;
  const std::string prompt = student_prompt(small_catalogue(), request, options);
  EXPECT_NE(
      prompt.find("To choose from: Paper Crown; Silent Bridge; Lost Meadow; Hollow River II;\n"
                  "Most people now choose: Hollow River II; Paper Crown;\n"
                  "Others went on with: Paper Crown;\nNew in the catalogue: nothing;\n"
                  "The recommender's list: Silent Bridge;\nDays later"),
      prompt.npos)
      << prompt;
  request.known.pattern.clear();
  EXPECT_THROW(student_prompt(small_catalogue(), request, options), Error);
}

TEST(NaturalStyle, titles_of_every_kind_are_answers_of_their_own) {
  const Catalogue catalogue = hand_catalogue({"genre"}, {{"Alien", {}},
                                                         {"Alien", {}},
                                                         {"Alien 3 (1992)", {}},
                                                         {"Say \"Yes\"; now\nSo: 3", {}},
                                                         {std::string(200, 'x'), {}},
                                                         {"Dr. No", {}}});
  Request request;
  request.now = kJanuary;
  request.candidates = {0, 1, 2, 3, 4, 5};
  const PromptOptions options = natural(true, AnswerKind::kTitle);
  const std::vector<std::string> answers = answer_texts(catalogue, request, options);
  const std::string lead = "\nIn winter:";  // as in a time line
  EXPECT_EQ(answers[0], lead + " Alien;");
  EXPECT_EQ(answers[1], lead + " Alien #2;");
  EXPECT_EQ(answers[2], lead + " Alien 3 (1992);");
  EXPECT_EQ(answers[3], lead + " Say 'Yes', now So: 3;");
  EXPECT_EQ(answers[4].size(), lead.size() + 98);
  EXPECT_EQ(answer_texts(catalogue, request, natural(false, AnswerKind::kTitle))[0], " Alien;");
  for (size_t k = 0; k < answers.size(); ++k) {
    for (size_t j = 0; j < answers.size(); ++j)
      EXPECT_TRUE(j == k || !answers[j].starts_with(answers[k])) << answers[j];
    const std::string text = completion_text(" It should be war.", answers[k], options);
    const ParsedCompletion parsed = parse_completion(text, answers, options);
    EXPECT_EQ(parsed.code, AnswerCode::kValid) << text;
    EXPECT_EQ(parsed.answer, static_cast<int32_t>(k) + 1);
    EXPECT_EQ(parsed.reasoning, " It should be war.");
  }
}

TEST(NaturalStyle, each_fault_of_an_answer_has_its_code) {
  const std::vector<std::string> titles{" Alien;", " Heat;"};
  const auto code = [&](std::string_view text, bool reasoning, AnswerKind kind) {
    return parse_completion(text, titles, natural(reasoning, kind)).code;
  };
  const auto title = AnswerKind::kTitle, number = AnswerKind::kNumber;
  EXPECT_EQ(code(" So.\nSo: Heat;\n", true, title), AnswerCode::kValid);
  EXPECT_EQ(code(" So. Heat;", true, title), AnswerCode::kNoReasoning);
  EXPECT_EQ(code("  \nSo: Heat;", true, title), AnswerCode::kNoReasoning);
  EXPECT_EQ(code(" So.\nSo: Heat", true, title), AnswerCode::kNoAnswer);
  EXPECT_EQ(code(" So.\nSo: Gilda;", true, title), AnswerCode::kNoCandidate);
  EXPECT_EQ(code(" So.\nSo: Heat; and more", true, title), AnswerCode::kTrailingText);
  EXPECT_EQ(code(" So.\nSo: Heat;\nSo: Heat;", true, title), AnswerCode::kRepeatedTag);
  EXPECT_EQ(code(" Heat;", false, title), AnswerCode::kValid);
  EXPECT_EQ(code(" So.\nSo: 2.", true, number), AnswerCode::kValid);
  EXPECT_EQ(code(" So.\nSo: 2", true, number), AnswerCode::kNoAnswer);
  EXPECT_EQ(code(" So.\nSo: two.", true, number), AnswerCode::kNotAnInteger);
  EXPECT_EQ(code(" So.\nSo: .", true, number), AnswerCode::kNotAnInteger);
  EXPECT_EQ(code(" So.\nSo: 02.", true, number), AnswerCode::kNotAnInteger);
  EXPECT_EQ(code(" So.\nSo: 3.", true, number), AnswerCode::kOutOfRange);
  EXPECT_EQ(code(" So.\nSo: -1.", true, number), AnswerCode::kOutOfRange);
  EXPECT_EQ(code(" So.\nSo: 99999999999.", true, number), AnswerCode::kOutOfRange);
  EXPECT_EQ(code(" So.\nSo: 2. Sure.", true, number), AnswerCode::kTrailingText);
}

class NaturalTeacher : public ::testing::TestWithParam<bool> {};

TEST_P(NaturalTeacher, says_in_sentences_what_it_says_in_compact_claims) {
  const bool by_number = GetParam();
  const Catalogue catalogue = small_catalogue();
  const TemporalStatistics statistics = small_statistics();
  const auto teacher = [&](std::string style) {
    return make_teacher("program", catalogue, statistics,
                        {.names_candidates = by_number, .style = std::move(style)});
  };
  const auto compact = teacher("compact"), english = teacher("natural");
  std::set<std::string> texts;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Request request = small_request();
    request.now += static_cast<int64_t>(seed) * 9 * kDay;
    const FactSheet facts = compute_facts(catalogue, statistics, request);
    const ClaimContext context{catalogue, request, facts};
    const auto reply = [&](const Teacher& by) {
      Rng rng(seed, "test/teacher");
      const TeacherRequest asked{context, rng, 0, false};
      return by.reply({&asked, 1}).front();
    };
    const TeacherReply short_one = reply(*compact), long_one = reply(*english);
    EXPECT_EQ(short_one.answer, long_one.answer);
    const auto judged = [&](const char* style, const std::string& text) {
      return judge_claims(find_style(style).read(text, context).claims, context, {});
    };
    const auto claims = judged("compact", short_one.reasoning);
    const auto sentences = judged("natural", long_one.reasoning);
    ASSERT_EQ(claims.size(), sentences.size()) << long_one.reasoning;
    for (size_t i = 0; i < claims.size(); ++i) {
      EXPECT_EQ(sentences[i].claim.predicate, claims[i].claim.predicate) << long_one.reasoning;
      EXPECT_EQ(sentences[i].verdict, Verdict::kTrue)
          << claims[i].claim.predicate << " in" << long_one.reasoning;
    }
    EXPECT_EQ(find_style("natural").decision(long_one.reasoning),
              find_style("compact").decision(short_one.reasoning));
    texts.insert(long_one.reasoning);
  }
  EXPECT_GT(texts.size(), 30u);
}

INSTANTIATE_TEST_SUITE_P(Answers, NaturalTeacher, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "by_number" : "by_title");
});

}  // namespace
}  // namespace etrlrec
