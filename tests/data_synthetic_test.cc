// The synthetic world: shape of the log, knobs, exactness of the forward filter against the
// generator itself, world.json.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>
#include <string>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/calendar.h"
#include "data/synthetic.h"
#include "data/world_file.h"
#include "data/world_probability.h"
#include "days.h"

namespace etrlrec {
namespace {

constexpr int64_t kStart = 1672531200;

WorldOptions small_options(const std::string& informative = "all") {
  WorldOptions options;
  options.users = 300;
  options.informative = informative;
  return options;
}

// Few items, series, a late item, a genre that runs empty: every branch of the rules occurs.
World tiny_world(const std::string& informative) {
  World world;
  world.options.items = 8;
  world.options.genres = 3;
  world.options.follow_transition = 0.7;
  world.options.follow_long_term = 0.75;
  world.options.follow_season = 0.6;
  world.options.sequel = 0.4;
  world.options.drift = 0.3;
  world.options.informative = informative;
  world.item_genre = {0, 0, 0, 1, 1, 1, 2, 2};
  world.next_part = {1, -1, -1, -1, 5, -1, -1, -1};
  world.release = {0, 0, 0, 0, 0, 0, 0, kStart + 20 * kDay};
  world.item_weight = {1, 2, 0.5, 1, 1.5, 1, 1, 3};
  world.genre_successor = {1, 2, 0};
  world.season_genre = {2, 1, 1, 0};
  world.genre_prior = {0.5, 0.3, 0.2};
  return world;
}

struct Chi {
  double statistic = 0;
  int64_t degrees = 0;
};

// Simulates users of the world at fixed times and holds the last item's frequencies, given each
// frequent prefix, against the filter of `claimed`.
Chi compare_with_generator(const World& world, const World& claimed,
                           const std::vector<int64_t>& times, int64_t draws) {
  std::map<std::vector<int32_t>, std::vector<int64_t>> counts;
  const WorldSampler sampler(world);
  Rng rng(7, "test");
  for (int64_t n = 0; n < draws; ++n) {
    WorldUser user = sampler.new_user(rng);
    for (const int64_t time : times) sampler.next_event(user, time, rng);
    const int32_t last = user.items.back();
    user.items.pop_back();
    auto& row = counts[user.items];
    row.resize(world.item_genre.size());
    ++row[last];
  }
  Chi chi;
  const std::vector<int64_t> history(times.begin(), times.end() - 1);
  for (const auto& [prefix, row] : counts) {
    const double total = std::accumulate(row.begin(), row.end(), 0.0);
    if (total < 300) continue;
    const std::vector<double> p = next_item_probabilities(claimed, prefix, history, times.back());
    double rest_expected = total, rest_found = total;
    for (size_t i = 0; i < row.size(); ++i) {
      EXPECT_TRUE(p[i] > 0 || row[i] == 0) << "item " << i << " was drawn against probability 0";
      const double expected = total * p[i];
      if (expected < 10) continue;  // pooled into the rest
      chi.statistic += (row[i] - expected) * (row[i] - expected) / expected;
      ++chi.degrees;
      rest_expected -= expected;
      rest_found -= row[i];
    }
    if (rest_expected >= 10) {
      chi.statistic += (rest_found - rest_expected) * (rest_found - rest_expected) / rest_expected;
    } else {
      --chi.degrees;
    }
  }
  return chi;
}

// Five standard deviations of a chi-square variable.
double bound(const Chi& chi) {
  const auto degrees = static_cast<double>(chi.degrees);
  return degrees + 5 * std::sqrt(2 * degrees);
}

// First event, a pause, a short gap, an absence into another quarter, a short gap.
const std::vector<int64_t> kTimes = {kStart, kStart + 15 * kDay, kStart + 16 * kDay,
                                     kStart + 100 * kDay, kStart + 101 * kDay};

class FilterIsExact : public testing::TestWithParam<std::string> {};

TEST_P(FilterIsExact, against_frequencies_of_the_generator) {
  const World world = tiny_world(GetParam());
  for (size_t length = 2; length <= kTimes.size(); ++length) {
    const std::vector<int64_t> times(kTimes.begin(), kTimes.begin() + static_cast<int64_t>(length));
    const Chi chi = compare_with_generator(world, world, times, 60'000);
    EXPECT_GT(chi.degrees, 20) << "events " << length;
    EXPECT_LT(chi.statistic, bound(chi))
        << "events " << length << ", degrees of freedom " << chi.degrees;
  }
}

INSTANTIATE_TEST_SUITE_P(World, FilterIsExact, testing::Values("all", "order", "gaps", "season"),
                         [](const auto& info) { return info.param; });

TEST(World, comparison_with_the_generator_notices_a_wrong_rule) {
  const World world = tiny_world("all");
  const auto wrong = [&](int64_t last_gap, auto change) {
    World claimed = world;
    change(claimed);
    const std::vector<int64_t> times = {kStart, kStart + 15 * kDay, kStart + 30 * kDay,
                                        kStart + 30 * kDay + last_gap};
    const Chi chi = compare_with_generator(world, claimed, times, 80'000);
    return chi.statistic > bound(chi);
  };
  EXPECT_FALSE(wrong(15 * kDay, [](World&) {}));
  EXPECT_TRUE(wrong(15 * kDay, [](World& w) { w.options.drift = 0.1; }));
  EXPECT_TRUE(wrong(15 * kDay, [](World& w) { w.options.follow_long_term = 0.65; }));
  EXPECT_TRUE(wrong(60 * kDay, [](World& w) { w.options.follow_season = 0.5; }));
  EXPECT_TRUE(wrong(kDay, [](World& w) { w.options.sequel = 0.1; }));
  EXPECT_TRUE(wrong(kDay, [](World& w) { w.item_weight[0] = 1.6; }));
}

TEST(World, probabilities_sum_to_one_and_vanish_for_seen_and_unreleased_items) {
  const World world = make_world(small_options());
  const Dataset& d = world.dataset;
  for (int64_t u = 0; u < 40; ++u) {
    const int64_t begin = d.user_offsets[u], end = d.user_offsets[u + 1] - 1;
    const std::span<const int32_t> items(&d.items[begin], end - begin);
    const std::span<const int64_t> times(&d.times[begin], end - begin);
    const std::vector<double> p = next_item_probabilities(world, items, times, d.times[end]);
    EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-12);
    for (const int32_t item : items) EXPECT_EQ(p[item], 0);
    for (size_t i = 0; i < p.size(); ++i) {
      EXPECT_TRUE(world.release[i] <= d.times[end] || p[i] == 0);
    }
    EXPECT_GT(p[d.items[end]], 0);
  }
}

TEST(World, log_has_no_repeats_no_unreleased_items_and_strictly_increasing_times) {
  const World world = make_world(small_options());
  const Dataset& d = world.dataset;
  ASSERT_EQ(d.num_users(), 300);
  ASSERT_EQ(d.times.size(), d.items.size());
  for (int64_t u = 0; u < d.num_users(); ++u) {
    std::set<int32_t> seen;
    for (int64_t j = d.user_offsets[u]; j < d.user_offsets[u + 1]; ++j) {
      EXPECT_TRUE(seen.insert(d.items[j]).second);
      EXPECT_LE(world.release[d.items[j]], d.times[j]);
      EXPECT_TRUE(j == d.user_offsets[u] || d.times[j] > d.times[j - 1]);
    }
  }
}

TEST(World, log_has_the_asked_size_and_lasts_about_two_years) {
  const World world = make_world(small_options());
  const Dataset& d = world.dataset;
  EXPECT_NEAR(static_cast<double>(d.num_interactions()) / 300, 20, 1.5);
  std::vector<int64_t> lengths, times = d.times;
  for (int64_t u = 0; u < 300; ++u) lengths.push_back(d.user_offsets[u + 1] - d.user_offsets[u]);
  EXPECT_LE(*std::min_element(lengths.begin(), lengths.end()), 7);
  EXPECT_GE(*std::max_element(lengths.begin(), lengths.end()), 33);
  std::sort(times.begin(), times.end());
  const auto years =
      static_cast<double>(times[times.size() * 99 / 100] - times[times.size() / 100]) /
      (365.0 * kDay);
  EXPECT_GT(years, 1.6);
  EXPECT_LT(years, 2.3);
}

TEST(World, catalogue_has_unique_titles_series_cold_items_and_one_genre_each) {
  const World world = make_world(small_options());
  const Catalogue& c = world.dataset.catalogue;
  EXPECT_EQ(std::set<std::string>(c.titles.begin(), c.titles.end()).size(), 400u);
  EXPECT_EQ(c.fields, std::vector<std::string>{"genre"});
  EXPECT_EQ(c.attributes.size(), 20u);
  std::set<int32_t> in_series;
  for (int32_t i = 0; i < 400; ++i) {
    ASSERT_EQ(c.attributes_of(i).size(), 1u);
    EXPECT_EQ(c.attributes_of(i)[0], world.item_genre[i]);
    const int32_t next = world.next_part[i];
    if (next < 0) continue;
    in_series.insert({i, next});
    EXPECT_EQ(c.titles[i].substr(0, c.titles[i].find_last_not_of(" 0123456789") + 1) + " ",
              c.titles[next].substr(0, c.titles[next].find_last_of(' ') + 1));
    EXPECT_GE(world.release[next], world.release[i]);
    EXPECT_EQ(world.item_genre[next], world.item_genre[i]);
  }
  EXPECT_NEAR(static_cast<double>(in_series.size()) / 400, 0.3, 0.1);
  const auto cold = std::count_if(world.release.begin(), world.release.end(), [](int64_t release) {
    return release > kStart + 584 * kDay;
  });  // last fifth
  EXPECT_GE(cold, 5);
  EXPECT_LE(cold, 40);
}

TEST(World, titles_stay_unique_beyond_all_pairs_of_words) {
  WorldOptions options = small_options();
  options.users = 1;
  options.items = 9000;
  const World world = make_world(options);
  const auto& titles = world.dataset.catalogue.titles;
  EXPECT_EQ(std::set<std::string>(titles.begin(), titles.end()).size(), 9000u);
}

TEST(World, same_seed_gives_the_same_world_and_another_seed_another) {
  WorldOptions options = small_options();
  const World a = make_world(options), b = make_world(options);
  EXPECT_EQ(a.dataset.items, b.dataset.items);
  EXPECT_EQ(a.dataset.times, b.dataset.times);
  EXPECT_EQ(a.dataset.catalogue.titles, b.dataset.catalogue.titles);
  options.seed = 43;
  EXPECT_NE(make_world(options).dataset.items, a.dataset.items);
}

TEST(World, user_does_not_depend_on_the_number_of_users) {
  WorldOptions options = small_options();
  const World many = make_world(options);
  options.users = 10;
  const World few = make_world(options);
  EXPECT_TRUE(
      std::equal(few.dataset.items.begin(), few.dataset.items.end(), many.dataset.items.begin()));
}

// By gap to the event before: share of events whose genre is the successor of the last item's, and
// the season's.
struct Shares {
  double successor[4] = {}, season[4] = {};
};
constexpr int kShort = static_cast<int>(GapClass::kShort),
              kPause = static_cast<int>(GapClass::kPause),
              kAbsence = static_cast<int>(GapClass::kAbsence);
Shares measure(const std::string& informative) {
  WorldOptions options = small_options(informative);
  options.users = 1000;
  const World w = make_world(options);
  Shares shares;
  double totals[4] = {};
  for (int64_t u = 0; u < options.users; ++u) {
    for (int64_t j = w.dataset.user_offsets[u] + 1; j < w.dataset.user_offsets[u + 1]; ++j) {
      const int gap = static_cast<int>(gap_class(w.dataset.times[j] - w.dataset.times[j - 1]));
      const int32_t genre = w.item_genre[w.dataset.items[j]];
      totals[gap] += 1;
      shares.successor[gap] += genre == w.genre_successor[w.item_genre[w.dataset.items[j - 1]]];
      shares.season[gap] += genre == w.season_genre[quarter_of_year(w.dataset.times[j])];
    }
  }
  for (const int gap : {kShort, kPause, kAbsence}) {
    shares.successor[gap] /= totals[gap];
    shares.season[gap] /= totals[gap];
  }
  return shares;
}

TEST(World, all_rules_follow_the_last_item_after_short_gaps_and_the_season_after_absences) {
  const Shares shares = measure("all");
  EXPECT_GT(shares.successor[kShort], 0.7);
  EXPECT_LT(shares.successor[kPause], 0.2);
  EXPECT_LT(shares.successor[kAbsence], 0.2);
  EXPECT_LT(shares.season[kShort], 0.2);
  EXPECT_LT(shares.season[kPause], 0.2);
  EXPECT_GT(shares.season[kAbsence], 0.55);
}

TEST(World, order_follows_the_last_item_after_every_gap_and_no_season) {
  const Shares shares = measure("order");
  EXPECT_GT(shares.successor[kShort], 0.7);
  EXPECT_NEAR(shares.successor[kPause], shares.successor[kShort], 0.03);
  EXPECT_NEAR(shares.successor[kAbsence], shares.successor[kShort], 0.03);
  EXPECT_LT(shares.season[kAbsence], 0.15);
}

TEST(World, season_follows_the_quarter_after_every_gap_until_its_genre_is_seen) {
  const Shares shares = measure("season");
  EXPECT_NEAR(shares.season[kShort], shares.season[kAbsence], 0.03);
  EXPECT_GT(shares.season[kShort], 0.55);
  EXPECT_LT(shares.successor[kShort], 0.15);
}

TEST(World, gap_classes_meet_at_seven_and_thirty_days) {
  EXPECT_EQ(gap_class(0), GapClass::kShort);
  EXPECT_EQ(gap_class(7 * kDay), GapClass::kShort);
  EXPECT_EQ(gap_class(7 * kDay + 1), GapClass::kPause);
  EXPECT_EQ(gap_class(30 * kDay), GapClass::kPause);
  EXPECT_EQ(gap_class(30 * kDay + 1), GapClass::kAbsence);
}

TEST(World, order_ignores_times_in_its_probabilities) {
  World world = make_world(small_options("order"));
  std::fill(world.release.begin(), world.release.end(), 0);
  const std::vector<int32_t> items = {3, 77, 200};
  const std::vector<int64_t> quick = {kStart, kStart + 60, kStart + 120};
  const std::vector<int64_t> slow = {kStart, kStart + 40 * kDay, kStart + 90 * kDay};
  EXPECT_EQ(next_item_probabilities(world, items, quick, kStart + 180),
            next_item_probabilities(world, items, slow, kStart + 200 * kDay));
}

TEST(World, gaps_ignore_the_place_of_an_entry_given_its_gap) {
  World world = make_world(small_options("gaps"));
  std::fill(world.release.begin(), world.release.end(), 0);
  std::fill(world.item_weight.begin(), world.item_weight.end(), 1);
  const auto genre_share = [&](const std::vector<int32_t>& items, int64_t gap) {
    const std::vector<int64_t> times = {kStart, kStart + 40 * kDay, kStart + 80 * kDay};
    const std::vector<double> p =
        next_item_probabilities(world, items, times, kStart + 80 * kDay + gap);
    std::vector<double> genres(world.genre_prior.size(), 0);
    for (size_t i = 0; i < p.size(); ++i) genres[world.item_genre[i]] += p[i];
    return genres;
  };
  const std::vector<double> a = genre_share({3, 77, 200}, kDay),
                            b = genre_share({200, 77, 3}, kDay);
  for (size_t g = 0; g < a.size(); ++g) EXPECT_NEAR(a[g], b[g], 0.01);
  const std::vector<double> far = genre_share({3, 77, 200}, 60 * kDay);
  double moved = 0;
  for (size_t g = 0; g < a.size(); ++g) moved += std::abs(far[g] - a[g]) / 2;
  EXPECT_GT(moved, 0.2) << "the gap to now must matter";
}

TEST(World, season_ignores_the_history_but_for_what_was_seen) {
  World world = make_world(small_options("season"));
  std::fill(world.release.begin(), world.release.end(), 0);
  const std::vector<int64_t> times = {kStart, kStart + 60};
  const auto a = next_item_probabilities(world, std::vector<int32_t>{5, 9}, times, kStart + 90);
  const auto b =
      next_item_probabilities(world, std::vector<int32_t>{9, 5}, times, kStart + 50 * kDay);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12);
}

TEST(World, quarters_follow_the_calendar) {
  EXPECT_EQ(quarter_of_year(0), 0);
  EXPECT_EQ(quarter_of_year(1680307199), 0);  // 2023-03-31 23:59:59
  EXPECT_EQ(quarter_of_year(1680307200), 1);  // 2023-04-01
  EXPECT_EQ(quarter_of_year(1709164800), 0);  // 2024-02-29
  EXPECT_EQ(quarter_of_year(-1), 3);
}

TEST(World, bayes_ranking_is_far_above_chance_and_below_certainty) {
  const World world = make_world(small_options());
  const Dataset& d = world.dataset;
  Rng rng(1, "candidates");
  double hits = 0;
  for (int64_t u = 0; u < 300; ++u) {
    const int64_t begin = d.user_offsets[u], end = d.user_offsets[u + 1] - 1;
    const std::vector<double> p =
        next_item_probabilities(world, {&d.items[begin], static_cast<size_t>(end - begin)},
                                {&d.times[begin], static_cast<size_t>(end - begin)}, d.times[end]);
    double rival = 0;
    for (int n = 0; n < 19;) {
      const auto item = static_cast<int32_t>(rng.below(400));
      if (std::find(&d.items[begin], &d.items[end] + 1, item) != &d.items[end] + 1) continue;
      rival = std::max(rival, p[item]);
      ++n;
    }
    hits += p[d.items[end]] > rival;
  }
  RecordProperty("bayes_hit_at_1", std::to_string(hits / 300));
  EXPECT_GT(hits / 300, 0.45);
  EXPECT_LT(hits / 300, 0.75);
}

TEST(World, refuses_options_that_cannot_be_honoured) {
  const auto refuses = [](auto change) {
    WorldOptions options = small_options();
    change(options);
    EXPECT_THROW(make_world(options), Error);
  };
  refuses([](WorldOptions& o) { o.users = 0; });
  refuses([](WorldOptions& o) { o.items = 19; });
  refuses([](WorldOptions& o) { o.genres = 1; });
  refuses([](WorldOptions& o) { o.genres = 21; });
  refuses([](WorldOptions& o) { o.mean_events = 200; });
  refuses([](WorldOptions& o) { o.drift = 1.5; });
  refuses([](WorldOptions& o) { o.sequel = std::nan(""); });
  refuses([](WorldOptions& o) { o.popularity_spread = -1; });
  refuses([](WorldOptions& o) { o.informative = "nothing"; });
}

TEST(World, probabilities_refuse_impossible_histories) {
  const World world = tiny_world("all");
  const auto ask = [&](std::vector<int32_t> items, std::vector<int64_t> times, int64_t now) {
    return next_item_probabilities(world, items, times, now);
  };
  EXPECT_NO_THROW(ask({0}, {kStart}, kStart + 9));
  EXPECT_THROW(ask({0}, {kStart, kStart}, kStart + 9), Error);
  EXPECT_THROW(ask({8}, {kStart}, kStart + 9), Error);
  EXPECT_THROW(ask({-1}, {kStart}, kStart + 9), Error);
  EXPECT_THROW(ask({0}, {kStart}, kStart - 1), Error);
  EXPECT_THROW(ask({0, 0}, {kStart, kStart + 5}, kStart + 9), Error);
  EXPECT_THROW(ask({7}, {kStart}, kStart + 9), Error) << "not released";
}

class WorldFile : public testing::Test {
 protected:
  WorldFile() : folder_(fs::temp_directory_path() / fmt::format("etrlrec_world_{}", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~WorldFile() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(WorldFile, round_trip_keeps_every_rule_and_every_probability) {
  WorldOptions options = small_options();
  options.drift = 0.1 / 3;
  const World world = make_world(options);
  save_world(world, folder_);
  const World read = load_world(folder_);
  EXPECT_EQ(read.options.drift, options.drift);
  EXPECT_EQ(read.options.seed, options.seed);
  EXPECT_EQ(read.release, world.release);
  EXPECT_EQ(read.next_part, world.next_part);
  EXPECT_EQ(read.item_weight, world.item_weight);
  const std::span<const int32_t> items(world.dataset.items.data(), 3);
  const std::span<const int64_t> times(world.dataset.times.data(), 3);
  EXPECT_EQ(next_item_probabilities(read, items, times, times.back() + 60),
            next_item_probabilities(world, items, times, times.back() + 60));
}

TEST_F(WorldFile, hostile_values_are_refused) {
  save_world(make_world(small_options()), folder_);
  const Json good = read_json(folder_ / "world.json");
  const auto refuses = [&](const char* pointer, const Json& value) {
    Json bad = good;
    bad[Json::json_pointer(pointer)] = value;
    write_file_atomic(folder_ / "world.json", bad.dump());
    EXPECT_THROW(load_world(folder_), Error) << pointer << " = " << value.dump();
  };
  refuses("/format", "other");
  refuses("/version", 2);
  refuses("/options", 3);
  refuses("/options/informative", "x");
  refuses("/options/drift", 2);
  refuses("/options/items", 399);
  refuses("/options/items", -1);
  refuses("/options/genres", 1 << 30);
  refuses("/item_genre/0", 20);
  refuses("/item_genre/0", -1);
  refuses("/next_part/5", 400);
  refuses("/item_weight/0", 0);
  refuses("/item_weight/0", nullptr);
  refuses("/genre_successor/0", 20);
  refuses("/season_genre", Json::array({0, 1, 2}));
  refuses("/genre_prior/0", 0.9);
  refuses("/release", "soon");
  write_file_atomic(folder_ / "world.json", "{\"format\": ");
  EXPECT_THROW(load_world(folder_), Error);
  fs::remove(folder_ / "world.json");
  EXPECT_THROW(load_world(folder_), Error);
}

}  // namespace
}  // namespace etrlrec
