#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "claims_fixture.h"
#include "temporal/claim_weights.h"
#include "temporal/predicates.h"
#include "temporal/statistics.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

constexpr Verdict kTrue = Verdict::kTrue, kFalse = Verdict::kFalse,
                  kUnverifiable = Verdict::kUnverifiable;

class Claims : public ClaimsFixture {
 protected:
  Verdict verdict(std::string_view text) const { return verdict_of(text, context_); }
  std::vector<JudgedClaim> judge(std::string_view text) const {
    return judge_claims(parse_claims(text), context_, {});
  }
  ReasoningScore score(std::string_view text, int32_t answer) const {
    return score_reasoning(judge(text), answer, context_);
  }
};

TEST_F(Claims, are_found_in_free_text_with_blanks_or_commas) {
  const auto claims =
      parse_claims("After a pause gap(5,now,week), so need( crime dark)pick(2) end");
  ASSERT_EQ(claims.size(), 3u);
  EXPECT_EQ(claims[0].predicate, "gap");
  EXPECT_EQ(claims[0].arguments, (std::vector<std::string>{"5", "now", "week"}));
  EXPECT_EQ(claims[0].begin, 14u);
  EXPECT_EQ(claims[0].end, 29u);
  EXPECT_EQ(claims[1].arguments, (std::vector<std::string>{"crime", "dark"}));
  EXPECT_EQ(claims[2].predicate, "pick");
}

TEST_F(Claims, that_are_malformed_have_no_predicate) {
  for (const std::string& text :
       {std::string("gap(5 now"), std::string("gap(5\n now)"), "has(" + std::string(65, 'x') + ")",
        std::string("has(1 2 3 4 5)"), std::string(25, 'p') + "(1)"}) {
    const auto claims = parse_claims(text);
    ASSERT_EQ(claims.size(), 1u) << text;
    EXPECT_TRUE(claims[0].predicate.empty()) << text;
    EXPECT_EQ(verdict(text), kUnverifiable) << text;
  }
  const auto nested = parse_claims("long( short( drama)");
  ASSERT_EQ(nested.size(), 1u);
  EXPECT_TRUE(nested[0].predicate.empty());
}

TEST_F(Claims, are_not_seen_in_other_parentheses) {
  EXPECT_TRUE(parse_claims("(1990) A(1) x1(2) Long(drama) \xC3\xA9long(drama) ()").empty());
}

TEST_F(Claims, beyond_the_limits_are_not_read) {
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "recent(1)";
  EXPECT_EQ(parse_claims(many).size(), kMaxClaims);
  EXPECT_TRUE(parse_claims(std::string(kMaxReasoningBytes, ' ') + "recent(1)").empty());
}

TEST_F(Claims, about_order_are_judged_by_times) {
  EXPECT_EQ(verdict("before(1 2)"), kTrue);
  EXPECT_EQ(verdict("before(2 1)"), kFalse);
  EXPECT_EQ(verdict("before(3 4)"), kFalse);  // a tie has no order
  EXPECT_EQ(verdict("before(4 3)"), kFalse);
  EXPECT_EQ(verdict("gap(1 2 day)"), kTrue);
  EXPECT_EQ(verdict("gap(3 4 tie)"), kTrue);
  EXPECT_EQ(verdict("gap(5 now week)"), kTrue);
  EXPECT_EQ(verdict("gap(5 now month)"), kFalse);
  EXPECT_EQ(verdict("gap(1 now quarter)"), kTrue);
  EXPECT_EQ(verdict("gap(1 1 tie)"), kFalse);
  EXPECT_EQ(verdict("same_session(3 4)"), kTrue);
  EXPECT_EQ(verdict("same_session(1 2)"), kFalse);
  EXPECT_EQ(verdict("last_session(5)"), kTrue);
  EXPECT_EQ(verdict("last_session(4)"), kFalse);
  EXPECT_EQ(verdict("recent(4)"), kTrue);
  EXPECT_EQ(verdict("recent(3)"), kFalse);
  EXPECT_EQ(verdict("shift(3)"), kFalse);
  EXPECT_EQ(verdict("trig(1 2)"), kTrue);  // item 0, then item 1, in forty histories
  EXPECT_EQ(verdict("trig(3 4)"), kFalse);
  EXPECT_EQ(verdict("sequel(4)"), kTrue);
  EXPECT_EQ(verdict("sequel(5 4)"), kTrue);
  EXPECT_EQ(verdict("sequel(2 4)"), kFalse);
  EXPECT_EQ(verdict("sequel(1)"), kFalse);
}

TEST_F(Claims, shift_holds_within_one_entry) {
  facts_.shift = 2;
  EXPECT_EQ(verdict("shift(2)"), kTrue);
  EXPECT_EQ(verdict("shift(4)"), kTrue);
  EXPECT_EQ(verdict("shift(5)"), kFalse);
}

TEST_F(Claims, about_attributes_are_judged_by_counts_and_lifts) {
  EXPECT_EQ(verdict("steady(drama)"), kTrue);
  EXPECT_EQ(verdict("up(drama)"), kFalse);
  EXPECT_EQ(verdict("down(drama)"), kFalse);
  EXPECT_EQ(verdict("steady(horror)"), kFalse);  // not in the history
  EXPECT_EQ(verdict("count(crime 3)"), kTrue);
  EXPECT_EQ(verdict("count(crime 2)"), kFalse);
  EXPECT_EQ(verdict("absent(horror)"), kTrue);
  EXPECT_EQ(verdict("absent(crime)"), kFalse);
  EXPECT_EQ(verdict("trans(drama crime)"), kTrue);
  EXPECT_EQ(verdict("trans(drama horror)"), kFalse);
  EXPECT_EQ(verdict("bundle(crime dark)"), kTrue);
  EXPECT_EQ(verdict("bundle(crime bright)"), kFalse);  // once
  EXPECT_EQ(verdict("bundle(dark dark)"), kFalse);
}

TEST_F(Claims, about_the_person_are_judged_by_profiles) {
  EXPECT_EQ(verdict("long(drama)"), kTrue);
  EXPECT_EQ(verdict("long(crime)"), kFalse);
  EXPECT_EQ(verdict("short(dark)"), kTrue);
  EXPECT_EQ(verdict("short(bright)"), kFalse);
  EXPECT_EQ(verdict("stage(active)"), kTrue);
  EXPECT_EQ(verdict("stage(new)"), kFalse);
  EXPECT_EQ(verdict("season(dark)"), kTrue);
  EXPECT_EQ(verdict("season(winter dark)"), kTrue);
  EXPECT_EQ(verdict("season(summer dark)"), kFalse);
  EXPECT_EQ(verdict("season(bright)"), kFalse);
  EXPECT_EQ(verdict("due(crime)"), kTrue);  // three entries, a day apart, a month ago
  EXPECT_EQ(verdict("due(drama)"), kUnverifiable);
  EXPECT_EQ(verdict("repeat(crime)"), kTrue);
  EXPECT_EQ(verdict("repeat(drama)"), kFalse);
  EXPECT_EQ(verdict("repeat(horror)"), kUnverifiable);
  EXPECT_EQ(verdict("conflict(drama crime)"), kFalse);
  facts_.short_term = {attribute(catalogue_, "crime")};
  EXPECT_EQ(verdict("conflict(drama crime)"), kTrue);
  EXPECT_EQ(verdict("conflict(drama dark)"), kFalse);  // another field
  facts_.explorer = 1;
  EXPECT_EQ(verdict("explorer()"), kTrue);
  EXPECT_EQ(verdict("exploiter()"), kFalse);
}

TEST_F(Claims, about_candidates_are_judged_by_metadata) {
  EXPECT_EQ(verdict("has(1 crime)"), kTrue);
  EXPECT_EQ(verdict("has( crime 1)"), kTrue);
  EXPECT_EQ(verdict("has( crime 1 dark)"), kTrue);
  EXPECT_EQ(verdict("has( crime 1 bright)"), kFalse);
  EXPECT_EQ(verdict("has( crime dark 1)"), kTrue);
  EXPECT_EQ(verdict("has(2 crime)"), kFalse);
  EXPECT_EQ(verdict("pick( crime 1)"), kTrue);
  EXPECT_EQ(verdict("pick( crime 2)"), kFalse);
  EXPECT_EQ(verdict("lack(bright)"), kFalse);
  EXPECT_EQ(verdict("need(horror)"), kTrue);
}

TEST_F(Claims, that_name_nothing_are_unverifiable) {
  for (const std::string_view text :
       {"long(comedy)", "before(0 1)", "before(1 6)", "before(01 2)", "has(5 crime)",
        "gap(1 2 soon)", "gap(now 1 day)", "explorer(drama)", "hello(1)", "long()", "before(-1 2)",
        "before(99999999999999999999 1)", "before(\xD9\xA1 2)", "season(fall dark)"})
    EXPECT_EQ(verdict(text), kUnverifiable) << text;
}

TEST_F(Claims, that_contradict_are_both_false) {
  const auto judged = judge("need(crime) avoid(crime) pick(1) prune(1) prune(2) has(1 crime)");
  std::vector<Verdict> verdicts;
  for (const JudgedClaim& claim : judged) verdicts.push_back(claim.verdict);
  EXPECT_EQ(verdicts, (std::vector<Verdict>{kFalse, kFalse, kFalse, kFalse, kTrue, kTrue}));
}

TEST_F(Claims, said_twice_or_beyond_four_earn_nothing) {
  const auto judged = judge(
      "before(1 2) before(1,2) before(1 3) before(1 4) before(1 5) before(2 3)"
      " long(drama)");
  std::vector<bool> counted;
  for (const JudgedClaim& claim : judged) counted.push_back(claim.counted);
  EXPECT_EQ(counted, (std::vector<bool>{true, false, true, true, true, false, true}));
  EXPECT_DOUBLE_EQ(score("before(1 2)", 0).r_temp, score("before(1 2) before(1 2)", 0).r_temp);
}

TEST_F(Claims, precision_and_coverage_follow_their_formulas) {
  // IS 2 bits, IAT 1 bit, UET 0 bits; one false claim: 3 / (3 + 2).
  const ReasoningScore s = score("before(1 2) gap(5 now week) trans(drama crime) up(drama)", 0);
  EXPECT_EQ(s.num_true, 3);
  EXPECT_EQ(s.num_false, 1);
  EXPECT_DOUBLE_EQ(s.precision, 0.6);
  EXPECT_DOUBLE_EQ(s.coverage, (2.0 / 3 + 1.0 / 3 + 0) / 3);
  EXPECT_DOUBLE_EQ(s.r_temp, 0.6 * std::sqrt(1.0 / 3));
  EXPECT_DOUBLE_EQ(s.r_ver, 0.8 * s.r_temp);
}

TEST_F(Claims, first_unverifiable_claim_is_free_and_further_ones_cost) {
  const double none = score("before(1 2)", 0).precision;
  EXPECT_DOUBLE_EQ(score("before(1 2) long(comedy)", 0).precision, none);
  EXPECT_DOUBLE_EQ(score("before(1 2) long(comedy) long(other)", 0).precision, 1.0 / 3);
  EXPECT_EQ(score("", 1).r_ver, 0);
  EXPECT_EQ(score("long(comedy) long(other)", 1).precision, 0);
}

TEST_F(Claims, link_score_rewards_needs_that_discriminate) {
  // Candidates: crime dark, drama bright, horror dark, drama dark.
  EXPECT_DOUBLE_EQ(score("need(crime)", 1).r_link, 1);
  EXPECT_DOUBLE_EQ(score("need(drama)", 2).r_link, 0.5);
  EXPECT_DOUBLE_EQ(score("need(drama dark)", 4).r_link, 1);
  EXPECT_DOUBLE_EQ(score("need(drama dark)", 2).r_link, 0);
  EXPECT_DOUBLE_EQ(score("need(drama)", 1).r_link, 0);
  EXPECT_DOUBLE_EQ(score("", 1).r_link, 0);
  EXPECT_DOUBLE_EQ(score("need(crime)", 0).r_link, 0);
  EXPECT_DOUBLE_EQ(score("need(crime)", 99).r_link, 0);
  EXPECT_DOUBLE_EQ(score("need(drama) avoid(bright)", 2).r_link, 0);
  EXPECT_DOUBLE_EQ(score("need(drama) pick(4)", 2).r_link, 0);
  EXPECT_DOUBLE_EQ(score("need(drama) prune(2)", 2).r_link, 0);
  EXPECT_DOUBLE_EQ(score("need(crime bright)", 1).r_link,
                   1);  // no bright crime: the wish is dropped
  EXPECT_DOUBLE_EQ(score("sequel(4) pick(4)", 4).r_link, 1);
  EXPECT_DOUBLE_EQ(score("sequel(4)", 4).r_link, 0);
}

TEST_F(Claims, needs_that_a_true_lack_answers_are_dropped) {
  Request request = request_;
  request.candidates = {0, 2, 4, 5};
  const FactSheet facts = compute_facts(catalogue_, statistics_, request);
  const ClaimContext context{catalogue_, request, facts};
  const auto judged =
      judge_claims(parse_claims("need(crime) lack(crime) need(drama dark)"), context, {});
  EXPECT_EQ(judged[1].verdict, kTrue);
  EXPECT_DOUBLE_EQ(score_reasoning(judged, 1, context).r_link, 1);
  EXPECT_DOUBLE_EQ(score_reasoning(judged, 2, context).r_link, 0);
}

TEST_F(Claims, weights_measure_how_rarely_a_random_claim_is_true) {
  const std::vector<TrainingContext> contexts(50, TrainingContext{context_, 4});
  ClaimWeights weights = measure_claim_weights(contexts, 7);
  EXPECT_EQ(weights.predicates, measure_claim_weights(contexts, 7).predicates);
  EXPECT_EQ(weights.truth_rate, measure_claim_weights(contexts, 7).truth_rate);
  std::fill(weights.usefulness.begin(), weights.usefulness.end(), 1.0);  // has a test of its own
  const auto bits = [&](std::string_view text) {
    return judge_claims(parse_claims(text), context_, weights)[0].weight;
  };
  EXPECT_LT(bits("before(1 2)"), 0.5);
  EXPECT_GT(bits("gap(5 now week)"), 2);
  EXPECT_LT(bits("need(crime)"), 0.1);
  EXPECT_GT(bits("pick( crime 1)"), bits("lack(crime)") < 4 ? 0.5 : 0.0);
  for (const double w : predicate_bits(weights)) EXPECT_LE(w, kMaxBits);
}

TEST_F(Claims, usefulness_prefers_what_the_next_item_agrees_with) {
  // The next item has the season's tone and never the long-term genre.
  std::vector<TrainingContext> rows;
  for (int i = 0; i < 200; ++i) rows.push_back({context_, 4});
  const ClaimWeights weights = measure_claim_weights(rows, 7);
  const auto usefulness = [&](std::string_view key) {
    for (size_t i = 0; i < weights.predicates.size(); ++i)
      if (weights.predicates[i] == key) return weights.usefulness[i];
    return -1.0;
  };
  EXPECT_DOUBLE_EQ(usefulness("need(attribute)"), 0.25);  // always true, says nothing
  EXPECT_GT(usefulness("season(attribute)"), usefulness("explorer()"));
  for (const double u : weights.usefulness) EXPECT_TRUE(u >= 0.25 && u <= 1);
  rows[0].target_item = 99;
  EXPECT_THROW(measure_claim_weights(rows, 7), Error);
}

TEST_F(Claims, weights_survive_their_json_and_refuse_others) {
  const ClaimWeights weights =
      measure_claim_weights(std::vector<TrainingContext>(9, {context_, 4}), 3);
  const Json json = Json::parse(to_json(weights).dump());
  EXPECT_EQ(claim_weights_from_json(json, "weights.json").truth_rate, weights.truth_rate);
  Json missing = json;
  missing.erase("trans(attribute,attribute)");
  EXPECT_THROW(claim_weights_from_json(missing, "weights.json"), Error);
  Json wrong = json;
  wrong["up(attribute)"]["truth_rate"] = 0;
  EXPECT_THROW(claim_weights_from_json(wrong, "weights.json"), Error);
  EXPECT_THROW(claim_weights_from_json(Json::array(), "weights.json"), Error);
  ClaimWeights other{{"gone(entry)"}, {0.5}, {1}};
  EXPECT_THROW(judge_claims(parse_claims("recent(1)"), context_, other), Error);
}

TEST_F(Claims, predicate_keys_are_unique) {
  std::vector<std::string> keys;
  for (const Predicate& predicate : predicate_table()) keys.push_back(predicate.key());
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());
}

}  // namespace
}  // namespace etrlrec
