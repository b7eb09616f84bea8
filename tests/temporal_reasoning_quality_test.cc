// How well reasonings speak: what is counted, in both styles, and that counts come back from JSON.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "temporal/reasoning_quality.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

class Quality : public ::testing::Test {
 protected:
  RowView view(const std::string& style) const {
    return {catalogue, &statistics, small_request(), {.style = style}};
  }
  Catalogue catalogue = small_catalogue();
  TemporalStatistics statistics = small_statistics();
};

TEST_F(Quality, sentences_count_whether_they_are_claims_or_not) {
  const RowView english = view("natural");
  const ReasoningReading reading =
      english.read(" Drama leads the last choices. The lasting taste decides. A fine day.");
  EXPECT_EQ(reading.sentences, 3);
  EXPECT_EQ(reading.claim_sentences, 1);
  EXPECT_EQ(reading.claims.size(), 1u);
  const ReasoningReading compact =
      view("compact").read(" long( crime) taste need( crime) what now");
  EXPECT_EQ(compact.sentences, 5);
  EXPECT_EQ(compact.claim_sentences, 2);
  EXPECT_EQ(view("compact").read("").sentences, 0);
  EXPECT_EQ(view("compact").read("  ").sentences, 0);
}

// count( a 9) is false of three entries, long( poetry) names nothing; need() is a wish.
TEST_F(Quality, claims_about_the_past_are_judged_and_wishes_are_not) {
  const RowView row = view("compact");
  ReasoningQuality quality;
  quality.add(" count( drama 99) long( poetry) need( crime)", row);
  EXPECT_EQ(quality.claims(), 2);
  EXPECT_EQ(quality.share(Verdict::kFalse), 0.5);
  EXPECT_EQ(quality.share(Verdict::kUnverifiable), 0.5);
  EXPECT_EQ(quality.precision(), 0);
  const int32_t last = small_request().history.back();
  const auto first_attribute = catalogue.attributes_of(last)[0];
  int64_t count = 0;
  for (const int32_t item : small_request().history)
    for (const int32_t attribute : catalogue.attributes_of(item))
      count += attribute == first_attribute;
  quality.add(fmt::format(" count( {} {})", attribute_word(catalogue, first_attribute), count),
              row);
  EXPECT_EQ(quality.share(Verdict::kTrue), 1.0 / 3);
  EXPECT_EQ(quality.precision(), 0.5);
  quality.add("", row);
  EXPECT_EQ(quality.rows, 3);
  EXPECT_EQ(quality.reasonings, 2);
  EXPECT_EQ(quality.claim_sentence_share(), 1);
  const Json json = Json::parse(to_json(quality).dump());
  EXPECT_EQ(reasoning_quality(json, "test"), quality);
  EXPECT_EQ(json.at("precision"), 0.5);
  EXPECT_THROW(reasoning_quality(Json{{"rows", 3}}, "test"), Error);
}

TEST_F(Quality, nothing_said_divides_by_nothing) {
  const ReasoningQuality none;
  EXPECT_EQ(none.precision(), 0);
  EXPECT_EQ(none.claim_sentence_share(), 0);
  EXPECT_EQ(none.sentences_per_reasoning(), 0);
  EXPECT_NE(reasoning_quality_text(none).find("0 of 0 rows"), std::string::npos);
}

}  // namespace
}  // namespace etrlrec
