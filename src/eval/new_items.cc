#include "eval/new_items.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/calendar.h"
#include "eval/mix.h"

namespace etrlrec {
namespace {

double days_between(int64_t since, int64_t now) {
  return std::max(0.0, static_cast<double>(now - since) / static_cast<double>(kSecondsPerDay));
}

}  // namespace

double NewItems::share(int64_t now) const {
  const double days = days_between(rate.since, now);
  if (count == 0 || days == 0) return 0;
  return std::min(rate.at_once + rate.per_day * std::min(days, rate.most_days), kMostNewShare);
}

std::vector<double> NewItems::probabilities(std::span<const int32_t> candidates,
                                            std::span<const double> logprobs, int64_t now) const {
  const double share_of_new = share(now);
  std::vector<double> logs;
  for (size_t k = 0; k < candidates.size(); ++k)
    logs.push_back(shared(candidates[k], logprobs[k], share_of_new));
  return softmax(std::move(logs));
}

double NewItems::shared(int32_t item, double logprob, double share_of_new) const {
  const bool is_unread = is_new[static_cast<size_t>(item)] && share_of_new > 0;
  return is_unread ? std::log(share_of_new / static_cast<double>(count))
                   : std::log1p(-share_of_new) + logprob;
}

void NewItems::apply(std::span<float> logprobs, int64_t now) const {
  const double share_of_new = share(now);
  for (size_t item = 0; item < logprobs.size(); ++item)
    logprobs[item] =
        static_cast<float>(shared(static_cast<int32_t>(item), logprobs[item], share_of_new));
}

namespace {

class RecommenderWithNewItems : public Recommender {
 public:
  RecommenderWithNewItems(std::unique_ptr<Recommender> recommender,
                          std::shared_ptr<const NewItems> items)
      : recommender_(std::move(recommender)), items_(std::move(items)) {
    set_numerics(recommender_->numerics());
  }
  std::string name() const override { return recommender_->name(); }
  int64_t num_items() const override { return recommender_->num_items(); }
  at::Tensor score(std::span<const HistoryView> histories) const override {
    const at::Tensor logprobs =
        recommender_->score(histories).to(at::kFloat).log_softmax(-1).contiguous();
    for (size_t row = 0; row < histories.size(); ++row)
      items_->apply(std::span(logprobs.mutable_data_ptr<float>() +
                                  static_cast<int64_t>(row) * logprobs.size(1),
                              static_cast<size_t>(logprobs.size(1))),
                    histories[row].now);
    return logprobs;
  }
  void save(const std::filesystem::path& folder) const override { recommender_->save(folder); }

 private:
  std::unique_ptr<Recommender> recommender_;
  std::shared_ptr<const NewItems> items_;
};

}  // namespace

std::unique_ptr<Recommender> with_new_items(std::unique_ptr<Recommender> recommender,
                                            std::shared_ptr<const NewItems> items) {
  if (items == nullptr) return recommender;
  return std::make_unique<RecommenderWithNewItems>(std::move(recommender), std::move(items));
}

NewItems new_items(const Catalogue& catalogue, const std::vector<bool>& read, NewItemRate rate) {
  const std::vector<int32_t> canonical = canonical_items(catalogue);
  std::vector<bool> title_read(canonical.size(), false);
  for (size_t item = 0; item < canonical.size(); ++item)
    if (read[item]) title_read[static_cast<size_t>(canonical[item])] = true;
  NewItems result{rate, {}, 0};
  for (size_t item = 0; item < canonical.size(); ++item) {
    const auto first = static_cast<size_t>(canonical[item]);
    result.is_new.push_back(!title_read[first]);
    result.count += first == item && !title_read[first];
  }
  return result;
}

std::optional<NewItemRate> new_item_rate(std::span<const int32_t> targets,
                                         std::span<const int64_t> times,
                                         const std::vector<bool>& is_new, int64_t since) {
  double rows = 0, days = 0, squares = 0, chosen = 0, chosen_days = 0, most = 0;
  for (size_t r = 0; r < targets.size(); ++r) {
    const double age = days_between(since, times[r]);
    if (age == 0) continue;
    const bool is_chosen = is_new[static_cast<size_t>(targets[r])];
    rows += 1;
    days += age;
    squares += age * age;
    chosen += is_chosen;
    chosen_days += is_chosen * age;
    most = std::max(most, age);
  }
  if (chosen == 0) return std::nullopt;
  const double spread = rows * squares - days * days;
  NewItemRate rate{chosen / rows, 0, since, most};
  if (spread > 0) rate.per_day = std::max(0.0, (rows * chosen_days - days * chosen) / spread);
  rate.at_once = (chosen - rate.per_day * days) / rows;
  if (rate.at_once < 0) rate = {0, chosen_days / squares, since, most};
  return rate;
}

}  // namespace etrlrec
