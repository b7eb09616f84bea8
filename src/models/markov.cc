#include "models/markov.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/popularity.h"
#include "models/recommender_file.h"

namespace etrlrec {
namespace {

using at::Tensor;

class Markov : public Recommender {
 public:
  // Transitions a -> next[i], counted count[i] times, for i in [offsets[a], offsets[a + 1]).
  Markov(double smoothing, std::vector<int64_t> popularity, std::vector<int64_t> offsets,
         std::vector<int64_t> next, std::vector<int64_t> counts)
      : smoothing_(smoothing),
        popularity_(std::move(popularity)),
        offsets_(std::move(offsets)),
        next_(std::move(next)),
        counts_(std::move(counts)),
        prior_(add_one_shares(popularity_)) {}
  std::string name() const override { return "markov"; }
  int64_t num_items() const override { return static_cast<int64_t>(popularity_.size()); }
  Tensor score(std::span<const HistoryView> histories) const override {
    Tensor scores = at::empty({static_cast<int64_t>(histories.size()), num_items()});
    float* out = scores.data_ptr<float>();
    at::parallel_for(0, scores.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const auto items = histories[static_cast<size_t>(row)].items;
        score_after(items.empty() ? -1 : items.back(), out + row * num_items());
      }
    });
    return scores;
  }
  void save(const fs::path& folder) const override {
    save_recommender(folder, name(), num_items(), {{"smoothing", smoothing_}},
                     {{"popularity", column_tensor(popularity_)},
                      {"offsets", column_tensor(offsets_)},
                      {"next", column_tensor(next_)},
                      {"counts", column_tensor(counts_)}});
  }

 private:
  // `last` -1: no last item.
  void score_after(int64_t last, float* scores) const {
    CHECK(last < num_items(), kInput, "markov: item {} is not in [0, {})", last, num_items());
    std::vector<double> weights = prior_;
    if (last >= 0) {
      for (double& weight : weights) weight *= smoothing_;
      double total = smoothing_;
      for (int64_t i = offsets_[last]; i < offsets_[last + 1]; ++i) {
        weights[next_[i]] += static_cast<double>(counts_[i]);
        total += static_cast<double>(counts_[i]);
      }
      for (double& weight : weights) weight /= total;
    }
    for (int64_t item = 0; item < num_items(); ++item)
      scores[item] = static_cast<float>(std::log(weights[item]));
  }

  double smoothing_;
  std::vector<int64_t> popularity_, offsets_, next_, counts_;
  std::vector<double> prior_;
};

constexpr RecommenderOption kOptions[] = {
    {"--smoothing", "smoothing", 10.0, "popularity prior of markov", "1, 3, 10, 30, 100"},
};

double smoothing_of(const OptionValues& given) {
  const double smoothing = option_or(given, "smoothing", 10.0);
  CHECK(smoothing > 0, kUsage, "smoothing: expected a positive value, found {}", smoothing);
  return smoothing;
}

std::unique_ptr<Recommender> fit_markov(const InteractionLog& log, const OptionValues& given) {
  check_log(log);
  std::vector<std::pair<int32_t, int32_t>> pairs;
  for (size_t user = 0; user + 1 < log.user_offsets.size(); ++user)
    for (int64_t i = log.user_offsets[user]; i + 1 < log.user_offsets[user + 1]; ++i)
      pairs.emplace_back(log.items[i], log.items[i + 1]);
  std::sort(pairs.begin(), pairs.end());
  std::vector<int64_t> offsets(static_cast<size_t>(log.num_items) + 1, 0), next, counts;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i > 0 && pairs[i] == pairs[i - 1]) {
      ++counts.back();
      continue;
    }
    next.push_back(pairs[i].second);
    counts.push_back(1);
    ++offsets[static_cast<size_t>(pairs[i].first) + 1];
  }
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  return std::make_unique<Markov>(smoothing_of(given), count_items(log), std::move(offsets),
                                  std::move(next), std::move(counts));
}

std::unique_ptr<Recommender> load_markov(const fs::path& folder) {
  const RecommenderFile file(folder);
  const double smoothing = file.positive("smoothing");
  auto next = file.items("next", -1);
  const auto size = static_cast<int64_t>(next.size());
  auto counts = file.counts("counts", size);
  auto popularity = file.counts("popularity", file.num_items());
  return std::make_unique<Markov>(smoothing, std::move(popularity), file.offsets(size),
                                  std::move(next), std::move(counts));
}

}  // namespace

const RecommenderType kMarkov = {
    .name = "markov",
    .summary = "what followed the last item, smoothed by popularity",
    .options = kOptions,
    .configure =
        [](const OptionValues& given) {
          return OrderedJson{{"smoothing", smoothing_of(given)}};
        },
    .count = fit_markov,
    .load = load_markov,
};

}  // namespace etrlrec
