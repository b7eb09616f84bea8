// Claims in plain English: every form comes back as the claim it says, wrong numbers are false,
// other words are no claims.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "temporal/claim_numbers.h"
#include "temporal/explanation.h"
#include "temporal/prompts.h"
#include "temporal/sentence_forms.h"
#include "temporal/sentence_patterns.h"
#include "temporal/sentence_tokens.h"
#include "temporal/sentences.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

class Sentences : public ::testing::Test {
 protected:
  Sentences() {
    request.known.pattern = {2, 6, 1};
    request.known.lately = {6, 1};
    request.known.after = {1};
    request.known.fresh = {4};
  }
  FactSheet sheet() const { return compute_facts(catalogue, statistics, request); }

  Catalogue catalogue = small_catalogue();
  TemporalStatistics statistics = small_statistics();
  Request request = [] {
    Request made = small_request();
    made.candidates = {1, 2, 4, 6};
    return made;
  }();
};

Claim claim_of(const ResolvedClaim& resolved, const ClaimContext& context) {
  const Predicate& predicate = predicate_table()[resolved.index];
  Claim claim{std::string(predicate.name)};
  for (size_t i = 0; i < predicate.arity(); ++i) {
    const int32_t value = resolved.values[i];
    switch (predicate.kinds[i]) {
      case ArgumentKind::kMoment:
        claim.arguments.push_back(
            value == std::ssize(context.request.history) ? "now" : std::to_string(value + 1));
        break;
      case ArgumentKind::kAttribute:
        claim.arguments.push_back(attribute_word(context.catalogue, value));
        break;
      case ArgumentKind::kBucket:
        claim.arguments.push_back(gap_word(static_cast<GapBucket>(value)));
        break;
      case ArgumentKind::kSeason:
        claim.arguments.push_back(season_word(value));
        break;
      case ArgumentKind::kStage:
        claim.arguments.push_back(std::array{"new", "active", "returning"}[value]);
        break;
      case ArgumentKind::kNumber:
        claim.arguments.push_back(std::to_string(value));
        break;
      default:
        claim.arguments.push_back(std::to_string(value + 1));
    }
  }
  return claim;
}

// Every claim of a row with every value of its arguments.
std::vector<Claim> all_claims(size_t row, const ClaimContext& context) {
  const Predicate& predicate = predicate_table()[row];
  std::vector<Claim> claims;
  std::array<int64_t, 3> size{1, 1, 1};
  for (size_t i = 0; i < predicate.arity(); ++i)
    size[i] = argument_domain(predicate.kinds[i], context);
  for (int64_t a = 0; a < size[0]; ++a)
    for (int64_t b = 0; b < size[1]; ++b)
      for (int64_t c = 0; c < size[2]; ++c) {
        const std::array<int64_t, 3> at{a, b, c};
        ResolvedClaim resolved{row, {}};
        for (size_t i = 0; i < predicate.arity(); ++i)
          resolved.values[i] = argument_value(predicate.kinds[i], at[i], context);
        claims.push_back(claim_of(resolved, context));
      }
  return claims;
}

Verdict judged(const std::vector<Claim>& claims, const ClaimContext& context) {
  return judge_claims(claims, context, {}).at(0).verdict;
}

TEST_F(Sentences, have_forms_for_every_row_and_the_first_has_no_number) {
  ASSERT_EQ(sentence_forms().size(), predicate_table().size());
  for (const Predicate& predicate : predicate_table()) {
    const std::string key = predicate.key();
    const auto row = std::find_if(sentence_forms().begin(), sentence_forms().end(),
                                  [&](const SentenceForms& forms) { return forms.key == key; });
    ASSERT_NE(row, sentence_forms().end()) << key;
    EXPECT_EQ(row->forms.front().find("{v}"), std::string_view::npos) << key;
  }
}

TEST_F(Sentences, come_back_as_the_claims_they_say) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  Rng rng(1, "test/sentences");
  int64_t read = 0, numbered = 0;
  for (size_t row = 0; row < predicate_table().size(); ++row)
    for (const Claim& claim : all_claims(row, context)) {
      const Verdict verdict = judged({claim}, context);
      std::vector<std::string> texts{claim_sentence(claim, context, AttributeNames::kWords)};
      for (int draw = 0; draw < 6; ++draw) texts.push_back(varied_sentence(claim, context, rng));
      for (const std::string& text : texts) {
        ASSERT_FALSE(text.empty()) << claim.predicate << " of row " << row;
        const ReasoningReading reading = read_sentences(text + ".", context);
        ASSERT_EQ(reading.claims.size(), 1u) << text;
        EXPECT_EQ(reading.claim_sentences, 1) << text;
        EXPECT_EQ(reading.claims[0].predicate, claim.predicate) << text;
        EXPECT_EQ(judged(reading.claims, context), verdict) << text;
        // A duration that a false claim names is that of its bucket.
        auto found = reading.claims[0].arguments, meant = claim.arguments;
        for (auto* arguments : {&found, &meant}) std::sort(arguments->begin(), arguments->end());
        EXPECT_EQ(found, meant) << text;
        ++read;
        numbered += reading.claims[0].stated.has_value();
      }
    }
  EXPECT_GT(read, 2000);
  EXPECT_GT(numbered, 50);
}

TEST_F(Sentences, with_wrong_numbers_are_false_and_rounding_is_forgiven) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  const int32_t drama = attribute(catalogue, "drama"), crime = attribute(catalogue, "crime");
  const double lift = sheet_transition_lift(facts, drama, crime);
  ASSERT_GT(lift, 1.3);
  const auto verdict = [&](const std::string& text) {
    const auto claims = read_sentences(text, context).claims;
    return claims.size() == 1 ? verdict_name(judged(claims, context)) : "not one claim";
  };
  const std::string form = "After drama, crime follows {} times as often as usual.";
  EXPECT_EQ(verdict(fmt::format(fmt::runtime(form), lift)), std::string("true"));
  EXPECT_EQ(verdict(fmt::format(fmt::runtime(form), 1.1 * lift)), std::string("true"));
  EXPECT_EQ(verdict(fmt::format(fmt::runtime(form), 1.5 * lift)), std::string("false"));
  EXPECT_EQ(verdict(fmt::format(fmt::runtime(form), 0.6 * lift)), std::string("false"));
  // Six days ago: the last entry.
  EXPECT_EQ(verdict("\"Hollow River\" was chosen 6 days ago."), std::string("true"));
  EXPECT_EQ(verdict("The last choice was chosen six days ago."), std::string("true"));
  EXPECT_EQ(verdict("\"Hollow River\" was chosen a week ago."), std::string("true"));
  EXPECT_EQ(verdict("\"Hollow River\" was chosen 3 days ago."), std::string("false"));
  EXPECT_EQ(verdict("\"Hollow River\" was chosen weeks ago."), std::string("false"));
  EXPECT_EQ(verdict("\"Hollow River\" was chosen days ago."), std::string("true"));
  EXPECT_EQ(verdict("Crime was chosen three times."), std::string("true"));
  EXPECT_EQ(verdict("Crime was chosen twice."), std::string("false"));
  // A title that is not in the history.
  EXPECT_EQ(verdict("\"Gone Girl\" was chosen 6 days ago."), std::string("unverifiable"));
}

TEST_F(Sentences, are_read_with_tolerance) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  const auto names = [&](std::string_view text) {
    std::string all;
    for (const Claim& claim : read_sentences(text, context).claims) {
      all += claim.predicate + "(";
      for (const std::string& argument : claim.arguments) all += argument + " ";
      all.back() = ')';
      all += ' ';
    }
    return all;
  };
  EXPECT_EQ(names("the LASTING taste is Crime"), "long(crime) ");
  EXPECT_EQ(names("So the lasting taste is clearly crime!"), "long(crime) ");
  EXPECT_EQ(names("The lasting taste is crime, and lately it is drama."),
            "long(crime) short(drama) ");
  EXPECT_EQ(names("Crime often follows drama; it should be crime."),
            "trans(drama crime) need(crime) ");
  EXPECT_EQ(names("The lasting taste is crime, but lately it is drama."), "conflict(crime drama) ");
  EXPECT_EQ(names("It should be crime and dark."), "need(crime dark) ");
  EXPECT_EQ(names("\"hollow river\" (entry 1) came before \"Iron Letter\""), "before(1 3) ");
  EXPECT_EQ(names("The lasting taste is jazz."), "");
}

TEST_F(Sentences, that_are_no_claims_are_counted_and_do_not_cost) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  const std::string text = "I like this. It was a dark night.\nThe lasting taste is crime. Really";
  const ReasoningReading reading = read_sentences(text, context);
  EXPECT_EQ(reading.sentences, 4);
  EXPECT_EQ(reading.claim_sentences, 1);
  ASSERT_EQ(reading.claims.size(), 1u);
  EXPECT_EQ(text.substr(reading.claims[0].begin, reading.claims[0].end - reading.claims[0].begin),
            "lasting taste is crime");
  const auto with = judge_claims(reading.claims, context, {});
  const auto alone =
      judge_claims(read_sentences("The lasting taste is crime.", context).claims, context, {});
  EXPECT_EQ(score_reasoning(with, 1, context).r_ver, score_reasoning(alone, 1, context).r_ver);
}

TEST_F(Sentences, keep_titles_that_look_like_forms_or_quotes) {
  catalogue.titles[0] = "Say \"No\"; {1} 2 times";
  request.history = {1, 0};
  request.times = {request.now - 8 * kDay, request.now - 2 * kDay};
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  Claim claim{"before", {"1", "2"}};
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Rng rng(seed, "test/titles");
    const std::string text = varied_sentence(claim, context, rng);
    EXPECT_NE(text.find("\"Say 'No', {1} 2 times\""), text.npos) << text;
    const auto claims = read_sentences(text, context).claims;
    ASSERT_EQ(claims.size(), 1u) << text;
    EXPECT_EQ(claims[0].arguments, claim.arguments) << text;
  }
}

TEST_F(Sentences, survive_any_bytes) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  const std::vector<std::string> pieces{
      "\"",       "Hollow River\"", " and",  ", ",         ". ",   "crime",  "99999999999999999999",
      "1.",       "2.5 ",           "\n",    "after",      " the", " often", " follows",
      "\xff\xfe", "once ",          "very ", " weeks ago", "%",    "(",      ")",
      "\"\"",     "drama"};
  Rng rng(3, "test/bytes");
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += pieces[rng.below(pieces.size())];
    for (const Claim& claim : read_sentences(text, context).claims) {
      EXPECT_LE(claim.begin, claim.end);
      EXPECT_LE(claim.end, text.size());
      judge_claims({claim}, context, {});
    }
  }
  std::string many;
  while (many.size() < 60000) many += "crime and very ";
  EXPECT_TRUE(read_sentences(many, context).claims.empty());
}

TEST(Durations, are_written_in_one_unit_and_read_back) {
  for (const int64_t seconds : {0L, 40L, 300L, 5400L, 7200L, 100000L, 86400L * 6, 86400L * 20,
                                86400L * 70, 86400L * 400, 86400L * 2000}) {
    const std::string text = duration_text(seconds);
    const auto tokens = sentence_tokens(text);
    const auto duration = find_duration(tokens);
    ASSERT_TRUE(duration.has_value()) << text;
    EXPECT_EQ(duration->tokens, tokens.size()) << text;
    if (!duration->stated) {
      EXPECT_EQ(seconds, 0);
      continue;
    }
    EXPECT_TRUE(agrees(duration->stated->value, duration->stated->resolution,
                       {static_cast<double>(seconds), NumberUnit::kSeconds}))
        << text << " for " << seconds;
  }
  EXPECT_EQ(duration_text(86400), "a day");
  EXPECT_EQ(duration_text(3600 * 2), "2 hours");
  EXPECT_EQ(duration_text(6 * 86400), "6 days");
  EXPECT_EQ(duration_text(21 * 86400), "3 weeks");
  EXPECT_FALSE(find_duration(sentence_tokens("crime")).has_value());
  EXPECT_FALSE(find_duration(sentence_tokens("3")).has_value());
}

TEST_F(Sentences, explain_a_compact_reasoning_to_people) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  const std::string reasoning =
      " trans( drama crime) long( crime) count( horror 3) gap( 5 now week) taste need( crime) "
      "pick( CRIME 1)";
  const PromptStyle& style = find_style("compact");
  const auto claims = judge_claims(style.read(reasoning, context).claims, context, {});
  const Explanation explanation = explain(reasoning, claims, context, style);
  EXPECT_EQ(explanation.decision,
            "The lasting taste decides, but what is said of it above is false: it should be crime; "
            "the choice is "
            "\"Paper Crown\", as it is crime.");
  const std::string text = explanation_text(explanation);
  EXPECT_EQ(text.find("need("), text.npos);
  EXPECT_LT(text.find("Time and order"), text.find("What tends to follow"));
  EXPECT_LT(text.find("What tends to follow"), text.find("Taste"));
  EXPECT_NE(text.find("✓ \"Hollow River\" was chosen 6 days ago\n"), text.npos) << text;
  EXPECT_NE(text.find("✗ Horror was chosen 3 times  (in truth 0 of 5 choices)"), text.npos) << text;
  EXPECT_NE(text.find("✗ Crime is the lasting taste  (3 of 5 choices)"), text.npos) << text;
}

TEST_F(Sentences, explain_which_of_the_items_shown_the_wish_fits) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  const PromptStyle& style = find_style("compact");
  const std::string reasoning = " taste need( crime)";
  const auto claims = judge_claims(style.read(reasoning, context).claims, context, {});
  const auto list = [&](const std::vector<int32_t>& shown) {
    return explain(reasoning, claims, context, style, shown).list;
  };
  EXPECT_EQ(list({}), "");
  EXPECT_EQ(list({1}), "These reasons fit the item above (crime).");
  EXPECT_EQ(list({1, 3}), "These reasons fit all 2 items above (crime).");
  EXPECT_EQ(list({1, 2, 3}), "These reasons fit numbers 1 and 3 above (crime), not the others.");
  EXPECT_EQ(list({2, 3, 4}), "These reasons fit number 2 above (crime), not the others.");
  EXPECT_EQ(list({2, 4}),
            "These reasons fit no item above, none is crime: they do not explain the list.");
  const Explanation explanation = explain(reasoning, claims, context, style, std::vector{1});
  EXPECT_TRUE(
      explanation_text(explanation).ends_with("  These reasons fit the item above (crime).\n"));
  EXPECT_EQ(to_json(explanation, reasoning)["list"], "These reasons fit the item above (crime).");
}

// What names nothing is counted, not shown; what follows something says whether that was last.
TEST_F(Sentences, explain_nothing_that_people_cannot_read) {
  const FactSheet facts = sheet();
  const ClaimContext context{catalogue, request, facts};
  const PromptStyle& style = find_style("compact");
  const std::string reasoning = " trans( drama crime) gap( 99 now tie) gap( 99 now week)";
  const auto claims = judge_claims(style.read(reasoning, context).claims, context, {});
  ASSERT_EQ(claims.size(), 3U);
  const Explanation explanation = explain(reasoning, claims, context, style);
  const std::string text = explanation_text(explanation);
  EXPECT_EQ(text.find("gap("), text.npos) << text;
  EXPECT_NE(text.find("2 more statements could not be read\n"), text.npos) << text;
  const bool drama = has_attribute(catalogue, request.history.back(), 0);
  EXPECT_NE(text.find(fmt::format("(the last choice {} drama)", drama ? "was" : "was not")),
            text.npos)
      << text;
  EXPECT_EQ(text.find("more often than usual"), text.npos) << text;
  EXPECT_NE(text.find("times as often as usual"), text.npos) << text;
}

}  // namespace
}  // namespace etrlrec
