#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/ranking.h"
#include "models/recommender.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

constexpr int64_t kDay = 86400;

// Two users over four items; item 3 never occurs.
InteractionLog small_log() {
  InteractionLog log;
  log.num_items = 4;
  log.user_offsets = {0, 3, 6};
  log.items = {0, 1, 0, 0, 1, 2};
  log.times = {0, 10 * kDay, 20 * kDay, 5 * kDay, 15 * kDay, 30 * kDay};
  return log;
}

std::vector<double> scores_of(const Recommender& model, std::vector<int32_t> items, int64_t now) {
  const std::vector<int64_t> times(items.size(), 0);
  const HistoryView view{items, times, now};
  const at::Tensor scores = model.score({&view, 1});
  EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{1, model.num_items()}));
  std::vector<double> values;
  for (int64_t i = 0; i < scores.size(1); ++i) values.push_back(scores[0][i].item<double>());
  return values;
}

class Folder {
 public:
  explicit Folder(const std::string& name)
      : path_(fs::temp_directory_path() / fmt::format("etrlrec-{}-{}", name, ::getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(Popularity, scores_are_the_logs_of_add_one_shares) {
  const auto scores = scores_of(*fit_counting("popularity", small_log(), {}), {}, 0);
  EXPECT_NEAR(scores[0], std::log(0.4), 1e-6);
  EXPECT_NEAR(scores[1], std::log(0.3), 1e-6);
  EXPECT_NEAR(scores[3], std::log(0.1), 1e-6);
}

TEST(Recency, equals_the_sum_over_events_before_the_request) {
  const InteractionLog log = small_log();
  const auto model = fit_counting("recency", log, {.half_life_days = 7});
  for (const int64_t now : {15 * kDay, 15 * kDay + 1, 31 * kDay, 400 * kDay}) {
    std::vector<double> sums(4, 0.0);
    for (size_t i = 0; i < log.items.size(); ++i)
      if (log.times[i] < now)
        sums[log.items[i]] += std::exp2(-static_cast<double>(now - log.times[i]) / (7 * kDay));
    const auto scores = scores_of(*model, {}, now);
    EXPECT_NEAR(scores[1] - scores[0], std::log(sums[1] / sums[0]), 1e-5) << now;
    if (sums[2] > 0) {
      EXPECT_NEAR(scores[2] - scores[0], std::log(sums[2] / sums[0]), 1e-5) << now;
    }
  }
}

TEST(Recency, knows_nothing_before_the_first_event_and_stays_finite_after_years) {
  const auto model = fit_counting("recency", small_log(), {.half_life_days = 1});
  const auto before = scores_of(*model, {}, 0), after = scores_of(*model, {}, 100000 * kDay);
  EXPECT_EQ(before[0], before[3]);
  EXPECT_GT(after[2], after[0]);
  for (double score : after) EXPECT_TRUE(std::isfinite(score));
}

TEST(Markov, smooths_transitions_towards_popularity) {
  const auto model = fit_counting("markov", small_log(), {.smoothing = 2});
  const auto scores = scores_of(*model, {1, 0}, 0);  // 0 -> 1 twice
  EXPECT_NEAR(scores[1], std::log((2 + 2 * 0.3) / 4), 1e-6);
  EXPECT_NEAR(scores[3], std::log((2 * 0.1) / 4), 1e-6);
  const auto first = scores_of(*model, {}, 0);
  EXPECT_NEAR(first[0], std::log(0.4), 1e-6);
}

TEST(Counting, models_come_back_from_their_folders) {
  for (const char* name : {"popularity", "recency", "markov"}) {
    const Folder folder(name);
    const auto model = fit_counting(name, small_log(), {.half_life_days = 3, .smoothing = 4});
    model->save(folder.path());
    const auto loaded = load_recommender(folder.path());
    EXPECT_EQ(loaded->name(), name);
    EXPECT_EQ(scores_of(*model, {0, 1}, 25 * kDay), scores_of(*loaded, {0, 1}, 25 * kDay));
  }
}

TEST(Counting, refuses_unknown_names_and_bad_options) {
  EXPECT_THROW(fit_counting("knn", small_log(), {}), Error);
  EXPECT_THROW(fit_counting("recency", small_log(), {.half_life_days = 0}), Error);
  InteractionLog log = small_log();
  log.items[0] = 4;
  EXPECT_THROW(fit_counting("popularity", log, {}), Error);
}

TEST(Counting, refuses_damaged_folders) {
  const Folder folder("damaged");
  EXPECT_THROW(load_recommender(folder.path()), Error);
  fit_counting("markov", small_log(), {})->save(folder.path());
  const fs::path file = folder.path() / "model.safetensors";
  const ParameterMap good = load_safetensors(file);
  ParameterMap bad = good;
  bad["next"] = at::full_like(good.at("next"), 9);
  save_safetensors(bad, file);
  EXPECT_THROW(load_recommender(folder.path()), Error);
  bad = good;
  bad["offsets"] = good.at("offsets") + 1;
  save_safetensors(bad, file);
  EXPECT_THROW(load_recommender(folder.path()), Error);
  write_file_atomic(folder.path() / "config.json", R"({"model_type": "oracle"})");
  EXPECT_THROW(load_recommender(folder.path()), Error);
}

// Scores are given; the slow twin of the rank counts one by one.
class FixedScores : public Recommender {
 public:
  explicit FixedScores(at::Tensor scores) : scores_(std::move(scores)) {}
  std::string name() const override { return "fixed"; }
  int64_t num_items() const override { return scores_.size(0); }
  at::Tensor score(std::span<const HistoryView> histories) const override {
    return scores_.expand({static_cast<int64_t>(histories.size()), -1});
  }
  void save(const fs::path&) const override {}

 private:
  at::Tensor scores_;
};

TEST(FullRanks, counts_ties_by_half_and_leaves_seen_items_out) {
  const FixedScores model(at::tensor({3.0F, 1.0F, 2.0F, 2.0F, 2.0F, 5.0F}));
  const std::vector<int32_t> history{5, 3, 5};
  const std::vector<int64_t> times(3, 0);
  const std::vector<RankingTask> tasks{{{history, times, 0}, 2}, {{history, times, 0}, 5}};
  EXPECT_EQ(full_ranks(model, tasks, false), (std::vector<double>{4, 1}));
  EXPECT_EQ(full_ranks(model, tasks, true), (std::vector<double>{2.5, 1}));
}

TEST(FullRanks, refuses_targets_outside_of_the_catalogue) {
  const FixedScores model(at::zeros({3}));
  const std::vector<RankingTask> tasks{{{}, 3}};
  EXPECT_THROW(full_ranks(model, tasks, false), Error);
}

}  // namespace
}  // namespace etrlrec
