// Folds of users, recommenders fitted without one of them, their lists for rows of the training
// part, and the rows of DELRec's tasks.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "method/cross_fitted_lists.h"
#include "method/fit.h"
#include "method/soft_prompt_rows.h"
#include "models/recommenders.h"
#include "refusals.h"
#include "stages_fixture.h"

namespace etrlrec {
namespace {

class CrossFitting : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    fit_into("fold0", {2, 0, 7});
    fit_into("fold1", {2, 1, 7});
    fit_into("early", {}, 0.5);
  }
  static void fit_into(const std::string& name, const UserFold& left_out, double share = 1) {
    FitOptions options;
    options.data = root_ / "data";
    options.out = root_ / name;
    options.models = {"markov", "popularity"};
    options.left_out = left_out;
    options.train_share = share;
    fit(options);
  }
  static std::vector<std::string> both(const std::string& model = "markov") {
    return {root_ / "fold0" / model, root_ / "fold1" / model};
  }
};

TEST_F(CrossFitting, folds_part_the_users_by_seed_and_id_alone) {
  std::map<int32_t, int> sizes;
  int moved = 0;
  for (int u = 0; u < 300; ++u) {
    const std::string id = fmt::format("user-{}", u);
    int found = 0;
    for (int32_t fold = 0; fold < 3; ++fold) {
      if (!UserFold{3, fold, 1}.contains(id)) continue;
      ++found, ++sizes[fold];
      moved += !UserFold{3, fold, 2}.contains(id);
    }
    EXPECT_EQ(found, 1) << id;
    EXPECT_FALSE(UserFold{}.contains(id));
  }
  for (const auto& [fold, size] : sizes) EXPECT_NEAR(size, 100, 25) << fold;
  EXPECT_GT(moved, 150);
  check_user_fold({2, 1, 7});
  check_user_fold({});
  refuses([] { check_user_fold({1, 0, 7}); }, ExitCode::kUsage, "at least 2 folds");
  refuses([] { check_user_fold({2, 2, 7}); }, ExitCode::kUsage, "from 0 to 1, found 2");
  refuses([] { check_user_fold({0, 1, 7}); }, ExitCode::kUsage, "from 0 to 0, found 1");
}

// What the recommender has counted is the training part without the fold's users.
TEST_F(CrossFitting, fit_learns_nothing_of_the_users_that_are_left_out) {
  const Study study = open_study(root_ / "data");
  const Split split = load_split(root_ / "data");
  const InteractionLog all = training_log(study.dataset, split);
  InteractionLog log = all;
  const UserFold fold{2, 0, 7};
  leave_out(fold, study.dataset, log);
  ASSERT_EQ(log.user_offsets.size(), all.user_offsets.size());
  size_t kept = 0;
  for (size_t u = 0; u + 1 < log.user_offsets.size(); ++u) {
    const int64_t events = log.user_offsets[u + 1] - log.user_offsets[u];
    const int64_t before = all.user_offsets[u + 1] - all.user_offsets[u];
    EXPECT_EQ(events, fold.contains(study.dataset.user_ids[u]) ? 0 : before);
    kept += static_cast<size_t>(events);
  }
  EXPECT_GT(kept, all.items.size() / 4);
  EXPECT_LT(kept, all.items.size() * 3 / 4);
  const auto expected = recommender_type("markov").count(log, {});
  const auto fitted = load_recommender_of(root_ / "fold0/markov", study.dataset);
  const std::vector<int32_t> items{3, 5};
  const std::vector<int64_t> times{1, 2};
  const HistoryView history{items, times, 3};
  EXPECT_TRUE(at::equal(fitted->score({&history, 1}), expected->score({&history, 1})));
  std::vector<Row> rows = split.valid;
  leave_out(fold, study.dataset, rows);
  EXPECT_LT(rows.size(), split.valid.size());
  for (const Row& row : rows)
    EXPECT_FALSE(fold.contains(study.dataset.user_ids[static_cast<size_t>(row.user)]));
  const Json inputs = read_json(root_ / "fold0/markov/inputs.json");
  EXPECT_EQ(read_user_fold(inputs, "inputs"), fold);
  EXPECT_EQ(read_user_fold(read_json(root_ / "early/markov/inputs.json"), "inputs"), UserFold{});
}

// method.md B.8 #1 and #2: list i is that of row i, from a recommender that has not learned of its
// user.
TEST_F(CrossFitting, every_list_belongs_to_its_row_and_comes_from_a_stranger) {
  const Study study = open_study(root_ / "data");
  const Dataset& data = study.dataset;
  const CrossFittedLists source(both(), data, load_split(root_ / "data").protocol, {}, 4);
  EXPECT_EQ(source.recommender(), "markov");
  std::vector<Row> rows = study.candidates("train").rows;
  const auto lists = source.lists(rows);
  ASSERT_EQ(lists.size(), rows.size());
  const auto canonical = canonical_items(data.catalogue);
  std::set<std::vector<int32_t>> different;
  for (size_t r = 0; r < rows.size(); ++r) {
    const bool first = UserFold{2, 0, 7}.contains(data.user_ids[static_cast<size_t>(rows[r].user)]);
    const auto stranger =
        load_recommender_of(root_ / (first ? "fold0/markov" : "fold1/markov"), data);
    const Request request = history_request(data, rows[r], kRecommenderHistory);
    EXPECT_EQ(request.now, data.times[static_cast<size_t>(rows[r].position)]);
    const HistoryView history{request.history, request.times, request.now};
    const at::Tensor scores = stranger->score({&history, 1})[0];
    ASSERT_EQ(lists[r].size(), 4u);
    std::set<int32_t> shown;
    for (const int32_t item : request.history) shown.insert(canonical[static_cast<size_t>(item)]);
    for (const int32_t item : lists[r])
      EXPECT_TRUE(shown.insert(canonical[static_cast<size_t>(item)]).second);
    // None that is neither seen nor listed is better than the last of the list.
    const float last = scores[lists[r].back()].item<float>();
    for (int32_t item = 0; item < data.catalogue.num_items(); ++item)
      if (!shown.contains(canonical[static_cast<size_t>(item)])) {
        EXPECT_LE(scores[item].item<float>(), last);
      }
    different.insert(lists[r]);
  }
  EXPECT_GT(different.size(), rows.size() / 3);
  // In another order they are the same lists.
  std::reverse(rows.begin(), rows.end());
  auto reversed = source.lists(rows);
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(reversed, lists);
}

TEST_F(CrossFitting, one_of_earlier_events_is_asked_about_later_rows) {
  const Study study = open_study(root_ / "data");
  const std::string protocol = load_split(root_ / "data").protocol;
  const CrossFittedLists early({root_ / "early/markov"}, study.dataset, protocol, {}, 3);
  const CrossFittedLists half({root_ / "fold1/markov"}, study.dataset, protocol, {}, 3);
  const std::vector<Row> rows = study.candidates("train").rows;
  const auto later = early.lists(rows), strangers = half.lists(rows);
  const int64_t until = trained_until(root_ / "early/markov");
  int asked = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    EXPECT_EQ(later[r].empty(),
              study.dataset.times[static_cast<size_t>(rows[r].position)] <= until);
    const UserFold fold{2, 1, 7};
    const std::string& user = study.dataset.user_ids[static_cast<size_t>(rows[r].user)];
    EXPECT_NE(strangers[r].empty(), fold.contains(user));
    asked += !later[r].empty();
  }
  EXPECT_GT(asked, 20);
}

TEST_F(CrossFitting, refuses_recommenders_that_are_not_cross_fitted) {
  const Study study = open_study(root_ / "data");
  const std::string protocol = load_split(root_ / "data").protocol;
  fit_into("other-seed", {2, 1, 8});
  const auto open = [&](std::vector<std::string> folders, int32_t items = 4) {
    return [&study, &protocol, folders, items] {
      CrossFittedLists(folders, study.dataset, protocol, {}, items);
    };
  };
  refuses(open({}), ExitCode::kUsage, "fit --folds 2 --leave-out-fold 0");
  refuses(open(both(), 1), ExitCode::kUsage, "--list-items: expected at least 2");
  refuses(open({root_ / "fold0/markov", root_ / "fold1/popularity"}), ExitCode::kModel,
          "expected a markov, as the first one, found a popularity");
  refuses(open({root_ / "fold0/markov", root_ / "fold0/markov"}), ExitCode::kModel,
          "leaves out fold 0, as another one does");
  refuses(open({root_ / "fold0/markov", root_ / "early/markov"}), ExitCode::kModel,
          "without a fold of users");
  refuses(open({root_ / "fold0/markov", root_ / "other-seed/markov"}), ExitCode::kModel,
          "with seed 8, the first one of 2 with seed 7");
  refuses([&] { CrossFittedLists(both(), study.dataset, "another", {}, 4); }, ExitCode::kModel,
          "but the rows are of another");
}

// A recommender masks what it sees, the last kRecommenderHistory items; what was chosen before them
// fills its first answer here.
TEST_F(CrossFitting, users_with_long_histories_have_lists) {
  const Study study = open_study(root_ / "data");
  Dataset data = study.dataset;
  const UserFold fold{2, 1, 7};
  const int32_t items = 3, liked = data.catalogue.num_items() - 20;
  // One user chooses the first items of all but 20 once, then only item 0.
  std::string user = "heavy-0";
  for (int i = 1; !fold.contains(user); ++i) user = fmt::format("heavy-{}", i);
  data.user_ids = {user};
  data.items.clear(), data.times.clear(), data.ratings.clear();
  for (int32_t i = 0; i < liked + kRecommenderHistory + 1; ++i) {
    data.items.push_back(i < liked ? i : 0);
    data.times.push_back(1000 * (i + 1));
  }
  data.user_offsets = {0, std::ssize(data.items)};
  const std::string protocol = load_split(root_ / "data").protocol;
  const CrossFittedLists source({root_ / "fold1/popularity"}, data, protocol, {}, items);
  const auto canonical = canonical_items(data.catalogue);
  std::set<int32_t> chosen;
  for (int32_t i = 0; i < liked; ++i) chosen.insert(canonical[static_cast<size_t>(i)]);
  const std::vector<Row> rows{{0, std::ssize(data.items) - 1}, {0, 2}};
  const auto lists = source.lists(rows);
  ASSERT_EQ(lists[0].size(), 3u);
  ASSERT_EQ(lists[1].size(), 3u);
  for (const int32_t item : lists[0])
    EXPECT_TRUE(chosen.insert(canonical[static_cast<size_t>(item)]).second);
}

// A row of the training part may be the last event of all.
TEST_F(CrossFitting, the_last_event_of_the_last_user_can_be_analysed) {
  const Study study = open_study(root_ / "data");
  Dataset data = study.dataset;
  data.times.shrink_to_fit();
  SplitOptions whole;
  whole.ratio = {1, 0, 0};
  const Split split = split_user_ratio(data, whole);
  const auto canonical = canonical_items(data.catalogue);
  const size_t last = data.items.size() - 1;
  int32_t other = 0;  // another title than the one before
  const auto title = [&](int32_t item) { return canonical[static_cast<size_t>(item)]; };
  while (title(other) == title(data.items[last - 1])) ++other;
  data.items[last] = other;
  const TaskRows tasks(data, split, {.num_candidates = 6, .max_history = 6});
  const Row row{static_cast<int32_t>(data.num_users() - 1), static_cast<int64_t>(last)};
  ASSERT_TRUE(tasks.can_analyse(row));
  const Request request = tasks.analysis(row);
  EXPECT_EQ(request.user, row.user);
  EXPECT_EQ(request.now, data.times.back());
  EXPECT_EQ(request.times.back(), data.times.back());
  EXPECT_EQ(request.history.back(), other);
  EXPECT_LE(request.history.size(), 6u);
}

// method.md B.8 #3 and #4.
TEST_F(CrossFitting, candidates_of_tasks_hold_one_positive_and_nothing_that_was_chosen) {
  const Study study = open_study(root_ / "data");
  const Dataset& data = study.dataset;
  const Split split = load_split(root_ / "data");
  const TaskRows tasks(data, split, {.num_candidates = 9, .max_history = 6});
  const CrossFittedLists source(both(), data, split.protocol, {}, 4);
  const std::vector<Row> rows = study.candidates("train").rows;
  const auto lists = source.lists(rows);
  const auto canonical = canonical_items(data.catalogue);
  std::vector<int> slots(9);
  int analysed = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto at = static_cast<size_t>(rows[r].position);
    std::set<int32_t> chosen;
    for (auto i = static_cast<size_t>(data.user_offsets[static_cast<size_t>(rows[r].user)]);
         i <= at; ++i)
      chosen.insert(canonical[static_cast<size_t>(data.items[i])]);
    const auto check = [&](const Request& request, int32_t target, std::set<int32_t> may) {
      ASSERT_EQ(request.candidates.size(), 9u);
      EXPECT_EQ(request.candidates[static_cast<size_t>(request.target_slot)], target);
      ++slots[static_cast<size_t>(request.target_slot)];
      std::set<int32_t> titles;
      for (const int32_t item : request.candidates) {
        const int32_t title = canonical[static_cast<size_t>(item)];
        EXPECT_TRUE(titles.insert(title).second);
        EXPECT_TRUE(may.contains(item) || !chosen.contains(title)) << item;
      }
    };
    const Request simulating = tasks.simulating(rows[r], lists[r]);
    check(simulating, lists[r][0], {lists[r].begin(), lists[r].end()});
    EXPECT_EQ(simulating.known.pattern, lists[r]);
    EXPECT_EQ(simulating.history.back(), data.items[at - 1]);
    EXPECT_LE(simulating.history.size(), 6u);
    for (const int32_t item : lists[r])
      EXPECT_EQ(std::count(simulating.candidates.begin(), simulating.candidates.end(), item), 1);
    if (!tasks.can_analyse(rows[r])) {
      refuses([&] { tasks.analysis(rows[r]); }, ExitCode::kInput, "no entry that can be hidden");
      continue;
    }
    ++analysed;
    const Request analysis = tasks.analysis(rows[r]);
    check(analysis, data.items[at - 1], {data.items[at - 1]});
    ASSERT_GE(analysis.history.size(), 3u);
    EXPECT_EQ(analysis.history.back(), data.items[at]);
    EXPECT_EQ(analysis.history[analysis.history.size() - 2], data.items[at - 1]);
    EXPECT_EQ(analysis.times.back(), data.times[at]);
    EXPECT_EQ(std::count(analysis.candidates.begin(), analysis.candidates.end(), data.items[at]),
              0);
    // A row has a stream of its own.
    EXPECT_EQ(tasks.analysis(rows[r]).candidates, analysis.candidates);
  }
  EXPECT_GT(analysed, 100);
  for (const int count : slots) EXPECT_GT(count, 8);
  refuses([&] { tasks.simulating(rows[0], std::vector<int32_t>(9, 1)); }, ExitCode::kUsage,
          "more than the 9 items of a list");
  refuses([&] { TaskRows(data, split, {.num_candidates = 1}); }, ExitCode::kUsage, "at least 2");
  const TaskRows most(data, split, {.num_candidates = 500});
  refuses([&] { most.simulating(rows[0], lists[0]); }, ExitCode::kInput, "different titles");
}

}  // namespace
}  // namespace etrlrec
