#include <gtest/gtest.h>

#include "base/json.h"
#include "method/ranking_text.h"

namespace etrlrec {
namespace {

const Catalogue kCatalogue{.item_ids = {"i0", "i1"},
                           .titles = {"Calm Sea", "Loud City"},
                           .attributes = {"drama", "quiet"},
                           .fields = {"genre"},
                           .attribute_fields = {0, 0},
                           .attribute_offsets = {0, 2, 2},
                           .attribute_ids = {0, 1}};

// Item 1 before item 0, and one claim of each verdict.
Ranking ranking() {
  Ranking ranking;
  ranking.items = {{1, 0.75F}, {0, 0.25F}};
  ranking.reasoning = "a( b) c( d) e( f)";
  const Verdict verdicts[] = {Verdict::kTrue, Verdict::kFalse, Verdict::kUnverifiable};
  for (size_t i = 0; i < 3; ++i) {
    ExplainedClaim claim;
    claim.begin = 6 * i, claim.end = 6 * i + 5, claim.verdict = verdicts[i];
    claim.sentence = "Sentence " + std::to_string(i);
    claim.number = i == 1 ? "2 of 3 choices" : "";
    claim.is_known = true;
    claim.dimension = i == 0 ? Dimension::kUET : Dimension::kIS;
    ranking.explanation.claims.push_back(claim);
  }
  ranking.explanation.decision = "The lasting taste decides.";
  return ranking;
}

TEST(RankingText, document_holds_items_with_ranks_and_claims_with_verdicts) {
  const OrderedJson document = to_json(ranking(), kCatalogue);
  EXPECT_EQ(document["items"][0],
            (OrderedJson{{"item_id", "i1"}, {"title", "Loud City"}, {"score", 0.75}, {"rank", 1}}));
  EXPECT_EQ(document["items"][1]["rank"], 2);
  const OrderedJson& explanation = document["explanation"];
  EXPECT_EQ(explanation["reasoning"], "a( b) c( d) e( f)");
  EXPECT_EQ(explanation["claims"][1], (OrderedJson{{"dimension", "IS"},
                                                   {"sentence", "Sentence 1"},
                                                   {"verdict", "false"},
                                                   {"number", "2 of 3 choices"},
                                                   {"claim", "c( d)"}}));
  EXPECT_EQ(explanation["decision"], "The lasting taste decides.");
  EXPECT_EQ(explanation["valid"], true);
}

TEST(RankingText, lines_hold_rank_id_title_attributes_and_probability) {
  EXPECT_EQ(format_ranking(ranking(), kCatalogue, ExplanationForm::kNone),
            "    id  title                   probability\n"
            " 1  i1  Loud City               75.0 %\n"
            " 2  i0  Calm Sea   drama quiet  25.0 %\n");
  Ranking rare = ranking();
  rare.items = {{1, 0.00012F}};
  EXPECT_EQ(format_ranking(rare, kCatalogue, ExplanationForm::kNone),
            "    id  title      probability\n"
            " 1  i1  Loud City  0.012 %\n");
}

// A letter of two bytes takes one place.
TEST(RankingText, columns_are_as_wide_as_their_longest_text) {
  Catalogue catalogue = kCatalogue;
  catalogue.titles = {"Ä", "Loud City of the very long name that never ends anywhere"};
  const std::string text = format_ranking(ranking(), catalogue, ExplanationForm::kNone);
  const std::string last = text.substr(text.find("Ä"));
  EXPECT_TRUE(last.starts_with("Ä" + std::string(catalogue.titles[1].size() + 1, ' ') + "drama"))
      << text;
}

TEST(RankingText, people_read_sentences_by_dimension) {
  const std::string text = format_ranking(ranking(), kCatalogue, ExplanationForm::kSentences);
  const std::string expected =
      "why, each statement checked against the data (✓ true, ✗ false, ? cannot be checked):\n"
      "  Time and order\n"
      "    ✗ Sentence 1  (2 of 3 choices)\n"
      "    ? Sentence 2\n"
      "  Taste\n"
      "    ✓ Sentence 0\n"
      "  The lasting taste decides.\n";
  EXPECT_TRUE(text.ends_with(expected)) << text;
  EXPECT_EQ(text.find("a( b)"), text.npos);
}

TEST(RankingText, the_raw_form_marks_every_claim) {
  const std::string text = format_ranking(ranking(), kCatalogue, ExplanationForm::kRaw);
  const std::string expected =
      "why: a( b) c( d) e( f)\n"
      "  ✓ a( b)                                    true\n"
      "  ✗ c( d)                                    false\n"
      "  ? e( f)                                    unverifiable\n";
  EXPECT_TRUE(text.ends_with(expected)) << text;
}

TEST(RankingText, a_reasoning_closed_by_force_is_said_so) {
  Ranking forced = ranking();
  forced.valid = false;
  EXPECT_TRUE(format_ranking(forced, kCatalogue, ExplanationForm::kSentences)
                  .ends_with("was closed by force\n"));
  EXPECT_EQ(to_json(forced, kCatalogue)["explanation"]["valid"], false);
}

}  // namespace
}  // namespace etrlrec
