#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/check.h"
#include "base/rng.h"
#include "data/filters.h"
#include "data/split.h"

namespace etrlrec {
namespace {

// Users with the given times; items count up inside each user.
Dataset make_log(const std::vector<std::vector<int64_t>>& times) {
  Dataset dataset;
  dataset.catalogue.item_ids =
      dataset.catalogue.titles = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  dataset.catalogue.attribute_offsets.assign(11, 0);
  for (size_t u = 0; u < times.size(); ++u) {
    dataset.user_ids.push_back("u" + std::to_string(u));
    for (size_t k = 0; k < times[u].size(); ++k) {
      dataset.items.push_back(static_cast<int32_t>(k));
      dataset.times.push_back(times[u][k]);
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
  }
  return dataset;
}

std::vector<int64_t> positions(const std::vector<Row>& rows) {
  std::vector<int64_t> out;
  for (const Row& row : rows) out.push_back(row.position);
  return out;
}

using Positions = std::vector<int64_t>;

TEST(LeaveOneOut, holds_out_the_last_two_and_trains_on_the_rest) {
  const Split split = split_leave_one_out(make_log({{1, 2, 3, 4}, {1, 2}, {7}}));
  EXPECT_EQ(positions(split.test), (Positions{3}));
  EXPECT_EQ(positions(split.valid), (Positions{2}));
  EXPECT_EQ(positions(split.train), (Positions{1, 5}));
  EXPECT_EQ(split.train_end, (Positions{2, 6, 7}));
}

TEST(GlobalTime, cuts_all_users_at_the_same_times) {
  SplitOptions options;
  options.valid_time = 10;
  options.test_time = 20;
  const Split split = split_global_time(make_log({{5, 10, 11, 20, 21}, {15, 16, 30}}), options);
  EXPECT_EQ(positions(split.train), (Positions{1}));
  EXPECT_EQ(positions(split.valid), (Positions{2, 3, 6}));
  EXPECT_EQ(positions(split.test), (Positions{4, 7}));
  EXPECT_EQ(split.train_end, (Positions{2, 5}));
}

TEST(GlobalTime, takes_one_target_per_user_and_part_when_asked) {
  const Dataset log = make_log({{5, 6, 11, 12, 13, 21, 22}});
  SplitOptions options;
  options.valid_time = 10;
  options.test_time = 20;
  options.target = TimeTarget::kFirst;
  EXPECT_EQ(positions(split_global_time(log, options).valid), (Positions{2}));
  options.target = TimeTarget::kLast;
  const Split split = split_global_time(log, options);
  EXPECT_EQ(positions(split.valid), (Positions{4}));
  EXPECT_EQ(positions(split.test), (Positions{6}));
  EXPECT_EQ(split.protocol, "global_time(t=10,t=20,last)");
}

TEST(GlobalTime, quantiles_are_shares_of_all_events) {
  const Dataset log = make_log({{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}});
  EXPECT_EQ(time_quantile(log, 0.8), 8);
  EXPECT_EQ(time_quantile(log, 1.0), 10);
  const Split split = split_global_time(log, {});
  EXPECT_EQ(split.protocol, "global_time(0.8,0.9)");
  EXPECT_EQ(positions(split.valid), (Positions{8}));
  EXPECT_EQ(positions(split.test), (Positions{9}));
}

TEST(GlobalTime, refuses_cuts_that_descend_or_do_not_match) {
  SplitOptions options;
  options.valid_quantile = 0.9;
  options.test_quantile = 0.5;
  const Dataset log = make_log({{1, 2, 3, 4}});
  EXPECT_THROW(split_global_time(log, options), Error);
  options.valid_time = 3;
  EXPECT_THROW(split_global_time(log, options), Error);
  EXPECT_THROW(time_quantile(log, 1.5), Error);
}

TEST(UserRatio, puts_whole_users_into_one_part) {
  const Dataset log = make_log(std::vector<std::vector<int64_t>>(10, {1, 2, 3}));
  const Split split = split_user_ratio(log, {});
  EXPECT_EQ(split.train.size(), 12u);
  EXPECT_EQ(split.valid.size(), 1u);
  EXPECT_EQ(split.test.size(), 3u);
  std::set<int32_t> train_users;
  for (const Row& row : split.train) train_users.insert(row.user);
  for (const auto* rows : {&split.valid, &split.test}) {
    for (const Row& row : *rows) {
      EXPECT_FALSE(train_users.contains(row.user));
      EXPECT_EQ(split.train_end[row.user], log.user_offsets[row.user]);
      EXPECT_EQ(row.position, log.user_offsets[row.user + 1] - 1);
    }
  }
}

TEST(UserRatio, follows_the_seed) {
  const Dataset log = make_log(std::vector<std::vector<int64_t>>(40, {1, 2, 3}));
  SplitOptions options;
  const auto first = positions(split_user_ratio(log, options).test);
  EXPECT_EQ(positions(split_user_ratio(log, options).test), first);
  options.seed = 7;
  EXPECT_NE(positions(split_user_ratio(log, options).test), first);
}

TEST(UserRatio, refuses_shares_that_do_not_sum_to_one) {
  SplitOptions options;
  options.ratio = {0.6, 0.1, 0.1};
  EXPECT_THROW(split_user_ratio(make_log({{1, 2}}), options), Error);
}

TEST(Split, every_protocol_passes_its_own_check) {
  const Dataset log = make_log({{1, 4, 9}, {2, 3, 5, 8}, {6}, {7, 10}});
  for (const auto kind : {SplitKind::kLeaveOneOut, SplitKind::kGlobalTime, SplitKind::kUserRatio}) {
    SplitOptions options;
    options.kind = kind;
    EXPECT_NO_THROW(check_split(split_dataset(log, options), log.user_offsets, "split"));
  }
}

TEST(Filters, core_peels_until_every_user_and_item_has_enough) {
  // u2 holds up item 2 of u1; without u2, u1 has too few events, and then item 1 too.
  Dataset log = make_log({{1, 2}, {1, 2, 3}, {1}, {1, 2}});
  log.items = {0, 1, 0, 1, 2, 2, 0, 1};
  std::vector<FilterStep> steps;
  FilterOptions options;
  options.k_core = 2;
  const Dataset core = filter_dataset(log, options, &steps);
  EXPECT_EQ(core.user_ids, (std::vector<std::string>{"u0", "u1", "u3"}));
  EXPECT_EQ(core.catalogue.item_ids, (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(core.num_interactions(), 6);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].interactions, 8);
  EXPECT_EQ(steps[1].name, "2-core");
  EXPECT_EQ(steps[1].users, 3);
}

TEST(Filters, repeats_and_low_ratings_go) {
  Dataset log = make_log({{1, 2, 3, 4}});
  log.items = {5, 5, 6, 5};
  log.ratings = {5, 5, 1, 4};
  FilterOptions options;
  options.drop_repeats = true;
  EXPECT_EQ(filter_dataset(log, options, nullptr).items, (std::vector<int32_t>{5, 6, 5}));
  options.min_rating = 3;
  const Dataset out = filter_dataset(log, options, nullptr);
  EXPECT_EQ(out.items, (std::vector<int32_t>{5}));
  EXPECT_EQ(out.ratings, (std::vector<float>{5}));
  log.ratings.clear();
  EXPECT_THROW(filter_dataset(log, options, nullptr), Error);
}

TEST(Filters, refuse_to_leave_nothing) {
  FilterOptions options;
  options.k_core = 9;
  EXPECT_THROW(filter_dataset(make_log({{1, 2}}), options, nullptr), Error);
}

Dataset make_log_of_items(const std::vector<std::vector<int32_t>>& users) {
  Dataset log;
  for (int i = 0; i < 400; ++i) {
    log.catalogue.item_ids.push_back(std::to_string(i));
    log.catalogue.attribute_offsets.push_back(0);
  }
  log.catalogue.titles = log.catalogue.item_ids;
  for (const auto& items : users) {
    log.user_ids.push_back("u" + std::to_string(log.user_ids.size()));
    for (const int32_t item : items) {
      log.items.push_back(item);
      log.times.push_back(log.num_interactions());
    }
    log.user_offsets.push_back(log.num_interactions());
  }
  return log;
}

// Removes what is below k until nothing is, the slow way.
std::vector<std::pair<std::string, std::string>> slow_core(const Dataset& log, int64_t k) {
  std::vector<std::pair<std::string, std::string>> events;
  for (int64_t u = 0; u < log.num_users(); ++u)
    for (int64_t p = log.user_offsets[u]; p < log.user_offsets[u + 1]; ++p)
      events.emplace_back(log.user_ids[u], log.catalogue.item_ids[log.items[p]]);
  while (true) {
    std::map<std::string, int64_t> users, items;
    for (const auto& [user, item] : events) ++users[user], ++items[item];
    if (std::erase_if(events, [&](const auto& event) {
          return users[event.first] < k || items[event.second] < k;
        }) == 0)
      return events;
  }
}

TEST(Filters, core_is_that_of_the_slow_way) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng(seed, "filters");
    std::vector<std::vector<int32_t>> users;
    for (int u = 0; u < 60; ++u) {
      auto& items = users.emplace_back();
      for (uint64_t e = 0, n = 1 + rng.below(8); e < n; ++e)
        items.push_back(static_cast<int32_t>(rng.below(10 + 3 * seed)));
    }
    // A chain that falls link by link from both ends, and what stays of any log.
    for (int32_t link = 0; link < 60; ++link) users.push_back({200 + link, 201 + link});
    users.insert(users.end(), 4, {300, 301, 302, 303});
    const Dataset log = make_log_of_items(users);
    for (const int32_t k : {1, 2, 3, 4}) {
      FilterOptions options;
      options.k_core = k;
      const Dataset core = filter_dataset(log, options, nullptr);
      std::vector<std::pair<std::string, std::string>> events;
      for (int64_t u = 0; u < core.num_users(); ++u)
        for (int64_t p = core.user_offsets[u]; p < core.user_offsets[u + 1]; ++p)
          events.emplace_back(core.user_ids[u], core.catalogue.item_ids[core.items[p]]);
      EXPECT_EQ(events, slow_core(log, k)) << "seed " << seed << ", k " << k;
      EXPECT_NO_THROW(check_dataset(core, "core"));
      std::set<std::string> named;
      for (const auto& [user, item] : events) named.insert(item);
      EXPECT_EQ(static_cast<size_t>(core.catalogue.num_items()), named.size());
    }
  }
}

}  // namespace
}  // namespace etrlrec
