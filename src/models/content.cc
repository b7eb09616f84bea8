#include "models/content.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "models/recommender_file.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr double kHalfLives[] = {1, 2, 4, 8, 16, 64};
constexpr double kScales[] = {1, 2, 3, 4, 6, 8, 12, 16, 24};
constexpr size_t kChosenOn = 2000;  // interactions, the latest ones
constexpr int64_t kRows = 256;      // scored at a time

// Unit vectors of the decayed means; a history without items has zeros. [histories, C]
Tensor profiles(const Tensor& embeddings, double half_life,
                std::span<const std::span<const int32_t>> histories) {
  const int64_t width = embeddings.size(1);
  const float* const item_rows = embeddings.data_ptr<float>();
  const Tensor out = at::zeros({std::ssize(histories), width});
  const auto fade = static_cast<float>(std::exp2(-1 / half_life));
  for (size_t row = 0; row < histories.size(); ++row) {
    float* const sum = out.data_ptr<float>() + static_cast<int64_t>(row) * width;
    for (const int32_t item : histories[row]) {
      CHECK(item >= 0 && item < embeddings.size(0), kInput, "content: item {} is not in [0, {})",
            item, embeddings.size(0));
      const float* const vector = item_rows + item * width;
      for (int64_t c = 0; c < width; ++c) sum[c] = sum[c] * fade + vector[c];
    }
  }
  return out / out.norm(2, 1, true).clamp_min(1e-12);
}

class Content : public Recommender {
 public:
  Content(Tensor embeddings, double half_life, double scale)
      : embeddings_(std::move(embeddings)), half_life_(half_life), scale_(scale) {}
  std::string name() const override { return "content"; }
  int64_t num_items() const override { return embeddings_.size(0); }
  Tensor score(std::span<const HistoryView> histories) const override {
    const at::NoGradGuard no_grad;
    std::vector<std::span<const int32_t>> items;
    for (const HistoryView& history : histories) items.push_back(history.items);
    const Tensor cosines = at::mm(profiles(embeddings_, half_life_, items), embeddings_.t());
    return at::log_softmax(cosines * scale_, 1);
  }
  void save(const fs::path& folder) const override {
    save_recommender(folder, name(), num_items(),
                     {{"half_life_entries", half_life_}, {"scale", scale_}},
                     {{"embeddings", embeddings_}});
  }

 private:
  Tensor embeddings_;  // [N, C], of length 1
  double half_life_, scale_;
};

struct Interaction {
  std::span<const int32_t> before;
  int32_t item;
};

// The latest ones that have items before them.
std::vector<Interaction> latest_interactions(const InteractionLog& log) {
  std::vector<std::pair<int64_t, Interaction>> all;
  for (size_t user = 0; user + 1 < log.user_offsets.size(); ++user) {
    const auto begin = static_cast<size_t>(log.user_offsets[user]),
               end = static_cast<size_t>(log.user_offsets[user + 1]);
    for (size_t i = begin + 1; i < end; ++i)
      all.push_back({log.times[i], {std::span(log.items).subspan(begin, i - begin), log.items[i]}});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Interaction> latest;
  for (size_t i = 0; i < std::min(all.size(), kChosenOn); ++i) latest.push_back(all[i].second);
  return latest;
}

// Mean log-probability of the items under each scale.
std::vector<double> log_likelihoods(const Tensor& embeddings, double half_life,
                                    std::span<const Interaction> rows) {
  std::vector<double> sums(std::size(kScales), 0);
  for (size_t begin = 0; begin < rows.size(); begin += kRows) {
    const auto block = rows.subspan(begin, std::min<size_t>(kRows, rows.size() - begin));
    std::vector<std::span<const int32_t>> before;
    std::vector<int64_t> targets;
    for (const Interaction& row : block) {
      before.push_back(row.before);
      targets.push_back(row.item);
    }
    const Tensor cosines = at::mm(profiles(embeddings, half_life, before), embeddings.t());
    const Tensor target = cosines.gather(1, at::tensor(targets).unsqueeze(1)).squeeze(1);
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] +=
          (target * kScales[i] - at::logsumexp(cosines * kScales[i], 1)).sum().item<double>();
  }
  for (double& sum : sums) sum /= static_cast<double>(rows.size());
  return sums;
}

std::unique_ptr<Recommender> fit_content(const InteractionLog& log, const OptionValues&) {
  const at::NoGradGuard no_grad;
  check_log(log);
  CHECK(
      log.item_embeddings.defined(), kUsage,
      "content: needs what describes the items\nhint: etrlrec embed writes it, --embeddings names "
      "the folder");
  CHECK(log.item_embeddings.size(0) == log.num_items, kInput,
        "content: embeddings of {} items, the log has {}", log.item_embeddings.size(0),
        log.num_items);
  const std::vector<Interaction> rows = latest_interactions(log);
  CHECK(!rows.empty(), kInput, "content: no user has two interactions");
  double best = -std::numeric_limits<double>::infinity(), half_life = 1, scale = 1;
  for (const double each : kHalfLives) {
    const std::vector<double> found = log_likelihoods(log.item_embeddings, each, rows);
    const auto top = std::max_element(found.begin(), found.end());
    if (*top <= best) continue;
    best = *top;
    half_life = each;
    scale = kScales[top - found.begin()];
  }
  log_info(
      "content: half-life {} entries, scale {} (the latest {} interactions; log-probability "
      "{:.3f}, {:.3f} at random)",
      half_life, scale, rows.size(), best, -std::log(static_cast<double>(log.num_items)));
  return std::make_unique<Content>(log.item_embeddings, half_life, scale);
}

std::unique_ptr<Recommender> load_content(const fs::path& folder) {
  const RecommenderFile file(folder);
  const double half_life = file.positive("half_life_entries"), scale = file.positive("scale");
  return std::make_unique<Content>(file.matrix("embeddings"), half_life, scale);
}

}  // namespace

const RecommenderType kContent = {
    .name = "content",
    .summary = "items whose titles are like the last ones', with --embeddings",
    .needs_embeddings = true,
    .configure = [](const OptionValues&) { return OrderedJson(OrderedJson::object()); },
    .count = fit_content,
    .load = load_content,
};

}  // namespace etrlrec
