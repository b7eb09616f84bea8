#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/calendar.h"
#include "data/log_warnings.h"
#include "data/readers.h"

namespace etrlrec {
namespace {

constexpr int64_t kNow = 1'700'000'000;  // November 2023

// 20 users with 10 events each at irregular times, 40 items with titles of their own.
Dataset ordinary_log() {
  Dataset dataset;
  for (int i = 0; i < 40; ++i) {
    dataset.catalogue.item_ids.push_back(fmt::format("i{}", i));
    dataset.catalogue.titles.push_back(fmt::format("Title {}", i));
    dataset.catalogue.attribute_offsets.push_back(0);
  }
  for (int u = 0; u < 20; ++u) {
    dataset.user_ids.push_back(fmt::format("u{}", u));
    for (int e = 0; e < 10; ++e) {
      dataset.items.push_back((7 * u + 3 * e) % 40);
      dataset.times.push_back(kNow - 50 * kSecondsPerDay + 4111 * e + 37 * u);
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
  }
  return dataset;
}

// The last user gets so many events, a minute apart.
void give_last_user(Dataset& dataset, int64_t events) {
  const auto begin = static_cast<size_t>(dataset.user_offsets[dataset.user_offsets.size() - 2]);
  dataset.items.resize(begin);
  dataset.times.resize(begin);
  for (int64_t e = 0; e < events; ++e) {
    dataset.items.push_back(static_cast<int32_t>(e % 40));
    dataset.times.push_back(kNow - 20 * kSecondsPerDay + 60 * e);
  }
  dataset.user_offsets.back() = dataset.num_interactions();
}

struct Case {
  const char* name;
  void (*change)(Dataset& dataset, RowCounts& counts);
  std::vector<const char*> parts;  // of the one sentence; none: the log is ordinary
};

const std::vector<Case> kCases = {
    {"ordinary", [](Dataset&, RowCounts&) {}, {}},
    {"a few rejected rows",
     [](Dataset&, RowCounts& counts) {
       counts = {1000, 49};
     },
     {}},
    {"rejected rows",
     [](Dataset&, RowCounts& counts) {
       counts = {1000, 50};
     },
     {"50 of 1000 rows (5.0 %)", "rejected.tsv"}},
    {"tomorrow is no future", [](Dataset& d, RowCounts&) { d.times[9] = kNow + 80000; }, {}},
    {"one event in the future",
     [](Dataset& d, RowCounts&) { d.times[9] = kNow + 400 * kSecondsPerDay; },
     {"1 of 200 times (0.5 %) lie in the future, the latest at 2024-12-18", "--time-unit"}},
    {"a Buddhist year",
     [](Dataset& d, RowCounts&) {
       for (int64_t& time : d.times) time += int64_t{543 * 365 + 132} * kSecondsPerDay;
     },
     {"200 of 200 times (100 %) lie in the future, the latest at 2566", "Buddhist"}},
    {"one time",
     [](Dataset& d, RowCounts&) { d.times.assign(200, kNow); },
     {"all 200 events have one time, 2023-11-14T22:13:20Z", "--time order"}},
    {"midnight",
     [](Dataset& d, RowCounts&) {
       for (size_t e = 0; e < 200; ++e)
         d.times[e] = static_cast<int64_t>(18000 + e % 10) * kSecondsPerDay;
     },
     {"all times are at 00:00:00 UTC", "within a day"}},
    {"midnight elsewhere, days shared",
     [](Dataset& d, RowCounts&) {
       for (size_t e = 0; e < 200; ++e)
         d.times[e] = static_cast<int64_t>(18000 + e % 10 / 5) * kSecondsPerDay + 5 * 3600;
     },
     {"all times are at 05:00:00 UTC", "89 % of neighbouring events share their day"}},
    {"few ties", [](Dataset& d, RowCounts&) { d.times[1] = d.times[0]; }, {}},
    {"ties",
     [](Dataset& d, RowCounts&) {
       for (size_t e = 0; e < 200; e += 5) d.times[e + 1] = d.times[e];
     },
     {"22 % of neighbouring events of a user (40 of 180) share their time"}},
    {"times that only number events",
     [](Dataset& d, RowCounts&) {
       d.order_only = true;
       d.times.assign(200, 0);
     },
     {}},
    {"a keen user", [](Dataset& d, RowCounts&) { give_last_user(d, 90); }, {}},
    {"one user",
     [](Dataset& d, RowCounts&) { give_last_user(d, 9310); },
     {"98 % of the events (9310) are of one user, \"u19\"", "user column"}},
    {"nobody else",
     [](Dataset& d, RowCounts&) {
       d.user_ids = {"me"};
       d.user_offsets = {0, 200};
       std::sort(d.times.begin(), d.times.end());
     },
     {"all 200 events are of one user, \"me\""}},
    {"a long history",
     [](Dataset& d, RowCounts&) {
       Dataset long_users;
       long_users.catalogue = d.catalogue;
       for (int u = 0; u < 20; ++u) {
         const int64_t events = u == 7 ? 10000 : 5000;
         for (int64_t e = 0; e < events; ++e) {
           long_users.items.push_back(static_cast<int32_t>(e % 40));
           long_users.times.push_back(kNow - 20 * kSecondsPerDay + 60 * e + u);
         }
         long_users.user_ids.push_back(d.user_ids[static_cast<size_t>(u)]);
         long_users.user_offsets.push_back(long_users.num_interactions());
       }
       d = long_users;
     },
     {"1 user has 10,000 events or more, \"u7\" has 10000"}},
    {"no titles",
     [](Dataset& d, RowCounts&) { d.catalogue.titles = d.catalogue.item_ids; },
     {"40 of 40 items have no title", " i0 i1 i2 i3 i4 ...;", "--items"}},
    {"one title is missing",
     [](Dataset& d, RowCounts&) { d.catalogue.titles[3] = "i3"; },
     {"1 of 40 items have no title", ": i3; give"}},
    {"some equal titles",
     [](Dataset& d, RowCounts&) { d.catalogue.titles[3] = d.catalogue.titles[4] = "TITLE  5"; },
     {}},
    {"half of the titles equal",
     [](Dataset& d, RowCounts&) {
       std::fill(d.catalogue.titles.begin(), d.catalogue.titles.begin() + 21, "Unknown");
     },
     {"20 of 40 items (50 %) have the title of an earlier one", "\"Unknown\" (21 items)"}},
};

TEST(LogWarnings, say_what_a_careful_colleague_would) {
  for (const Case& test : kCases) {
    Dataset dataset = ordinary_log();
    RowCounts counts{1000, 0};
    test.change(dataset, counts);
    const auto warnings = log_warnings(dataset, counts, kNow);
    ASSERT_EQ(warnings.size(), test.parts.empty() ? 0u : 1u)
        << test.name << ": " << fmt::format("{}", fmt::join(warnings, "\n"));
    for (const char* part : test.parts)
      EXPECT_NE(warnings[0].find(part), std::string::npos) << test.name << ": " << warnings[0];
  }
}

TEST(LogWarnings, several_things_are_several_sentences) {
  Dataset dataset = ordinary_log();
  dataset.times.assign(200, kNow + 10 * kSecondsPerDay);
  dataset.catalogue.titles = dataset.catalogue.item_ids;
  EXPECT_EQ(log_warnings(dataset, {100, 30}, kNow).size(), 4u);
  EXPECT_EQ(log_warnings(Dataset(), {3, 3}, kNow).size(), 1u);
}

TEST(LogWarnings, movielens_gives_what_is_true_of_it) {
  const auto folder =
      std::filesystem::path(ETRLREC_SOURCE_DIR) / "../shared/data/ml-100k/grouplens";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const auto [dataset, report] = read_log(folder, {});
  const auto warnings = log_warnings(dataset, {report.log.rows, report.log.rejected}, kNow);
  ASSERT_EQ(warnings.size(), 1u) << fmt::format("{}", fmt::join(warnings, "\n"));
  EXPECT_NE(warnings[0].find("share their time"), std::string::npos) << warnings[0];
}

}  // namespace
}  // namespace etrlrec
