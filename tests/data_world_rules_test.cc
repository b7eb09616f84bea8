// The rules of the synthetic world as frequencies of its events, by the gap to the event before:
// what the first event, a short gap, a pause and an absence bring under each knob.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/calendar.h"
#include "data/synthetic.h"
#include "data/world_file.h"

namespace etrlrec {
namespace {

// By gap to the event before: share of events whose genre is the one that each rule would name.
struct Shares {
  double successor[4] = {}, season[4] = {}, long_term[4] = {}, long_term_successor[4] = {};
  double events[4] = {};
};
constexpr int kFirst = static_cast<int>(GapClass::kFirst),
              kShort = static_cast<int>(GapClass::kShort),
              kPause = static_cast<int>(GapClass::kPause),
              kAbsence = static_cast<int>(GapClass::kAbsence);

// Replays the generator's streams, since the log does not tell the long-term genre.
Shares measure(const std::string& informative) {
  WorldOptions options;
  options.users = 1000;
  options.informative = informative;
  const World w = make_world(options);
  const WorldSampler sampler(w);
  Shares s;
  for (int64_t u = 0; u < options.users; ++u) {
    Rng rng(options.seed, "world.items", u);
    WorldUser user = sampler.new_user(rng);
    for (int64_t j = w.dataset.user_offsets[u]; j < w.dataset.user_offsets[u + 1]; ++j) {
      const int64_t time = w.dataset.times[j];
      const bool first = user.items.empty();
      const int32_t last = first ? -1 : w.item_genre[user.items.back()];
      const int gap = first ? kFirst : static_cast<int>(gap_class(time - user.times.back()));
      sampler.next_event(user, time, rng);
      EXPECT_EQ(user.items.back(), w.dataset.items[j]);
      const int32_t genre = w.item_genre[user.items.back()];
      s.successor[gap] += !first && genre == w.genre_successor[last];
      s.season[gap] += genre == w.season_genre[quarter_of_year(time)];
      s.long_term[gap] += genre == user.long_term;
      s.long_term_successor[gap] += genre == w.genre_successor[user.long_term];
      s.events[gap] += 1;
    }
  }
  for (const int gap : {kFirst, kShort, kPause, kAbsence})
    for (auto* share : {&s.successor, &s.season, &s.long_term, &s.long_term_successor})
      (*share)[gap] /= s.events[gap];
  return s;
}

TEST(WorldRules, gaps_are_short_pauses_or_absences_in_known_shares) {
  const Shares shares = measure("all");
  const double gaps = shares.events[kShort] + shares.events[kPause] + shares.events[kAbsence];
  EXPECT_NEAR(shares.events[kShort] / gaps, 0.5, 0.02);
  EXPECT_NEAR(shares.events[kPause] / gaps, 0.25, 0.02);
  EXPECT_NEAR(shares.events[kAbsence] / gaps, 0.25, 0.02);
}

TEST(WorldRules, all_rules_give_every_gap_class_its_own_genre) {
  const Shares shares = measure("all");
  EXPECT_NEAR(shares.long_term[kFirst], 0.83, 0.04);
  EXPECT_NEAR(shares.successor[kShort], 0.80, 0.03);
  EXPECT_NEAR(shares.long_term[kPause], 0.83, 0.03);
  EXPECT_NEAR(shares.season[kAbsence], 0.715, 0.03);
  for (const int gap : {kShort, kPause}) EXPECT_LT(shares.season[gap], 0.15);
  for (const int gap : {kShort, kAbsence}) EXPECT_LT(shares.long_term[gap], 0.15);
  for (const int gap : {kPause, kAbsence}) EXPECT_LT(shares.successor[gap], 0.15);
}

TEST(WorldRules, order_follows_the_last_item_after_every_gap_and_nothing_else) {
  const Shares shares = measure("order");
  for (const int gap : {kShort, kPause, kAbsence}) {
    EXPECT_NEAR(shares.successor[gap], 0.80, 0.03);
    EXPECT_LT(shares.long_term[gap], 0.1);
    EXPECT_LT(shares.season[gap], 0.1);
  }
  EXPECT_LT(shares.long_term[kFirst], 0.1);
}

TEST(WorldRules, gaps_follow_the_long_term_genre_or_its_successor) {
  const Shares shares = measure("gaps");
  for (const int gap : {kFirst, kPause, kAbsence}) {
    EXPECT_GT(shares.long_term[gap], 0.75);
    EXPECT_LT(shares.long_term_successor[gap], 0.1);
    EXPECT_LT(shares.season[gap], 0.15);
  }
  EXPECT_GT(shares.long_term_successor[kShort], 0.75);
  EXPECT_LT(shares.long_term[kShort], 0.1);
}

TEST(WorldRules, season_follows_the_quarter_after_every_gap_and_nothing_else) {
  const Shares shares = measure("season");
  for (const int gap : {kFirst, kShort, kPause, kAbsence}) {
    EXPECT_NEAR(shares.season[gap], 0.70, 0.05);
    EXPECT_LT(shares.successor[gap], 0.1);
    EXPECT_LT(shares.long_term[gap], 0.1);
  }
}

TEST(WorldRules, file_keeps_them_and_refuses_a_season_outside_the_genres) {
  WorldOptions options;
  options.users = 5;
  const World world = make_world(options);
  const fs::path folder = fs::temp_directory_path() / fmt::format("etrlrec_rules_{}", ::getpid());
  fs::create_directories(folder);
  save_world(world, folder);
  const World read = load_world(folder);
  EXPECT_EQ(read.item_genre, world.item_genre);
  EXPECT_EQ(read.genre_successor, world.genre_successor);
  EXPECT_EQ(read.season_genre, world.season_genre);
  EXPECT_EQ(read.genre_prior, world.genre_prior);
  const Json good = read_json(folder / "world.json");
  for (const int genre : {-1, 20}) {
    Json bad = good;
    bad["season_genre"][3] = genre;
    write_file_atomic(folder / "world.json", bad.dump());
    EXPECT_THROW(load_world(folder), Error) << genre;
  }
  fs::remove_all(folder);
  options.follow_season = -0.1;
  EXPECT_THROW(make_world(options), Error);
}

}  // namespace
}  // namespace etrlrec
