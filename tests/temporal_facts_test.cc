#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/synthetic.h"
#include "temporal/change_point.h"
#include "temporal/gaps.h"
#include "temporal/profile.h"
#include "temporal/statistics.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

FactSheet small_facts() {
  return compute_facts(small_catalogue(), small_statistics(), small_request());
}

std::string json_of(const FactSheet& facts) { return to_json(facts, small_catalogue()).dump(); }

TEST(Facts, gap_words_follow_calendar_lengths) {
  const std::vector<std::pair<int64_t, std::string>> cases{
      {0, "tie"},           {1, "sitting"},
      {1799, "sitting"},    {1800, "day"},
      {kDay, "day"},        {kDay + 1, "week"},
      {7 * kDay, "week"},   {7 * kDay + 1, "month"},
      {30 * kDay, "month"}, {92 * kDay, "quarter"},
      {366 * kDay, "year"}, {366 * kDay + 1, "longer"}};
  for (const auto& [seconds, word] : cases)
    EXPECT_EQ(gap_word(gap_bucket(seconds)), word) << seconds;
  EXPECT_THROW(gap_bucket(-1), Error);
}

TEST(Facts, gaps_and_sessions_of_a_request) {
  const FactSheet facts = small_facts();
  std::vector<std::string> words;
  for (size_t j = 1; j < facts.gaps.size(); ++j) words.emplace_back(gap_word(facts.gaps[j]));
  EXPECT_EQ(words, (std::vector<std::string>{"day", "week", "tie", "month", "week"}));
  EXPECT_EQ(facts.session, (std::vector<int32_t>{0, 1, 2, 2, 3}));
  EXPECT_EQ(facts.num_sessions, 4);
  EXPECT_FALSE(facts.session_goes_on);
  EXPECT_DOUBLE_EQ(facts.personal_gaps[2], 1.0);  // the median of those above 0
}

TEST(Facts, whole_day_times_cut_sessions_at_seven_days) {
  auto [data, split] = small_log();
  EXPECT_EQ(count_statistics(data, split).session_gap, 1800);
  for (int64_t& time : data.times) time -= time % kDay;
  const TemporalStatistics statistics = count_statistics(data, split);
  EXPECT_TRUE(statistics.whole_days);
  EXPECT_EQ(statistics.session_gap, 7 * kDay);
}

TEST(Facts, statistics_read_only_the_training_part) {
  auto [data, split] = small_log();
  const TemporalStatistics before = count_statistics(data, split);
  for (int64_t u = 0; u < data.num_users(); ++u) split.train_end[u] -= 1;
  const TemporalStatistics shorter = count_statistics(data, split);
  EXPECT_EQ(shorter.num_events, before.num_events - 40);
  for (int64_t u = 0; u < data.num_users(); ++u) data.items[split.train_end[u]] = 5;
  EXPECT_EQ(count_statistics(data, split).attribute_prior, shorter.attribute_prior);
  EXPECT_EQ(count_statistics(data, split).item_count, shorter.item_count);
}

TEST(Facts, transition_and_season_lifts_match_a_count_by_hand) {
  const TemporalStatistics s = small_statistics();
  const Catalogue catalogue = small_catalogue();
  const int32_t drama = attribute(catalogue, "drama"), crime = attribute(catalogue, "crime");
  // 80 times drama -> crime; drama -> horror from the users that see item 6 and then horror.
  EXPECT_EQ(s.attribute_transition[drama * s.num_attributes + crime], 80);
  const double n = s.transition_from[drama], prior = s.attribute_prior[crime];
  EXPECT_NEAR(transition_lift(s, drama, crime), (80 + 10 * prior) / (n + 10) / prior, 1e-12);
  EXPECT_EQ(s.likely_successor[drama], crime);
  EXPECT_EQ(s.season_favourite[0 * 2 + 1], attribute(catalogue, "dark"));
  EXPECT_EQ(s.season_favourite[2 * 2 + 1], attribute(catalogue, "bright"));
  EXPECT_GT(seasonal_lift(s, 0, attribute(catalogue, "dark")), kSeasonLift);
  EXPECT_LT(seasonal_lift(s, 2, attribute(catalogue, "dark")), 0.5);
}

TEST(Facts, ties_are_no_transitions) {
  auto [data, split] = small_log();
  for (int64_t u = 0; u < data.num_users(); ++u)
    for (int64_t e = data.user_offsets[u]; e < data.user_offsets[u + 1]; ++e)
      data.times[e] = data.times[data.user_offsets[u]];
  const TemporalStatistics s = count_statistics(data, split);
  for (const double count : s.attribute_transition) EXPECT_EQ(count, 0);
  EXPECT_TRUE(s.pair_items.empty());
}

TEST(Facts, popularity_counts_strictly_before_now) {
  const TemporalStatistics s = small_statistics();
  const int64_t first = s.event_times[s.event_offsets[0]];
  EXPECT_EQ(events_between(s, 0, INT64_MIN, first), 0);
  EXPECT_EQ(events_between(s, 0, INT64_MIN, first + 1), 1);
  EXPECT_EQ(events_between(s, 0, INT64_MIN, INT64_MAX), 40);
  EXPECT_EQ(events_between(s, 0, first + 1, INT64_MAX), 39);
}

TEST(Facts, profiles_prefer_entries_that_open_a_visit_and_late_ones) {
  const Catalogue catalogue = small_catalogue();
  const FactSheet facts = small_facts();
  // drama: 1/2 + 1; crime: three followers of 1/4.
  EXPECT_EQ(leader_of(facts.long_term, catalogue, 0), attribute(catalogue, "drama"));
  EXPECT_EQ(leader_of(facts.short_term, catalogue, 0), attribute(catalogue, "drama"));
  EXPECT_EQ(leader_of(facts.short_term, catalogue, 1), attribute(catalogue, "dark"));
  EXPECT_EQ(visit_weights(std::vector<int64_t>{0, kDay, 9 * kDay}),
            (std::vector<double>{0.5, 0.25, 1}));
  EXPECT_EQ(recent_weights(4), (std::vector<double>{0, 0.25, 0.5, 1}));
}

TEST(Facts, directions_come_from_smoothed_shares) {
  const Catalogue catalogue = small_catalogue();
  const FactSheet facts = small_facts();
  const AttributeFact* drama = find_fact(facts, attribute(catalogue, "drama"));
  ASSERT_NE(drama, nullptr);
  EXPECT_EQ(drama->count, 2);
  const double prior = small_statistics().attribute_prior[drama->attribute];
  EXPECT_NEAR(drama->early, (1 + 2 * prior) / 4, 1e-12);
  EXPECT_NEAR(drama->recent, (1 + 2 * prior) / 5, 1e-12);
  EXPECT_EQ(drama->direction, 0);
}

TEST(Facts, a_clear_change_is_found_and_a_mixed_history_has_none) {
  const Catalogue catalogue = small_catalogue();
  Request request;
  request.history = {0, 0, 0, 0, 0, 3, 3, 3, 3, 3};
  for (int j = 0; j < 10; ++j) request.times.push_back(kJanuary + j * kDay);
  request.now = kJanuary + 11 * kDay;
  request.candidates = {1};
  const TemporalStatistics statistics = small_statistics();
  const FactSheet changed = compute_facts(catalogue, statistics, request);
  EXPECT_EQ(changed.shift, 5);
  EXPECT_LT(changed.shift_p, 0.05);
  EXPECT_NEAR(changed.drift, std::log(2.0), 1e-12);
  request.history = {0, 3, 0, 3, 0, 3, 0, 3, 0, 3};
  EXPECT_EQ(compute_facts(catalogue, statistics, request).shift, -1);
}

TEST(Facts, a_change_inside_a_tie_group_is_not_asserted) {
  Request request;
  request.history = {0, 0, 0, 0, 0, 3, 3, 3, 3, 3};
  request.times.assign(10, kJanuary);
  request.now = kJanuary + kDay;
  const ChangePoint change(small_catalogue(), request);
  EXPECT_EQ(change.test(), (std::pair<int32_t, double>{-1, 1.0}));
}

TEST(Facts, sequels_link_an_entry_to_its_next_part) {
  const FactSheet facts = small_facts();
  ASSERT_EQ(facts.sequels.size(), 2u);  // item 0 twice in the history
  EXPECT_EQ(facts.sequels[1].first, 4);
  EXPECT_EQ(facts.sequels[1].second, 3);
}

TEST(Facts, the_target_slot_changes_nothing) {
  Request request = small_request();
  const std::string with = json_of(compute_facts(small_catalogue(), small_statistics(), request));
  request.target_slot = -1;
  EXPECT_EQ(json_of(compute_facts(small_catalogue(), small_statistics(), request)), with);
}

// The target removed from everything the sheet is computed from but the candidate list.
TEST(Facts, removing_the_target_event_and_all_later_ones_changes_nothing_time_dependent) {
  auto [data, split] = small_log();
  const Request request = small_request();
  const FactSheet with = compute_facts(data.catalogue, count_statistics(data, split), request);
  const int32_t target = request.candidates[request.target_slot];
  for (int k = 0; k < 3;
       ++k) {  // the target at and after the request time, outside of the training part
    data.user_ids.push_back("later" + std::to_string(k));
    data.items.push_back(target);
    data.times.push_back(request.now + k);
    data.user_offsets.push_back(static_cast<int64_t>(data.items.size()));
    split.train_end.push_back(static_cast<int64_t>(data.items.size()) - 1);
  }
  const FactSheet same = compute_facts(data.catalogue, count_statistics(data, split), request);
  EXPECT_EQ(json_of(same), json_of(with));
  for (size_t u = 40; u < 43; ++u) split.train_end[u] += 1;  // even counted, not before now
  const FactSheet counted = compute_facts(data.catalogue, count_statistics(data, split), request);
  EXPECT_EQ(counted.candidate_events, with.candidate_events);
  EXPECT_EQ(counted.candidate_recent, with.candidate_recent);
}

TEST(Facts, json_is_stable_and_names_attributes) {
  const std::string text = json_of(small_facts());
  EXPECT_EQ(text, json_of(small_facts()));
  EXPECT_EQ(text.find(R"({"gaps":["day","week","tie","month","week"],"personal_gaps":)"), 0u);
  EXPECT_NE(text.find(R"("season":"winter")"), text.npos);
  EXPECT_NE(text.find(R"("sequels":[[1,4],[5,4]])"), text.npos);
}

TEST(Facts, empty_history_gives_an_empty_sheet) {
  Request request;
  request.now = kJanuary;
  request.candidates = {0, 1};
  const FactSheet facts = compute_facts(small_catalogue(), small_statistics(), request);
  EXPECT_EQ(facts.num_sessions, 0);
  EXPECT_EQ(facts.stage, "new");
  EXPECT_TRUE(facts.long_term.empty());
}

TEST(Facts, refuses_requests_that_contradict_themselves) {
  const Catalogue catalogue = small_catalogue();
  const TemporalStatistics statistics = small_statistics();
  const auto refused = [&](const auto& spoil) {
    Request request = small_request();
    spoil(request);
    EXPECT_THROW(compute_facts(catalogue, statistics, request), Error);
  };
  refused([](Request& r) { r.times.pop_back(); });
  refused([](Request& r) { r.times[0] = r.now; });
  refused([](Request& r) { r.now = r.times.back() - 1; });
  refused([](Request& r) { r.history[0] = 7; });
  refused([](Request& r) { r.candidates[0] = -1; });
  refused([](Request& r) { r.candidates.assign(kMaxFactCandidates + 1, 0); });
  refused([](Request& r) { r.now = INT64_MAX; });
}

TEST(Facts, refuses_statistics_of_another_catalogue_and_an_empty_training_part) {
  const auto [data, split] = small_log();
  Catalogue other = small_catalogue();
  other.attributes.push_back("new");
  EXPECT_THROW(compute_facts(other, small_statistics(), small_request()), Error);
  Split empty = split;
  for (size_t u = 0; u < empty.train_end.size(); ++u) empty.train_end[u] = data.user_offsets[u];
  EXPECT_THROW(count_statistics(data, empty), Error);
}

TEST(Facts, the_rules_of_the_synthetic_world_are_recovered) {
  WorldOptions options;
  options.users = 1500;
  const World world = make_world(options);
  Split split;
  for (int64_t u = 0; u < world.dataset.num_users(); ++u)
    split.train_end.push_back(world.dataset.user_offsets[u + 1]);
  const TemporalStatistics s = count_statistics(world.dataset, split);
  int found = 0;
  for (int32_t g = 0; g < options.genres; ++g)
    found += s.likely_successor[g] == world.genre_successor[g];
  EXPECT_GE(found, options.genres - 1);
  EXPECT_EQ(s.season_favourite, world.season_genre);
  EXPECT_GT(s.precision.transition, 0.2);
  EXPECT_GT(s.precision.long_term, s.precision.recent);
  EXPECT_GT(s.precision.season, s.precision.recent);
  int32_t parts = 0, agreed = 0;
  for (int64_t i = 0; i < world.dataset.catalogue.num_items(); ++i) {
    if (world.next_part[i] < 0) continue;
    ++parts;
    agreed += is_sequel(s, static_cast<int32_t>(i), world.next_part[i]);
  }
  EXPECT_GT(parts, 0);
  EXPECT_EQ(agreed, parts);
}

}  // namespace
}  // namespace etrlrec
