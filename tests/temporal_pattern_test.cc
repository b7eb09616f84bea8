// What a recommender says about a request, as text, as facts and as claims.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/candidates.h"
#include "data/histories.h"
#include "temporal/claim_weights.h"
#include "temporal/predicates.h"
#include "temporal/program_teacher.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

const PromptOptions kByNumber{.knowledge = Knowledge::kPattern};
const PromptOptions kByTitle{
    .reasoning = false, .answer = AnswerKind::kTitle, .knowledge = Knowledge::kPattern};

// Candidates 4, 1 and 3 in the recommender's order.
Request pattern_request() {
  Request request = small_request();
  request.known.pattern = {6, 1, 4};
  return request;
}

class PatternClaims : public testing::Test {
 protected:
  Verdict verdict(std::string_view text) const { return verdict_of(text, context_); }
  double link(std::string_view text, int32_t answer) const {
    return score_reasoning(judge_claims(parse_claims(text), context_, {}), answer, context_).r_link;
  }

  const Catalogue catalogue_ = small_catalogue();
  const TemporalStatistics statistics_ = small_statistics();
  const Request request_ = pattern_request();
  const FactSheet facts_ = compute_facts(catalogue_, statistics_, request_);
  const ClaimContext context_{catalogue_, request_, facts_};
};

TEST(Pattern, is_one_line_after_the_candidates_by_their_numbers) {
  const std::string plain = student_prompt(small_catalogue(), pattern_request(), {});
  EXPECT_EQ(plain, student_prompt(small_catalogue(), small_request(), {}));
  const std::string end = "\n<reasoning>";
  EXPECT_EQ(student_prompt(small_catalogue(), pattern_request(), kByNumber),
            plain.substr(0, plain.size() - end.size()) + "\nPattern; 4; 1; 3" + end);
}

TEST(Pattern, is_one_line_between_history_and_moment_by_title) {
  const std::string prompt = student_prompt(small_catalogue(), pattern_request(), kByTitle);
  EXPECT_EQ(prompt,
            "History; start autumn Hollow River; drama dark day Paper Crown; crime dark week Iron "
            "Letter; crime bright tie Paper Crown; crime dark month Hollow River; drama dark\n"
            "Pattern; Hollow River II; Paper Crown; Lost Meadow; week winter");
  // Each title is the text of an answer, so that it has the same tokens.
  for (const int32_t item : pattern_request().known.pattern)
    EXPECT_NE(prompt.find(find_style("compact").title(small_catalogue(), item)), prompt.npos);
}

TEST(Pattern, is_headed_by_the_name_of_its_recommender) {
  PromptOptions named = kByTitle;
  named.recommender = "sasrec";
  EXPECT_NE(student_prompt(small_catalogue(), pattern_request(), named)
                .find("\nSasrec; Hollow River II; Paper Crown; Lost Meadow; "),
            std::string::npos);
  named.style = "natural";
  EXPECT_NE(student_prompt(small_catalogue(), pattern_request(), named)
                .find("\nThe recommender sasrec puts first, from the best on: Hollow River II; "
                      "Paper Crown; Lost Meadow;\n"),
            std::string::npos);
  named.recommender.clear();
  EXPECT_NE(student_prompt(small_catalogue(), pattern_request(), named)
                .find("\nThe recommender's list: Hollow River II; "),
            std::string::npos);
}

TEST(Pattern, stays_with_a_request_whose_history_is_cut) {
  EXPECT_EQ(with_recent_history(pattern_request(), 2).known.pattern,
            pattern_request().known.pattern);
}

TEST(Pattern, that_is_missing_or_no_candidate_is_refused) {
  EXPECT_THROW(student_prompt(small_catalogue(), small_request(), kByNumber), Error);
  EXPECT_THROW(student_prompt(small_catalogue(), small_request(), kByTitle), Error);
  Request request = pattern_request();
  request.known.pattern = {5};
  EXPECT_THROW(student_prompt(small_catalogue(), request, kByNumber), Error);
  EXPECT_NE(student_prompt(small_catalogue(), request, kByTitle).find("; Pale Mirror; "),
            std::string::npos);
  request.known.pattern = {99};
  EXPECT_THROW(compute_facts(small_catalogue(), small_statistics(), request), Error);
}

TEST(Pattern, kinds_of_knowledge_have_names) {
  for (const std::string& name : knowledge_names())
    EXPECT_EQ(knowledge_name(knowledge(name)), name);
  EXPECT_THROW(knowledge("everything"), Error);
}

TEST_F(PatternClaims, are_judged_by_the_pattern_of_the_prompt) {
  EXPECT_EQ(verdict("first( 4)"), Verdict::kTrue);
  EXPECT_EQ(verdict("first( 1)"), Verdict::kFalse);
  EXPECT_EQ(verdict("first(drama)"), Verdict::kTrue);
  EXPECT_EQ(verdict("first( crime)"), Verdict::kFalse);
  EXPECT_EQ(verdict("rank( 1 2)"), Verdict::kTrue);
  EXPECT_EQ(verdict("rank(1,2)"), Verdict::kTrue);
  EXPECT_EQ(verdict("rank( 1 1)"), Verdict::kFalse);
  EXPECT_EQ(verdict("rank( 2 1)"), Verdict::kFalse);  // a candidate that is at no place
  EXPECT_EQ(verdict("follow( 3)"), Verdict::kTrue);
  for (const std::string_view text :
       {"first( 5)", "first( 0)", "first( comedy)", "first()", "rank( 1 4)", "rank( 9 1)",
        "rank( 1)", "follow( 4)", "follow( 0)", "follow( 1 2)", "follow( first)"})
    EXPECT_EQ(verdict(text), Verdict::kUnverifiable) << text;
}

TEST_F(PatternClaims, name_nothing_without_a_pattern) {
  const Request request = small_request();
  const FactSheet facts = compute_facts(catalogue_, statistics_, request);
  for (const std::string_view text : {"first( 4)", "first( drama)", "rank( 1 1)", "follow( 1)"})
    EXPECT_EQ(verdict_of(text, {catalogue_, request, facts}), Verdict::kUnverifiable) << text;
  EXPECT_FALSE(to_json(facts, catalogue_).contains("pattern"));
  EXPECT_EQ(to_json(facts_, catalogue_)["pattern"],
            OrderedJson({"Hollow River II", "Paper Crown", "Lost Meadow"}));
}

TEST_F(PatternClaims, do_not_depend_on_the_target) {
  Request other = request_;
  other.target_slot = 0;
  const FactSheet facts = compute_facts(catalogue_, statistics_, other);
  for (const std::string_view text : {"first( 4)", "first( drama)", "rank( 1 2)", "follow( 1)"})
    EXPECT_EQ(verdict_of(text, {catalogue_, other, facts}), verdict(text)) << text;
}

TEST_F(PatternClaims, ask_the_answer_to_follow) {
  EXPECT_DOUBLE_EQ(link("follow( 1)", 4), 1);
  EXPECT_DOUBLE_EQ(link("follow( 2)", 1), 1);
  EXPECT_DOUBLE_EQ(link("follow( 1)", 1), 0);
  EXPECT_DOUBLE_EQ(link("follow( 1) follow( 2)", 4), 0);
  EXPECT_DOUBLE_EQ(link("follow( 1) pick( 1)", 4), 0);
  EXPECT_DOUBLE_EQ(link("follow( 1) need( drama)", 4), 0.5);
}

TEST_F(PatternClaims, weigh_by_how_often_they_are_true_by_chance) {
  const auto rate = [](const ClaimWeights& weights, std::string_view key) {
    const auto found = std::find(weights.predicates.begin(), weights.predicates.end(), key);
    return weights.truth_rate.at(static_cast<size_t>(found - weights.predicates.begin()));
  };
  const std::vector<TrainingContext> rows(200, TrainingContext{context_, 6});
  const ClaimWeights with = measure_claim_weights(rows, 7);
  EXPECT_NEAR(rate(with, "first(candidate)"), 0.25, 0.05);
  EXPECT_NEAR(rate(with, "rank(candidate,place)"), 0.25, 0.05);
  EXPECT_GT(rate(with, "follow(place)"), 0.99);
  const Request request = small_request();
  const FactSheet facts = compute_facts(catalogue_, statistics_, request);
  const ClaimContext plain{catalogue_, request, facts};
  const ClaimWeights without =
      measure_claim_weights(std::vector<TrainingContext>(200, TrainingContext{plain, 6}), 7);
  // The other predicates' draws do not move.
  for (const Predicate& predicate : predicate_table()) {
    if (predicate.name == "first" || predicate.name == "rank" || predicate.name == "follow")
      continue;
    EXPECT_EQ(rate(with, predicate.key()), rate(without, predicate.key())) << predicate.key();
  }
}

TEST_F(PatternClaims, are_written_by_the_teacher_and_true) {
  Request request = request_;
  request.candidates = {1, 2, 4, 5};  // without a next part, which would be surer
  request.known.pattern = {4, 1};
  const FactSheet facts = compute_facts(catalogue_, statistics_, request);
  const ClaimContext context{catalogue_, request, facts};
  const auto reply = [&](const TeacherOptions& options) {
    Rng rng(1, "test");
    const TeacherRequest asked{context, rng};
    return program_teacher(catalogue_, statistics_, options)->reply({&asked, 1}).front();
  };
  const TeacherReply listed = reply({.temperature = 0, .pattern_precision = 1});
  EXPECT_NE(listed.reasoning.find(" first( 3)"), std::string::npos) << listed.reasoning;
  EXPECT_NE(listed.reasoning.find(" pattern follow( 1) pick( HORROR 3)"), std::string::npos)
      << listed.reasoning;
  EXPECT_EQ(listed.answer, 3);
  const TeacherReply titles =
      reply({.temperature = 0, .names_candidates = false, .pattern_precision = 1});
  EXPECT_NE(titles.reasoning.find(" first( horror)"), std::string::npos) << titles.reasoning;
  EXPECT_TRUE(titles.reasoning.ends_with(" pattern follow( 1)")) << titles.reasoning;
  EXPECT_EQ(reply({.temperature = 0}).reasoning.find("follow"), std::string::npos);
  for (const TeacherReply& said : {listed, titles})
    for (const JudgedClaim& claim : judge_claims(parse_claims(said.reasoning), context, {}))
      EXPECT_EQ(claim.verdict, Verdict::kTrue) << claim.claim.predicate << " in" << said.reasoning;
}

}  // namespace
}  // namespace etrlrec
