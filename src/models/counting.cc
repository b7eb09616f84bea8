// Popularity, recency-weighted popularity and first-order transitions.
// Recency keeps, per item, the times of its interactions and the decayed sum right after each of
// them: S_k = S_{k-1} 2^(-(t_k - t_{k-1}) / h) + 1, so that the sum at any later time is one lookup
// and one power.
#include "models/counting.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr double kSecondsPerDay = 86400;
constexpr double kFloor =
    1e-9;  // weight of an item without interactions, in units of the newest one

const Tensor& require(const ParameterMap& tensors, const std::string& name, at::ScalarType type,
                      int64_t size, const fs::path& file) {
  const auto found = tensors.find(name);
  CHECK(found != tensors.end(), kModel, "{}: tensor \"{}\" is missing", file.string(), name);
  CHECK(found->second.scalar_type() == type && found->second.dim() == 1, kModel,
        "{}: tensor \"{}\" has the wrong type or shape", file.string(), name);
  CHECK(size < 0 || found->second.numel() == size, kModel, "{}: {}: expected {} values, found {}",
        file.string(), name, size, found->second.numel());
  return found->second;
}

std::vector<int64_t> values64(const Tensor& tensor) {
  const int64_t* data = tensor.const_data_ptr<int64_t>();
  return {data, data + tensor.numel()};
}

Tensor tensor64(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

// Offsets of `size` groups into `total` values: ascending from 0.
std::vector<int64_t> checked_offsets(const ParameterMap& tensors, int64_t size, int64_t total,
                                     const fs::path& file) {
  const auto offsets = values64(require(tensors, "offsets", at::kLong, size + 1, file));
  CHECK(offsets.front() == 0 && offsets.back() == total &&
            std::is_sorted(offsets.begin(), offsets.end()),
        kModel, "{}: offsets do not fit the other tensors", file.string());
  return offsets;
}

std::vector<double> add_one_shares(const std::vector<int64_t>& counts) {
  double total = static_cast<double>(counts.size());
  for (int64_t count : counts) total += static_cast<double>(count);
  std::vector<double> shares;
  for (int64_t count : counts) shares.push_back((static_cast<double>(count) + 1) / total);
  return shares;
}

std::vector<int64_t> count_items(const InteractionLog& log) {
  std::vector<int64_t> counts(static_cast<size_t>(log.num_items), 0);
  for (int32_t item : log.items) ++counts[static_cast<size_t>(item)];
  return counts;
}

void check_counts(const std::vector<int64_t>& counts, const fs::path& file) {
  CHECK(std::all_of(counts.begin(), counts.end(), [](int64_t count) { return count >= 0; }), kModel,
        "{}: a count is negative", file.string());
}

void save_model(const fs::path& folder, const ParameterMap& tensors, const OrderedJson& config) {
  save_safetensors(tensors, folder / "model.safetensors");
  write_json_atomic(folder / "config.json", config);
}

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
    save_model(folder, {{"counts", tensor64(counts_)}},
               {{"model_type", name()}, {"num_items", num_items()}});
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
    save_model(folder, {{"offsets", tensor64(offsets_)}, {"times", tensor64(times_)}},
               {{"model_type", name()},
                {"num_items", num_items()},
                {"half_life_days", half_life_ / kSecondsPerDay}});
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
    save_model(folder,
               {{"popularity", tensor64(popularity_)},
                {"offsets", tensor64(offsets_)},
                {"next", tensor64(next_)},
                {"counts", tensor64(counts_)}},
               {{"model_type", name()}, {"num_items", num_items()}, {"smoothing", smoothing_}});
  }

 private:
  // T(a -> b) = (n_ab + alpha p_b) / (n_a + alpha); the popularity share p_b when there is no last
  // item.
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

std::unique_ptr<Recommender> fit_recency(const InteractionLog& log, double half_life_days) {
  std::vector<int64_t> offsets(static_cast<size_t>(log.num_items) + 1, 0);
  for (int32_t item : log.items) ++offsets[static_cast<size_t>(item) + 1];
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  std::vector<int64_t> times(log.items.size()), cursor = offsets;
  for (size_t i = 0; i < log.items.size(); ++i) times[cursor[log.items[i]]++] = log.times[i];
  for (int64_t item = 0; item < log.num_items; ++item)
    std::sort(times.begin() + offsets[item], times.begin() + offsets[item + 1]);
  return std::make_unique<Recency>(half_life_days, std::move(offsets), std::move(times));
}

std::unique_ptr<Recommender> fit_markov(const InteractionLog& log, double smoothing) {
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
  return std::make_unique<Markov>(smoothing, count_items(log), std::move(offsets), std::move(next),
                                  std::move(counts));
}

void check_log(const InteractionLog& log) {
  CHECK(log.num_items > 0, kInput, "interaction log: expected an item, found none");
  CHECK(log.items.size() == log.times.size() && !log.user_offsets.empty() &&
            log.user_offsets.back() == static_cast<int64_t>(log.items.size()),
        kInput, "interaction log: columns of {} items, {} times and {} offsets do not fit",
        log.items.size(), log.times.size(), log.user_offsets.size());
  for (int32_t item : log.items)
    CHECK(item >= 0 && item < log.num_items, kInput, "interaction log: item {} is not in [0, {})",
          item, log.num_items);
}

}  // namespace

std::unique_ptr<Recommender> fit_counting(std::string_view name, const InteractionLog& log,
                                          const CountingOptions& options) {
  check_log(log);
  CHECK(options.half_life_days > 0 && options.smoothing > 0, kUsage,
        "half_life_days, smoothing: expected positive values, found {}, {}", options.half_life_days,
        options.smoothing);
  if (name == "popularity") return std::make_unique<Popularity>(count_items(log));
  if (name == "recency") return fit_recency(log, options.half_life_days);
  if (name == "markov") return fit_markov(log, options.smoothing);
  fail(ExitCode::kUsage, "unknown counting model \"{}\"; known: popularity, recency, markov", name);
}

std::unique_ptr<Recommender> load_counting(const fs::path& folder) {
  const fs::path config_file = folder / "config.json", file = folder / "model.safetensors";
  const Json config = read_json(config_file);
  const auto type = get<std::string>(config, "model_type", config_file.string());
  const auto items = get<int64_t>(config, "num_items", config_file.string());
  CHECK(items > 0, kModel, "{}: num_items: expected a positive value, found {}",
        config_file.string(), items);
  const ParameterMap tensors = load_safetensors(file);
  if (type == "popularity") {
    auto counts = values64(require(tensors, "counts", at::kLong, items, file));
    check_counts(counts, file);
    return std::make_unique<Popularity>(std::move(counts));
  }
  if (type == "recency") {
    const auto half_life = get<double>(config, "half_life_days", config_file.string());
    CHECK(half_life > 0, kModel, "{}: half_life_days: expected a positive value, found {}",
          config_file.string(), half_life);
    auto times = values64(require(tensors, "times", at::kLong, -1, file));
    auto offsets = checked_offsets(tensors, items, static_cast<int64_t>(times.size()), file);
    for (int64_t item = 0; item < items; ++item)
      CHECK(std::is_sorted(times.begin() + offsets[item], times.begin() + offsets[item + 1]),
            kModel, "{}: times of item {} are not ascending", file.string(), item);
    return std::make_unique<Recency>(half_life, std::move(offsets), std::move(times));
  }
  CHECK(type == "markov", kModel, "{}: unknown model_type \"{}\"", config_file.string(), type);
  const auto smoothing = get<double>(config, "smoothing", config_file.string());
  CHECK(smoothing > 0, kModel, "{}: smoothing: expected a positive value, found {}",
        config_file.string(), smoothing);
  auto next = values64(require(tensors, "next", at::kLong, -1, file));
  const auto size = static_cast<int64_t>(next.size());
  auto counts = values64(require(tensors, "counts", at::kLong, size, file));
  auto popularity = values64(require(tensors, "popularity", at::kLong, items, file));
  check_counts(counts, file);
  check_counts(popularity, file);
  CHECK(std::all_of(next.begin(), next.end(),
                    [&](int64_t item) { return item >= 0 && item < items; }),
        kModel, "{}: an item of \"next\" is not in [0, {})", file.string(), items);
  return std::make_unique<Markov>(smoothing, std::move(popularity),
                                  checked_offsets(tensors, items, size, file), std::move(next),
                                  std::move(counts));
}

}  // namespace etrlrec
