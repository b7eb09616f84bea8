// The tasks of soft prompts: their texts in both styles, and in every style that what is hidden is
// shown nowhere.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/check.h"
#include "base/strings.h"
#include "refusals.h"
#include "temporal/masked_tasks.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

PromptOptions asked_in(std::string_view style) {
  return {.reasoning = false, .style = std::string(style), .answer = AnswerKind::kTitle};
}

// Seven entries a day apart, the sixth of which (Pale Mirror) occurs once.
Request analysis_request() {
  Request request;
  request.history = {0, 1, 2, 3, 4, 5, 6};
  for (int64_t j = 0; j < 7; ++j) request.times.push_back(kJanuary + j * kDay);
  request.now = request.times.back();
  request.candidates = {1, 5, 3};
  request.target_slot = 1;
  return request;
}

Request simulating_request() {
  Request request;
  request.history = {0, 1};
  request.times = {kJanuary, kJanuary + kDay};
  request.now = kJanuary + 2 * kDay;
  request.candidates = {4, 6, 2};
  request.known.pattern = {6, 2, 3};
  return request;
}

TEST(MaskedTasks, compact_texts) {
  const Catalogue catalogue = small_catalogue();
  PromptOptions options = asked_in("compact");
  EXPECT_EQ(temporal_analysis_prompt(catalogue, analysis_request(), 4, options),
            "History; start winter Hollow River; drama dark day Paper Crown; crime dark day mask; "
            "day Iron Letter; crime bright\nMask; Silent Bridge;\n"
            "History; start winter Hollow River; drama dark day Paper Crown; crime dark day Silent "
            "Bridge; drama bright day Iron Letter; crime bright day Lost Meadow; horror dark day "
            "mask; day Hollow River II; drama dark\nMask;");
  EXPECT_EQ(pattern_simulating_prompt(catalogue, simulating_request(), "sasrec", options),
            "History; start winter Hollow River; drama dark day Paper Crown; crime dark\n"
            "Sasrec; mask; Silent Bridge; Iron Letter;\nMask;");
  options.list_candidates = true, options.with_times = false;
  EXPECT_EQ(temporal_analysis_prompt(catalogue, analysis_request(), 0, options),
            "History; Hollow River; drama dark Paper Crown; crime dark Silent Bridge; drama bright "
            "Iron Letter; crime bright Lost Meadow; horror dark mask; Hollow River II; drama dark\n"
            "Candidates; Paper Crown; Pale Mirror; Iron Letter;\nMask;");
  EXPECT_EQ(pattern_simulating_prompt(catalogue, simulating_request(), "gru4rec", options),
            "History; Hollow River; drama dark Paper Crown; crime dark\n"
            "Candidates; Lost Meadow; Hollow River II; Silent Bridge;\n"
            "Gru4rec; mask; Silent Bridge; Iron Letter;\nMask;");
}

TEST(MaskedTasks, natural_texts) {
  const Catalogue catalogue = small_catalogue();
  PromptOptions options = asked_in("natural");
  Request request = analysis_request();
  request.history = {0, 1, 2, 5, 6}, request.times.resize(5);
  EXPECT_EQ(
      temporal_analysis_prompt(catalogue, request, 6, options),
      "Chosen so far:\nIn winter: Hollow River; drama, dark\nHours later: [not shown];\n"
      "Hours later: Silent Bridge; drama, bright\nThe one not shown: Paper Crown;\n"
      "Chosen so far:\nIn winter: Hollow River; drama, dark\nHours later: Paper Crown; crime, "
      "dark\nHours later: Silent Bridge; drama, bright\nHours later: [not shown];\n"
      "Hours later: Hollow River II; drama, dark\nThe one not shown:");
  options.list_candidates = true;
  EXPECT_EQ(
      pattern_simulating_prompt(catalogue, simulating_request(), "sasrec", options),
      "Chosen so far:\nIn winter: Hollow River; drama, dark\nHours later: Paper Crown; crime, "
      "dark\nTo choose from: Lost Meadow; Hollow River II; Silent Bridge;\n"
      "The recommender sasrec puts first, from the best on: [not shown]; Silent Bridge; Iron "
      "Letter;\nThe one not shown:");
}

// What a model has learned to write is the answer to the example: the same text as its own answer.
TEST(MaskedTasks, every_style_hides_the_item_and_answers_as_the_example_does) {
  const Catalogue catalogue = small_catalogue();
  for (const PromptStyle& style : prompt_styles()) {
    for (const bool with_times : {true, false}) {
      PromptOptions options = asked_in(style.name);
      options.with_times = with_times;
      Request request = analysis_request();
      const std::string title = "Pale Mirror";
      const std::string prompt = temporal_analysis_prompt(catalogue, request, 4, options);
      EXPECT_EQ(prompt.find(title), std::string::npos) << prompt;
      EXPECT_TRUE(prompt.ends_with(style.masked.question)) << prompt;
      const std::string answer = answer_texts(catalogue, request, options)[1];
      EXPECT_EQ(answer, style.title(catalogue, 5));
      const std::string example =
          std::string(style.masked.question) + style.title(catalogue, 2) + "\n";
      EXPECT_NE(prompt.find(example), std::string::npos) << prompt;
      // Of two histories that differ in the hidden item alone there is one prompt.
      request.history[5] = 3, request.candidates = {3, 1, 4};
      EXPECT_EQ(temporal_analysis_prompt(catalogue, request, 4, options), prompt);
      request.history[6] = 1;
      EXPECT_NE(temporal_analysis_prompt(catalogue, request, 4, options), prompt);

      Request simulating = simulating_request();
      const std::string listed =
          pattern_simulating_prompt(catalogue, simulating, "sasrec", options);
      EXPECT_EQ(listed.find("River II"), std::string::npos) << listed;
      EXPECT_NE(ascii_lower(listed).find("sasrec"), std::string::npos) << listed;
      simulating.known.pattern[0] = 4;
      EXPECT_EQ(pattern_simulating_prompt(catalogue, simulating, "sasrec", options), listed);
      simulating.known.pattern = {6, 3, 2};
      EXPECT_NE(pattern_simulating_prompt(catalogue, simulating, "sasrec", options), listed);
    }
  }
}

TEST(MaskedTasks, examples_end_before_the_hidden_entry) {
  const std::vector<std::array<int32_t, 3>> cases = {
      // entries, wanted, length
      {7, 4, 4}, {7, 6, 5}, {6, 4, 4}, {5, 4, 3}, {4, 4, 0}, {2, 4, 0}, {7, 0, 0}, {7, 2, 0}};
  for (const auto& [entries, wanted, length] : cases)
    EXPECT_EQ(example_length(entries, wanted), length) << entries << ", " << wanted;
}

TEST(MaskedTasks, refuse_what_cannot_be_asked) {
  const Catalogue catalogue = small_catalogue();
  const PromptOptions options = asked_in("compact");
  const auto analysis = [&](const Request& request) {
    return [&, request] { temporal_analysis_prompt(catalogue, request, 4, options); };
  };
  const auto simulating = [&](const Request& request) {
    return [&, request] { pattern_simulating_prompt(catalogue, request, "sasrec", options); };
  };
  Request request = analysis_request();
  request.candidates = {1, 2};
  refuses(analysis(request), ExitCode::kInput, "hidden item i5 among the candidates");
  request = analysis_request();
  request.history.resize(1), request.times.resize(1);
  refuses(analysis(request), ExitCode::kInput, "at least two entries, found 1");
  request = analysis_request();
  request.times.pop_back();
  refuses(analysis(request), ExitCode::kInput, "found 7 and 6 times");
  request = simulating_request();
  request.known.pattern.clear();
  refuses(simulating(request), ExitCode::kInput, "found none");
  request = simulating_request();
  request.known.pattern = {6, 2, 6};
  refuses(simulating(request), ExitCode::kInput, "hidden item i6 stands in the rest of the list");
  request = simulating_request();
  request.candidates = {4, 2};
  refuses(simulating(request), ExitCode::kInput, "hidden item i6 among the candidates");
}

}  // namespace
}  // namespace etrlrec
