#include <gtest/gtest.h>

#include "base/check.h"
#include "temporal/names.h"
#include "temporal/series.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

TEST(Names, words_are_written_without_blanks_and_read_back) {
  const Catalogue catalogue =
      hand_catalogue({"genre", "tone"}, {{"A", {"genre:Film Noir (new)", "genre:Children's"}},
                                         {"B",
                                          {"tone:Film-Noir--new-",
                                           "tone:d\xC3\xBC"
                                           "ster"}},
                                         {"C", {"genre:now(", "tone:"}}});
  EXPECT_EQ(attribute_word(catalogue, 0), "Film-Noir--new-");
  EXPECT_EQ(attribute_word(catalogue, 1), "Children's");
  EXPECT_EQ(attribute_word(catalogue, 2), "Film-Noir--new-#2");
  for (int32_t a = 0; a < 6; ++a)
    EXPECT_EQ(find_attribute(catalogue, attribute_word(catalogue, a)), a);
}

TEST(Names, unknown_words_name_nothing) {
  const Catalogue catalogue = small_catalogue();
  for (const std::string_view word : {"", "Drama", "dram", "drama#0", "drama#", "#1", "drama dark",
                                      "crime#99999999999", "drama#-1"})
    EXPECT_EQ(find_attribute(catalogue, word), -1) << word;
  EXPECT_EQ(find_attribute(catalogue, std::string(1000, 'a')), -1);
}

TEST(Names, long_names_are_cut_at_a_character_and_stay_distinct) {
  const std::string start(60, 'x');
  const Catalogue catalogue =
      hand_catalogue({"genre"}, {{"A", {"genre:" + start + "one", "genre:" + start + "two"}}});
  EXPECT_NE(attribute_word(catalogue, 0), attribute_word(catalogue, 1));
  EXPECT_LE(attribute_word(catalogue, 1).size(), kMaxWordBytes);
  EXPECT_EQ(find_attribute(catalogue, attribute_word(catalogue, 1)), 1);
}

TEST(Names, seasons_are_quarters_of_the_year_in_utc) {
  EXPECT_EQ(season_index(kJanuary - 1), 3);
  EXPECT_EQ(season_index(kJanuary), 0);
  EXPECT_EQ(season_index(kJanuary + 91 * kDay - 1), 0);  // a leap year
  EXPECT_EQ(season_index(kJanuary + 91 * kDay), 1);
  EXPECT_EQ(season_index(-1), 3);
  EXPECT_EQ(find_season("autumn"), 3);
  EXPECT_EQ(find_season("fall"), -1);
  EXPECT_THROW(season_index(INT64_MIN), Error);
}

TEST(Series, part_numbers_are_read_from_titles) {
  const std::vector<std::tuple<std::string, std::string, int32_t>> cases{
      {"Hollow River", "hollow river", 1},
      {"Hollow River II", "hollow river", 2},
      {"Die Hard 2 (1990)", "die hard", 2},
      {"Godfather, The (1972)", "godfather", 1},
      {"Godfather: Part II, The (1974)", "godfather", 2},
      {"Star Trek III: The Search for Spock (1984)", "star trek", 3},
      {"Friday the 13th Part VIII", "friday 13th", 8},
      {"Part I", "part", 1},
      {"I Know It (1997)", "i know it", 1},
      {"Rocky XIV", "rocky", 14},
      {"2001", "2001", 1},
      {"Mix vol 3", "mix", 3},
      {"1984 (1984)", "1984", 1},
      {"Room 1408", "room 1408", 1},
      {"", "", 1}};
  for (const auto& [title, stem, part] : cases) {
    const SeriesPart parsed = parse_series(title);
    EXPECT_EQ(parsed.stem, stem) << title;
    EXPECT_EQ(parsed.part, part) << title;
  }
}

TEST(Series, only_titles_that_share_a_stem_form_a_series) {
  const SeriesTable table = find_series(small_catalogue());
  EXPECT_EQ(table.series, (std::vector<int32_t>{0, -1, -1, -1, -1, -1, 0}));
  EXPECT_EQ(table.part[6], 2);
}

TEST(Names, key_words_are_capitals_and_lead_back_to_their_attribute) {
  const Catalogue catalogue = hand_catalogue(
      {"genre"}, {{"A", {"genre:drama", "genre:Sci-Fi"}}, {"B", {"genre:dark", "genre:Dark"}}});
  for (int32_t a = 0; a < static_cast<int32_t>(catalogue.attributes.size()); ++a)
    EXPECT_EQ(find_attribute(catalogue, key_word(catalogue, a)), a) << catalogue.attributes[a];
  EXPECT_EQ(key_word(catalogue, 0), "DRAMA");
  EXPECT_EQ(key_word(catalogue, 1), "SCI-FI");
  EXPECT_EQ(key_word(catalogue, 2), "dark");  // capitals would name two
  EXPECT_EQ(find_attribute(catalogue, "DRAM"), -1);
}

}  // namespace
}  // namespace etrlrec
