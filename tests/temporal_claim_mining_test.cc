// Free text is read for claims, judged, and restated.
#include <gtest/gtest.h>

#include "temporal/claim_mining.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

class ClaimMining : public testing::Test {
 protected:
  ClaimContext context() const { return {catalogue_, request_, facts_}; }
  MinedReasoning mine(const std::string& text, const char* style = "natural") const {
    return mine_claims(text, 4, find_style(style), context(), {});
  }
  std::string restate(const std::string& text, const char* style, bool names_candidates) const {
    Rng rng(1, "test");
    return restated(mine(text, style), text, find_style(style), names_candidates, context(), rng);
  }

  Catalogue catalogue_ = small_catalogue();
  Request request_ = small_request();
  FactSheet facts_ = compute_facts(catalogue_, small_statistics(), request_);
};

constexpr const char* kText =
    " I think this person is thoughtful. Clearly, \"Paper Crown\" came after \"Hollow River\"? "
    "There is no horror in the history. In the history there was much war. "
    "Horror was chosen 3 times. The lasting taste decides. It should be drama.";

TEST_F(ClaimMining, counts_sentences_and_names_what_is_not_true) {
  const MinedReasoning mined = mine(kText);
  EXPECT_EQ(mined.sentences, 7);
  EXPECT_EQ(mined.score.num_false, 1 + (mined.claims.front().verdict == Verdict::kFalse));
  EXPECT_GE(mined.claim_sentences, 3);
  ASSERT_FALSE(mined.rejected.empty());
  EXPECT_EQ(mined.rejected.back(), "Horror was chosen 3 times");
  EXPECT_GT(mined.score.precision, 0);
  EXPECT_LT(mined.score.precision, 1);
}

TEST_F(ClaimMining, finds_nothing_in_chatter) {
  const MinedReasoning mined = mine(" The user seems to enjoy stories. Who would not?");
  EXPECT_TRUE(mined.claims.empty());
  EXPECT_EQ(mined.sentences, 2);
  EXPECT_EQ(mined.score.precision, 0);
  EXPECT_EQ(restate(" The lasting taste decides.", "natural", true), "");
}

TEST_F(ClaimMining, restates_what_is_true_in_any_style) {
  const std::string compact = restate(kText, "compact", true);
  EXPECT_NE(compact.find("absent( horror)"), compact.npos) << compact;
  EXPECT_NE(compact.find("taste need( drama)"), compact.npos) << compact;
  EXPECT_EQ(compact.find("count("), compact.npos) << compact;
  const std::string natural = restate(kText, "natural", true);
  const MinedReasoning again = mine(natural);
  EXPECT_EQ(again.score.num_false, 0) << natural;
  EXPECT_EQ(again.score.precision, 1) << natural;
  EXPECT_EQ(restate(" There is no horror in the history. There is no horror in the history.",
                    "compact", true),
            " absent( horror)");
}

TEST_F(ClaimMining, leaves_candidates_out_where_they_have_no_numbers) {
  const std::string text = " There is no horror in the history. The choice is \"Hollow River II\".";
  EXPECT_EQ(restate(text, "compact", true), " absent( horror) pick( 4)");
  EXPECT_EQ(restate(text, "compact", false), " absent( horror)");
}

TEST_F(ClaimMining, reads_the_program_in_its_own_style) {
  const MinedReasoning mined = mine(" absent( horror) count( drama 9)", "compact");
  EXPECT_EQ(mined.score.num_true, 1);
  EXPECT_EQ(mined.score.num_false, 1);
  EXPECT_EQ(mined.rejected.front(), "count( drama 9)");
}

}  // namespace
}  // namespace etrlrec
