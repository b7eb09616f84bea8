// True claims become false ones, and nothing else changes.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "claims_fixture.h"
#include "temporal/claim_flip.h"
#include "temporal/predicates.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

class ClaimFlip : public ClaimsFixture {
 protected:
  FlippedReasoning flip(std::string_view text, const char* style, uint64_t seed = 1) const {
    Rng rng(seed, "flips");
    return flip_claims(text, find_style(style), context_, rng);
  }
  std::vector<std::string> false_ones(std::string_view text) const {
    Rng rng(1, "flips");
    std::vector<std::string> texts;
    for (const Claim& claim : false_claims(parse_claims(text).at(0), context_, rng)) {
      const Statement statement{claim, false};
      texts.push_back(find_style("compact").reasoning({&statement, 1}, context_, rng));
    }
    return texts;
  }
  std::vector<JudgedClaim> judge(std::string_view text, const char* style) const {
    return judge_claims(find_style(style).read(text, context_).claims, context_, {});
  }
};

TEST_F(ClaimFlip, the_nearest_false_claim_comes_first) {
  EXPECT_EQ(false_ones("before( 1 2)").at(0), " before( 2 1)");
  const auto gaps = false_ones("gap( 5 now week)");
  ASSERT_GE(gaps.size(), 7u);
  std::set<std::string> buckets(gaps.begin(), gaps.begin() + 7);  // the last argument first
  for (const char* word : {"tie", "sitting", "day", "month", "quarter", "year", "longer"})
    EXPECT_EQ(buckets.count(std::string(" gap( 5 now ") + word + ")"), 1u) << word;
  const auto counts = false_ones("count( drama 2)");
  ASSERT_FALSE(counts.empty());
  for (const std::string& text : counts) EXPECT_NE(text, " count( drama 2)");
  for (const char* text : {"need( crime)", "avoid( crime)", "pick( 2)", "pick( crime 1)",
                           "prune( 2)", "nothing( 1)", "gap( 99 now week)"})
    EXPECT_TRUE(false_ones(text).empty()) << text;
}

TEST_F(ClaimFlip, every_predicate_that_can_be_false_flips_in_every_style) {
  // Each true claim that this context has, one at a time.
  for (const char* style : {"compact", "natural"}) {
    int64_t flipped = 0;
    std::set<std::string> names;
    for (const Predicate& predicate : predicate_table()) {
      if (predicate.demand == Demand::kNeed || predicate.demand == Demand::kAvoid ||
          predicate.demand == Demand::kPick || predicate.demand == Demand::kPrune ||
          predicate.demand == Demand::kFollow)
        continue;
      Claim claim{std::string(predicate.name), {}};
      const auto domain = [&](size_t i) {
        return i < predicate.arity() ? argument_domain(predicate.kinds[i], context_) : 1;
      };
      for (int64_t a = 0; a < domain(0); ++a)
        for (int64_t b = 0; b < domain(1); ++b)
          for (int64_t c = 0; c < domain(2); ++c) {
            claim.arguments.clear();
            const int64_t places[] = {a, b, c};
            for (size_t i = 0; i < predicate.arity(); ++i)
              claim.arguments.push_back(
                  argument_word(predicate.kinds[i],
                                argument_value(predicate.kinds[i], places[i], context_), context_));
            Rng rng(3, "wordings");
            const Statement statement{claim, false};
            const std::string text = find_style(style).reasoning({&statement, 1}, context_, rng);
            const auto before = judge(text, style);
            if (before.size() != 1 || before[0].verdict != Verdict::kTrue) continue;
            const FlippedReasoning changed = flip(text, style);
            EXPECT_EQ(changed.claims, 1) << text;
            if (changed.flipped == 0) {
              EXPECT_EQ(changed.text, text);
              continue;
            }
            ++flipped;
            names.insert(std::string(predicate.name));
            const auto after = judge(changed.text, style);
            ASSERT_EQ(after.size(), 1u) << text << " | " << changed.text;
            EXPECT_EQ(after[0].verdict, Verdict::kFalse) << text << " | " << changed.text;
          }
    }
    EXPECT_GE(flipped, 60) << style;
    EXPECT_GE(names.size(), 14u) << style;
  }
}

TEST_F(ClaimFlip, wishes_plain_text_and_false_claims_stay) {
  const std::string text =
      " taste long( drama) gap( 5 now year) well count( drama 2) need( drama) pick( 4)";
  const auto before = judge(text, "compact");
  ASSERT_EQ(before[0].verdict, Verdict::kTrue);   // long
  ASSERT_EQ(before[1].verdict, Verdict::kFalse);  // gap
  ASSERT_EQ(before[2].verdict, Verdict::kTrue);   // count
  const FlippedReasoning changed = flip(text, "compact");
  EXPECT_EQ(changed.claims, 2);
  EXPECT_EQ(changed.flipped, 2);
  const auto after = judge(changed.text, "compact");
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) {
    const bool is_flipped = i == 0 || i == 2;
    EXPECT_EQ(after[i].verdict, is_flipped ? Verdict::kFalse : before[i].verdict) << i;
    EXPECT_EQ(after[i].claim.predicate, before[i].claim.predicate) << i;
    if (!is_flipped) {
      EXPECT_EQ(after[i].claim.arguments, before[i].claim.arguments) << i;
    }
  }
  EXPECT_TRUE(changed.text.starts_with(" taste long( "));
  EXPECT_TRUE(changed.text.ends_with(" need( drama) pick( 4)"));
  EXPECT_NE(changed.text.find(") well count( "), std::string::npos) << changed.text;
  // Once more: nothing is true any longer.
  EXPECT_EQ(flip(changed.text, "compact").text, changed.text);
}

TEST_F(ClaimFlip, sentences_keep_their_place_and_their_full_stops) {
  const std::string text =
      " The lasting taste is drama. It was chosen on a whim. Crime often follows drama, and drama "
      "was chosen 2 times. It should be crime.";
  const auto before = judge(text, "natural");
  const auto num_true = std::count_if(before.begin(), before.end(), [](const JudgedClaim& claim) {
    return claim.verdict == Verdict::kTrue && claim.claim.predicate != "need";
  });
  ASSERT_EQ(num_true, 3);
  const FlippedReasoning changed = flip(text, "natural");
  EXPECT_EQ(changed.flipped, 3) << changed.text;
  EXPECT_EQ(std::count(changed.text.begin(), changed.text.end(), '.'), 4) << changed.text;
  EXPECT_NE(changed.text.find(" It was chosen on a whim. "), std::string::npos) << changed.text;
  EXPECT_TRUE(changed.text.ends_with(" It should be crime.")) << changed.text;
  EXPECT_EQ(changed.text.find("he The"), std::string::npos) << changed.text;
  EXPECT_EQ(changed.text.find("he the"), std::string::npos) << changed.text;
  const auto after = judge(changed.text, "natural");
  ASSERT_EQ(after.size(), before.size());
  EXPECT_EQ(std::count_if(after.begin(), after.end(),
                          [](const JudgedClaim& c) { return c.verdict == Verdict::kFalse; }),
            3);
  EXPECT_EQ(flip(text, "natural").text, changed.text) << "the same stream, the same flips";
}

// What stands in front of the first decision, and what is decided.
TEST_F(ClaimFlip, the_facts_end_where_a_decision_begins) {
  struct Case {
    const char *style, *text;
    std::optional<std::string> before;
    std::vector<std::string> decisions;
  };
  const Case cases[] = {
      {"compact",
       " long( drama) gap( 5 now week) order need( crime) pick( 2)",
       " long( drama) gap( 5 now week)",
       {"order", "need( crime)", "pick( 2)"}},
      // Neither the claim "season" nor a word that begins with a decision's decides.
      {"compact",
       " season( winter dark) orderly taste need( drama)",
       " season( winter dark) orderly",
       {"taste", "need( drama)"}},
      {"compact", " long( drama) prune( 2) taste", " long( drama)", {"taste", "prune( 2)"}},
      {"compact",
       " long( drama) need( nothing_like_it)",
       " long( drama)",
       {"need( nothing_like_it)"}},
      {"compact", " order long( drama)", "", {"order"}},
      {"compact", " long( drama) season( winter dark)", std::nullopt, {}},
      {"compact", "", std::nullopt, {}},
      {"natural",
       " The lasting taste is drama. The season is near. The season decides. It should "
       "be crime.",
       " The lasting taste is drama. The season is near.",
       {"season", "need( crime)"}},
      {"natural",
       " The lasting taste is drama. It should be crime.",
       " The lasting taste is drama.",
       {"need( crime)"}},
      {"natural",
       " The lasting taste is drama. The next choice should be crime.",
       " The lasting taste is drama.",
       {"need( crime)"}},
      {"natural", " The lasting taste is drama.", std::nullopt, {}}};
  for (const Case& row : cases) {
    const PromptStyle& style = find_style(row.style);
    const auto before = before_decision(row.text, style, context_);
    EXPECT_EQ(before.has_value(), row.before.has_value()) << row.text;
    EXPECT_EQ(before.value_or(""), row.before.value_or("")) << row.text;
    EXPECT_EQ(decisions_in(row.text, style, context_), row.decisions) << row.text;
  }
}

TEST_F(ClaimFlip, takes_any_text) {
  for (const char* style : {"compact", "natural"})
    for (const std::string& text : {std::string(), std::string("\xff(("), std::string(9000, '(')}) {
      const FlippedReasoning changed = flip(text, style);
      EXPECT_EQ(changed.text, text);
      EXPECT_EQ(changed.claims + changed.flipped, 0);
      EXPECT_FALSE(before_decision(text, find_style(style), context_).has_value());
    }
}

}  // namespace
}  // namespace etrlrec
