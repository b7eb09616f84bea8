#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/rng.h"
#include "data/candidate_file.h"
#include "data/candidates.h"
#include "data/split.h"

namespace etrlrec {
namespace {

// 40 items of which 38 and 39 share a title with 0 and 1; 30 users with eight events each.
Dataset make_log() {
  Dataset dataset;
  for (int i = 0; i < 40; ++i) {
    dataset.catalogue.item_ids.push_back("i" + std::to_string(i));
    dataset.catalogue.titles.push_back("Title " + std::to_string(i % 38));
  }
  dataset.catalogue.attribute_offsets.assign(41, 0);
  Rng rng(1, "test/log");
  for (int u = 0; u < 30; ++u) {
    dataset.user_ids.push_back("u" + std::to_string(u));
    for (int k = 0; k < 8; ++k) {
      const auto a = rng.below(40), b = rng.below(40);  // small items are more popular
      dataset.items.push_back(static_cast<int32_t>(std::min(a, b)));
      dataset.times.push_back(1000 * k + u);
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
  }
  return dataset;
}

struct Drawn {
  Dataset dataset = make_log();
  Split split = split_leave_one_out(dataset);
  CandidateSet draw(CandidateKind kind, uint64_t seed = 42, int32_t count = 10) {
    return draw_candidates(dataset, split, split.test, {kind, count, seed}, tops);
  }
  std::vector<std::vector<int32_t>> tops;
};

void expect_valid(const Dataset& dataset, const CandidateSet& set) {
  const auto canonical = canonical_items(dataset.catalogue);
  const auto count = static_cast<size_t>(set.options.count);
  for (size_t r = 0; r < set.rows.size(); ++r) {
    const Row& row = set.rows[r];
    std::set<int32_t> past, titles;
    for (int64_t p = dataset.user_offsets[row.user]; p <= row.position; ++p) {
      past.insert(canonical[dataset.items[p]]);
    }
    for (size_t c = 0; c < count; ++c) {
      const int32_t item = set.items[r * count + c];
      EXPECT_TRUE(titles.insert(canonical[item]).second) << "two candidates share a title";
      if (static_cast<int32_t>(c) == set.slots[r]) {
        EXPECT_EQ(item, dataset.items[row.position]);
      } else {
        EXPECT_FALSE(past.contains(canonical[item])) << "a negative is in the user's past";
      }
    }
  }
}

TEST(Candidates, hold_the_target_once_and_no_known_title) {
  Drawn drawn;
  expect_valid(drawn.dataset, drawn.draw(CandidateKind::kUniform));
  expect_valid(drawn.dataset, drawn.draw(CandidateKind::kPopular));
  drawn.tops.assign(drawn.split.test.size(), {0, 1, 2, 3, 4, 5, 6, 7, 8, 38, 39});
  expect_valid(drawn.dataset, drawn.draw(CandidateKind::kMixedHard));
}

TEST(Candidates, of_a_row_do_not_depend_on_other_rows) {
  Drawn drawn;
  for (const auto kind : {CandidateKind::kUniform, CandidateKind::kPopular}) {
    const CandidateSet all = drawn.draw(kind);
    const Row row = drawn.split.test[17];
    const CandidateSet one =
        draw_candidates(drawn.dataset, drawn.split, std::span(&row, 1), all.options);
    EXPECT_TRUE(std::equal(one.items.begin(), one.items.end(), all.items.begin() + 17 * 10));
    EXPECT_EQ(one.slots[0], all.slots[17]);
  }
}

TEST(Candidates, follow_the_seed) {
  Drawn drawn;
  EXPECT_EQ(drawn.draw(CandidateKind::kUniform).hash, drawn.draw(CandidateKind::kUniform).hash);
  EXPECT_NE(drawn.draw(CandidateKind::kUniform).items,
            drawn.draw(CandidateKind::kUniform, 43).items);
}

TEST(Candidates, slots_are_spread_evenly) {
  Drawn drawn;
  std::vector<int> counts(10);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (const int32_t slot : drawn.draw(CandidateKind::kUniform, seed).slots) ++counts[slot];
  }
  for (const int count : counts) EXPECT_NEAR(count, 300, 85);  // five standard deviations
}

TEST(Candidates, popular_negatives_follow_training_popularity_before_the_request) {
  // One user's request at time 50; before it item 0 has 16 training events and item 1 has one. Item
  // 2 is interacted with only later by training users, so it is not alive; item 4 occurs in no
  // training part, so it is.
  Dataset dataset;
  dataset.catalogue.item_ids = {"0", "1", "2", "3", "4", "5"};
  dataset.catalogue.titles = dataset.catalogue.item_ids;
  dataset.catalogue.attribute_offsets.assign(7, 0);
  const auto add_user = [&](std::vector<int32_t> items, std::vector<int64_t> times) {
    dataset.user_ids.push_back(std::to_string(dataset.user_ids.size()));
    dataset.items.insert(dataset.items.end(), items.begin(), items.end());
    dataset.times.insert(dataset.times.end(), times.begin(), times.end());
    dataset.user_offsets.push_back(dataset.num_interactions());
  };
  add_user({3, 3, 3}, {1, 2, 50});
  for (int i = 0; i < 8; ++i) add_user({0, 0}, {3, 4});
  add_user({1, 2}, {5, 60});
  add_user({3, 3, 4}, {6, 7, 70});
  const Split split = split_leave_one_out(dataset);
  const Row row = split.test[0];
  std::vector<int> counts(6);
  const int draws = 4000;
  for (int seed = 0; seed < draws; ++seed) {
    const auto set = draw_candidates(dataset, split, std::span(&row, 1),
                                     {CandidateKind::kPopular, 2, static_cast<uint64_t>(seed)});
    ++counts[set.items[1 - set.slots[0]]];
  }
  EXPECT_EQ(counts[2] + counts[3] + counts[5], 0);
  const double expected = std::pow(16.0, 0.75) / (std::pow(16.0, 0.75) + 2);
  EXPECT_NEAR(counts[0] / double(draws), expected, 0.03);
  EXPECT_NEAR(counts[1], counts[4], 160);
}

TEST(Candidates, hard_ones_take_half_from_the_recommender) {
  Drawn drawn;
  drawn.tops.assign(drawn.split.test.size(), {30, 31, 32, 33, 34, 35, 36, 37});
  const CandidateSet set = drawn.draw(CandidateKind::kMixedHard, 42, 9);
  for (size_t r = 0; r < set.rows.size(); ++r) {
    int from_top = 0;
    for (int c = 0; c < 9; ++c) from_top += c != set.slots[r] && set.items[r * 9 + c] >= 30;
    EXPECT_GE(from_top, 4);
  }
  drawn.tops.pop_back();
  EXPECT_THROW(drawn.draw(CandidateKind::kMixedHard), Error);
}

// Of 19 items 0 to 9 are chosen by everybody and 10 + u as the last of user u only, a cold target
// for each user but the last one; nobody chooses item 18.
Dataset log_with_cold_targets() {
  Dataset dataset;
  for (int i = 0; i < 19; ++i) dataset.catalogue.item_ids.push_back(std::to_string(i));
  dataset.catalogue.titles = dataset.catalogue.item_ids;
  dataset.catalogue.attribute_offsets.assign(20, 0);
  for (int32_t u = 0; u < 9; ++u) {
    dataset.user_ids.push_back(std::to_string(u));
    for (int32_t j = 0; j < 4; ++j) {
      dataset.items.push_back(j < 3 ? (u + j) % 10 : u == 8 ? 3 : 10 + u);
      dataset.times.push_back(10 * j + u);
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
  }
  return dataset;
}

TEST(Candidates, cold_ones_are_items_without_a_training_interaction) {
  const Dataset dataset = log_with_cold_targets();
  const Split split = split_leave_one_out(dataset);
  const auto rows = cold_targets(dataset, split, split.test);
  ASSERT_EQ(rows.size(), 8u) << "the last user's target is known";
  const CandidateOptions options{CandidateKind::kCold, 8, 42};
  const CandidateSet set = draw_candidates(dataset, split, rows, options);
  expect_valid(dataset, set);
  for (const int32_t item : set.items) EXPECT_TRUE(10 <= item && item < 18) << item;
  EXPECT_EQ(count_negatives(dataset, split, rows, options), std::vector<int32_t>(8, 7));
  EXPECT_THROW(draw_candidates(dataset, split, split.test, options), Error) << "a known target";
  EXPECT_THROW(draw_candidates(dataset, split, rows, {CandidateKind::kCold, 9, 42}), Error);
  EXPECT_TRUE(cold_targets(dataset, split, split.train).empty());
}

// U and U* of method.md G.7: the same log of 19 items, of which 10 were learned, 8 are cold and one
// was never chosen.
TEST(Candidates, trained_ones_were_learned_and_the_catalogue_has_all) {
  const Dataset dataset = log_with_cold_targets();
  const Split split = split_leave_one_out(dataset);
  const auto draw = [&](CandidateKind kind, int32_t count) {
    const CandidateSet set = draw_candidates(dataset, split, split.test, {kind, count, 42});
    expect_valid(dataset, set);
    return set;
  };
  // Two training items of each user and the validation item are past, and so is a known target.
  const CandidateSet trained = draw(CandidateKind::kTrained, 7);
  for (size_t r = 0; r < trained.rows.size(); ++r)
    for (int32_t c = 0; c < 7; ++c)
      if (c != trained.slots[r]) {
        EXPECT_LT(trained.items[r * 7 + static_cast<size_t>(c)], 10) << r;
      }
  EXPECT_THROW(draw(CandidateKind::kTrained, 9), Error) << "seven are left";
  const auto holds_unchosen = [](const CandidateSet& set) {
    return std::count(set.items.begin(), set.items.end(), 18);
  };
  EXPECT_EQ(holds_unchosen(draw(CandidateKind::kCatalogue, 16)), 9) << "all 15 that are left";
  EXPECT_THROW(draw(CandidateKind::kUniform, 16), Error) << "the one nobody chose is not drawn";
  EXPECT_EQ(holds_unchosen(draw(CandidateKind::kUniform, 15)), 0);
  EXPECT_EQ(count_negatives(dataset, split, split.test, {CandidateKind::kCatalogue, 16, 42}),
            std::vector<int32_t>(9, 15));
}

// What is to come stands among the negatives only where what was chosen before is too little.
TEST(Candidates, alive_ones_were_chosen_before_the_request) {
  const Dataset dataset = make_log();
  const auto canonical = canonical_items(dataset.catalogue);
  std::vector<Row> rows;
  for (int32_t u = 0; u < 30; ++u)
    for (int64_t k = 0; k < 8; k += 2) rows.push_back({u, dataset.user_offsets[u] + k});
  const CandidateSet set =
      draw_candidates(dataset, split_leave_one_out(dataset), rows, {CandidateKind::kAlive, 10, 42});
  expect_valid(dataset, set);
  int64_t with_later = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t now = dataset.times[rows[r].position];
    std::set<int32_t> alive, past, titles;
    for (size_t p = 0; p < dataset.items.size(); ++p)
      if (dataset.times[p] < now) alive.insert(dataset.items[p]);
    for (int64_t p = dataset.user_offsets[rows[r].user]; p <= rows[r].position; ++p)
      past.insert(canonical[dataset.items[p]]);
    for (const int32_t item : alive)
      if (!past.contains(canonical[item])) titles.insert(canonical[item]);
    int64_t later = 0;
    for (size_t c = 0; c < 10; ++c) {
      const int32_t item = set.items[r * 10 + c];
      later += static_cast<int32_t>(c) != set.slots[r] && !alive.contains(item);
    }
    EXPECT_EQ(later, std::max<int64_t>(9 - std::ssize(titles), 0)) << r;
    with_later += later > 0;
  }
  EXPECT_GT(with_later, 3);
  EXPECT_LT(with_later, 60);
}

TEST(Candidates, sets_of_every_kind_have_the_published_sizes) {
  // 60 items, each chosen by somebody.
  Dataset dataset;
  for (int i = 0; i < 60; ++i) dataset.catalogue.item_ids.push_back(std::to_string(i));
  dataset.catalogue.titles = dataset.catalogue.item_ids;
  dataset.catalogue.attribute_offsets.assign(61, 0);
  for (int32_t u = 0; u < 40; ++u) {
    dataset.user_ids.push_back(std::to_string(u));
    for (int32_t j = 0; j < 5; ++j) {
      dataset.items.push_back((5 * u + 7 * j) % 60);
      dataset.times.push_back(100 * j + u);
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
  }
  const Split split = split_leave_one_out(dataset);
  std::vector<std::vector<int32_t>> tops(split.test.size());
  for (auto& top : tops)
    for (int32_t item = 0; item < 50; ++item) top.push_back(item);
  for (const std::string& name : candidate_kind_names()) {
    if (name == "cold") continue;
    const CandidateKind kind = candidate_kind(name);
    EXPECT_EQ(candidate_kind_name(kind), name);
    for (const int32_t count : {15, 20, 25}) {
      const CandidateSet set = draw_candidates(dataset, split, split.test, {kind, count, 42}, tops);
      expect_valid(dataset, set);
      EXPECT_EQ(set.items.size(), static_cast<size_t>(count) * split.test.size());
    }
  }
  EXPECT_THROW(candidate_kind("U"), Error);
}

TEST(Candidates, refuse_a_row_with_too_few_possible_negatives) {
  Drawn drawn;
  EXPECT_THROW(drawn.draw(CandidateKind::kUniform, 42, 40), Error);
  EXPECT_THROW(drawn.draw(CandidateKind::kUniform, 42, 1), Error);
}

TEST(Candidates, counted_negatives_say_exactly_which_rows_can_be_drawn) {
  Drawn drawn;
  for (const auto kind : {CandidateKind::kUniform, CandidateKind::kPopular, CandidateKind::kTrained,
                          CandidateKind::kCatalogue}) {
    const CandidateOptions options{kind, 31, 42};
    const auto counts = count_negatives(drawn.dataset, drawn.split, drawn.split.train, options);
    for (size_t r = 0; r < counts.size(); r += 7) {
      const auto row = std::span(&drawn.split.train[r], 1);
      if (counts[r] == 30) {
        EXPECT_NO_THROW(draw_candidates(drawn.dataset, drawn.split, row, options));
      } else {
        EXPECT_THROW(draw_candidates(drawn.dataset, drawn.split, row, options), Error);
      }
    }
  }
}

TEST(Candidates, request_holds_the_most_recent_history) {
  Drawn drawn;
  const CandidateSet set = drawn.draw(CandidateKind::kUniform);
  const Request request = make_request(drawn.dataset, set, 3, 2);
  const int64_t p = set.rows[3].position;
  EXPECT_EQ(request.history,
            (std::vector<int32_t>{drawn.dataset.items[p - 2], drawn.dataset.items[p - 1]}));
  EXPECT_EQ(request.now, drawn.dataset.times[p]);
  EXPECT_EQ(request.candidates[request.target_slot], drawn.dataset.items[p]);
  EXPECT_EQ(make_request(drawn.dataset, set, 3, 100).history.size(), 7u);
}

class CandidateFile : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / ("etrlrec_candidates_" + std::to_string(getpid()));
    set_ = drawn_.draw(CandidateKind::kPopular);
    save_candidates(set_, drawn_.dataset, path_);
  }
  void TearDown() override { fs::remove(path_); }
  void replace(const std::string& from, const std::string& to) {
    std::string text = read_file(path_);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    write_file_atomic(path_, text.replace(at, from.size(), to));
  }
  Drawn drawn_;
  CandidateSet set_;
  fs::path path_;
};

TEST_F(CandidateFile, comes_back_as_it_was_saved) {
  const CandidateSet back = load_candidates(path_, drawn_.dataset);
  EXPECT_EQ(back.items, set_.items);
  EXPECT_EQ(back.slots, set_.slots);
  EXPECT_EQ(back.hash, set_.hash);
  EXPECT_EQ(back.protocol, "leave_one_out");
}

TEST_F(CandidateFile, refuses_a_changed_seed) {
  replace("\"seed\":42", "\"seed\":43");
  EXPECT_THROW(load_candidates(path_, drawn_.dataset), Error);
}

TEST_F(CandidateFile, refuses_an_unknown_item_and_a_wrong_target) {
  replace("\"target\":" + std::to_string(set_.slots[0]),
          "\"target\":" + std::to_string((set_.slots[0] + 1) % 10));
  EXPECT_THROW(load_candidates(path_, drawn_.dataset), Error);
  save_candidates(set_, drawn_.dataset, path_);
  replace("\"candidates\":[\"i", "\"candidates\":[\"x");
  EXPECT_THROW(load_candidates(path_, drawn_.dataset), Error);
}

TEST_F(CandidateFile, refuses_another_catalogue) {
  drawn_.dataset.catalogue.titles[7] = "renamed";
  EXPECT_THROW(load_candidates(path_, drawn_.dataset), Error);
}

TEST_F(CandidateFile, refuses_a_missing_row) {
  std::string text = read_file(path_);
  text.resize(text.rfind('\n', text.size() - 2) + 1);
  write_file_atomic(path_, text);
  EXPECT_THROW(load_candidates(path_, drawn_.dataset), Error);
}

// Uniform candidates drawn one row after the other from a list of the items that occur, knowing
// titles by looking at all of them.
std::vector<int32_t> slow_candidates(const Dataset& dataset, const Row& row, size_t count,
                                     uint64_t seed) {
  const auto canonical = canonical_items(dataset.catalogue);
  const std::set<int32_t> used(dataset.items.begin(), dataset.items.end());
  const std::vector<int32_t> items(used.begin(), used.end());
  std::set<int32_t> titles;
  for (int64_t p = dataset.user_offsets[row.user]; p <= row.position; ++p)
    titles.insert(canonical[dataset.items[p]]);
  Rng rng(seed, "candidates/uniform", static_cast<uint64_t>(row.position));
  std::vector<int32_t> out;
  while (out.size() < count - 1) {
    const int32_t item =
        items[static_cast<size_t>(rng.uniform() * static_cast<double>(items.size()))];
    if (titles.insert(canonical[item]).second) out.push_back(item);
  }
  rng.shuffle(out);
  out.insert(out.begin() + static_cast<int64_t>(rng.below(count)), dataset.items[row.position]);
  return out;
}

TEST(Candidates, are_those_of_the_slow_way_on_any_number_of_threads) {
  Rng rng(5, "slow candidates");
  Dataset dataset;
  for (int i = 0; i < 300; ++i) {
    dataset.catalogue.item_ids.push_back("i" + std::to_string(i));
    dataset.catalogue.titles.push_back("title " + std::to_string(i / 3 * 3 + i % 2));
    dataset.catalogue.attribute_offsets.push_back(0);
  }
  Split split;
  for (int32_t u = 0; u < 40; ++u) {
    dataset.user_ids.push_back("u" + std::to_string(u));
    for (uint64_t e = 0, n = 3 + rng.below(12); e < n; ++e) {
      dataset.items.push_back(static_cast<int32_t>(rng.below(250)));
      dataset.times.push_back(static_cast<int64_t>(100 * u + e));
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
    split.train_end.push_back(dataset.num_interactions());
    for (int64_t p = dataset.user_offsets[u] + 1; p < dataset.num_interactions(); ++p)
      split.train.push_back({u, p});
  }
  rng.shuffle(split.train);
  const CandidateOptions options{CandidateKind::kUniform, 20, 42};
  const CandidateSet one = draw_candidates(dataset, split, split.train, options, {}, 1);
  for (size_t r = 0; r < split.train.size(); ++r) {
    const auto begin = one.items.begin() + static_cast<int64_t>(20 * r);
    EXPECT_EQ(std::vector<int32_t>(begin, begin + 20),
              slow_candidates(dataset, split.train[r], 20, 42));
  }
  for (const int32_t threads : {2, 7})
    EXPECT_EQ(draw_candidates(dataset, split, split.train, options, {}, threads).hash, one.hash);
}

}  // namespace
}  // namespace etrlrec
