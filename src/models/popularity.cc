// Recency keeps, for each item, the times of its interactions and the decayed sum right after each
// of them: S_k = S_{k-1} 2^(-(t_k - t_{k-1}) / h) + 1, so that the sum at any later time is one
// lookup and one power.
#include "models/popularity.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/recommender_file.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr double kSecondsPerDay = 86400;
constexpr double kFloor =
    1e-9;  // weight of an item without interactions, in units of the newest one

class Popularity : public Recommender {
 public:
  explicit Popularity(std::vector<int64_t> counts) : counts_(std::move(counts)) {
    std::vector<float> logs;
    for (double share : add_one_shares(counts_))
      logs.push_back(static_cast<float>(std::log(share)));
    log_shares_ = at::tensor(logs);
  }
  std::string name() const override { return "popularity"; }
  int64_t num_items() const override { return static_cast<int64_t>(counts_.size()); }
  Tensor score(std::span<const HistoryView> histories) const override {
    return log_shares_.expand({static_cast<int64_t>(histories.size()), num_items()}).contiguous();
  }
  void save(const fs::path& folder) const override {
    save_recommender(folder, name(), num_items(), OrderedJson::object(),
                     {{"counts", column_tensor(counts_)}});
  }

 private:
  std::vector<int64_t> counts_;
  Tensor log_shares_;
};

class Recency : public Recommender {
 public:
  // `times` of each item ascending, items one after another.
  Recency(double half_life_days, std::vector<int64_t> offsets, std::vector<int64_t> times)
      : half_life_(half_life_days * kSecondsPerDay),
        offsets_(std::move(offsets)),
        times_(std::move(times)),
        sums_(times_.size()) {
    for (int64_t item = 0; item < num_items(); ++item) {
      double sum = 0;
      for (int64_t i = offsets_[item]; i < offsets_[item + 1]; ++i) {
        if (i > offsets_[item]) sum *= decay(times_[i] - times_[i - 1]);
        sums_[i] = ++sum;
      }
    }
    sorted_times_ = times_;
    std::sort(sorted_times_.begin(), sorted_times_.end());
  }
  std::string name() const override { return "recency"; }
  int64_t num_items() const override { return static_cast<int64_t>(offsets_.size()) - 1; }
  Tensor score(std::span<const HistoryView> histories) const override {
    Tensor scores = at::empty({static_cast<int64_t>(histories.size()), num_items()});
    float* out = scores.data_ptr<float>();
    at::parallel_for(0, scores.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        score_at(histories[static_cast<size_t>(row)].now, out + row * num_items());
    });
    return scores;
  }
  void save(const fs::path& folder) const override {
    save_recommender(folder, name(), num_items(), {{"half_life_days", half_life_ / kSecondsPerDay}},
                     {{"offsets", column_tensor(offsets_)}, {"times", column_tensor(times_)}});
  }

 private:
  double decay(int64_t seconds) const {
    return std::exp2(-static_cast<double>(seconds) / half_life_);
  }

  // Sums are taken at the newest interaction before `now`: a factor common to all items, which
  // keeps them from vanishing after a long silence.
  void score_at(int64_t now, float* scores) const {
    const auto newest = std::lower_bound(sorted_times_.begin(), sorted_times_.end(), now);
    const int64_t reference = newest == sorted_times_.begin() ? now : *(newest - 1);
    std::vector<double> weights(static_cast<size_t>(num_items()));
    for (int64_t item = 0; item < num_items(); ++item) {
      const auto first = times_.begin() + offsets_[item],
                 last = times_.begin() + offsets_[item + 1];
      const auto found = std::lower_bound(first, last, now);
      const int64_t index = found - times_.begin() - 1;
      weights[item] =
          kFloor + (found == first ? 0 : sums_[index] * decay(reference - times_[index]));
    }
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (int64_t item = 0; item < num_items(); ++item)
      scores[item] = static_cast<float>(std::log(weights[item] / total));
  }

  double half_life_;
  std::vector<int64_t> offsets_, times_, sorted_times_;
  std::vector<double> sums_;
};

constexpr RecommenderOption kRecencyOptions[] = {
    {"--half-life-days", "half_life_days", 30.0, "of recency", "1, 3, 10, 30, 100"},
};

double half_life_of(const OptionValues& given) {
  const double days = option_or(given, "half_life_days", 30.0);
  CHECK(days > 0, kUsage, "half_life_days: expected a positive value, found {}", days);
  return days;
}

std::unique_ptr<Recommender> fit_recency(const InteractionLog& log, const OptionValues& given) {
  check_log(log);
  std::vector<int64_t> offsets(static_cast<size_t>(log.num_items) + 1, 0);
  for (int32_t item : log.items) ++offsets[static_cast<size_t>(item) + 1];
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  std::vector<int64_t> times(log.items.size()), cursor = offsets;
  for (size_t i = 0; i < log.items.size(); ++i) times[cursor[log.items[i]]++] = log.times[i];
  for (int64_t item = 0; item < log.num_items; ++item)
    std::sort(times.begin() + offsets[item], times.begin() + offsets[item + 1]);
  return std::make_unique<Recency>(half_life_of(given), std::move(offsets), std::move(times));
}

std::unique_ptr<Recommender> fit_popularity(const InteractionLog& log, const OptionValues&) {
  check_log(log);
  return std::make_unique<Popularity>(count_items(log));
}

std::unique_ptr<Recommender> load_popularity(const fs::path& folder) {
  const RecommenderFile file(folder);
  return std::make_unique<Popularity>(file.counts("counts", file.num_items()));
}

std::unique_ptr<Recommender> load_recency(const fs::path& folder) {
  const RecommenderFile file(folder);
  const double half_life = file.positive("half_life_days");
  auto times = file.column("times", -1);
  auto offsets = file.offsets(static_cast<int64_t>(times.size()));
  for (int64_t item = 0; item < file.num_items(); ++item)
    CHECK(std::is_sorted(times.begin() + offsets[item], times.begin() + offsets[item + 1]), kModel,
          "{}: times of item {} are not ascending", file.name(), item);
  return std::make_unique<Recency>(half_life, std::move(offsets), std::move(times));
}

}  // namespace

std::vector<int64_t> count_items(const InteractionLog& log) {
  std::vector<int64_t> counts(static_cast<size_t>(log.num_items), 0);
  for (int32_t item : log.items) ++counts[static_cast<size_t>(item)];
  return counts;
}

std::vector<double> add_one_shares(const std::vector<int64_t>& counts) {
  double total = static_cast<double>(counts.size());
  for (int64_t count : counts) total += static_cast<double>(count);
  std::vector<double> shares;
  for (int64_t count : counts) shares.push_back((static_cast<double>(count) + 1) / total);
  return shares;
}

const RecommenderType kPopularity = {
    .name = "popularity",
    .summary = "interactions of each item",
    .configure = [](const OptionValues&) { return OrderedJson(OrderedJson::object()); },
    .count = fit_popularity,
    .load = load_popularity,
};

const RecommenderType kRecency = {
    .name = "recency",
    .summary = "popularity that loses half its weight every --half-life-days",
    .options = kRecencyOptions,
    .configure =
        [](const OptionValues& given) {
          return OrderedJson{{"half_life_days", half_life_of(given)}};
        },
    .count = fit_recency,
    .load = load_recency,
};

}  // namespace etrlrec
