#include "eval/trend.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "data/calendar.h"
#include "eval/calibration.h"
#include "eval/metrics.h"
#include "eval/mix.h"

namespace etrlrec {
namespace {

constexpr double kHalfLives[] = {3, 7, 15, 30, 60, 120, 365};  // days
constexpr double kPseudoCounts[] = {0.01, 0.03, 0.1, 0.3, 1, 3};
constexpr double kPowers[] = {0.2, 0.35, 0.5, 0.7};
// Standard errors that a gain must exceed, since dozens of options are tried: over no trend, and
// that of a power below 1 over the best one with power 1.
constexpr double kErrors = 3, kPowerErrors = 2;

std::vector<double> gains(const Predictions& predictions) {
  std::vector<double> values;
  for (const Prediction& row : predictions.rows) values.push_back(ndcg_at(row.rank, 10));
  return values;
}

// Mean of b - a in its standard errors, and the mean itself.
std::pair<double, double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double sum = 0, squares = 0;
  for (size_t r = 0; r < a.size(); ++r) {
    sum += b[r] - a[r];
    squares += (b[r] - a[r]) * (b[r] - a[r]);
  }
  const double mean = sum / n;
  const double error = std::sqrt(std::max(0.0, squares / n - mean * mean) / n);
  return {error > 0 ? mean / error : 0, mean};
}

}  // namespace

OrderedJson to_json(const TrendOptions& options) {
  return {{"half_life_days", options.half_life_days},
          {"pseudo_count", options.pseudo_count},
          {"power", options.power},
          {"temperature", options.temperature}};
}

Trend::Trend(const Dataset& dataset, const std::vector<bool>& is_learned,
             const TrendOptions& options)
    : options_(options),
      title_(canonical_items(dataset.catalogue)),
      begin_(title_.size() + 1, 0),
      events_(dataset.items.size()) {
  const auto title_of = [&](size_t i) {
    return static_cast<size_t>(title_[static_cast<size_t>(dataset.items[i])]);
  };
  for (size_t i = 0; i < events_.size(); ++i) ++begin_[title_of(i) + 1];
  for (size_t title = 0; title + 1 < begin_.size(); ++title) begin_[title + 1] += begin_[title];
  std::vector<size_t> next = begin_;
  for (size_t i = 0; i < events_.size(); ++i)
    events_[next[title_of(i)]++] = {dataset.times[i], is_learned[i]};
  for (size_t title = 0; title + 1 < begin_.size(); ++title)
    std::stable_sort(events_.begin() + static_cast<int64_t>(begin_[title]),
                     events_.begin() + static_cast<int64_t>(begin_[title + 1]),
                     [](const Event& a, const Event& b) { return a.time < b.time; });
  check();
  count();
}

void Trend::set_options(const TrendOptions& options) {
  const bool is_counted = options.half_life_days == options_.half_life_days;
  options_ = options;
  check();
  if (!is_counted) count();
}

void Trend::check() const {
  CHECK(options_.half_life_days > 0 && options_.pseudo_count > 0 && options_.power > 0 &&
            options_.temperature > 0,
        kUsage,
        "trend: expected half-life, pseudo count, power and temperature above 0, found {}, {}, {} "
        "and {}",
        options_.half_life_days, options_.pseudo_count, options_.power, options_.temperature);
}

void Trend::count() {
  for (size_t title = 0; title + 1 < begin_.size(); ++title) {
    const Event* before = nullptr;
    for (size_t i = begin_[title]; i < begin_[title + 1]; ++i) {
      Event& event = events_[i];
      event.all = 1;
      event.learned = event.is_learned ? 1 : 0;
      if (before != nullptr) {
        const double kept = half_life_share(event.time - before->time, options_.half_life_days);
        event.all += before->all * kept;
        event.learned += before->learned * kept;
      }
      before = &event;
    }
  }
}

double Trend::log_factor(int32_t item, int64_t now) const {
  const auto title = static_cast<size_t>(title_[static_cast<size_t>(item)]);
  const auto first = events_.begin() + static_cast<int64_t>(begin_[title]),
             last = events_.begin() + static_cast<int64_t>(begin_[title + 1]);
  const auto later = std::lower_bound(
      first, last, now, [](const Event& event, int64_t time) { return event.time < time; });
  double all = options_.pseudo_count, learned = options_.pseudo_count;
  if (later != first) {
    const Event& event = *(later - 1);
    const double kept = half_life_share(now - event.time, options_.half_life_days);
    all += event.all * kept;
    learned += event.learned * kept;
  }
  return std::log(all) - options_.power * std::log(learned);
}

Predictions with_trend(const Predictions& predictions, std::span<const Request> requests,
                       const Trend& trend) {
  CHECK(predictions.rows.size() == requests.size(), kInput,
        "trend: expected as many requests as rows, found {} and {}", requests.size(),
        predictions.rows.size());
  Predictions result = predictions;
  for (size_t r = 0; r < result.rows.size(); ++r) {
    std::vector<double> logs = log_probabilities(result.rows[r], predictions.protocol);
    for (size_t k = 0; k < logs.size(); ++k)
      logs[k] =
          (trend.power() * logs[k] + trend.log_factor(requests[r].candidates[k], requests[r].now)) /
          trend.temperature();
    set_ranking(result.rows[r], softmax(std::move(logs)));
  }
  result.protocol += kTrendSuffix;
  return result;
}

AskCatalogue with_trend(AskCatalogue ask, const FullRows& rows, const Trend& trend) {
  return [ask = std::move(ask), &rows, &trend](int64_t begin, int64_t end) {
    Predictions asked = ask(begin, end);
    for (int64_t row = begin; row < end; ++row) {
      std::vector<float>& scores = asked.rows[static_cast<size_t>(row - begin)].scores;
      const int64_t now = rows.tasks[static_cast<size_t>(row)].history.now;
      for (size_t item = 0; item < scores.size(); ++item)
        scores[item] = static_cast<float>(trend.power() * static_cast<double>(scores[item]) +
                                          trend.log_factor(static_cast<int32_t>(item), now));
    }
    asked.protocol += kTrendSuffix;
    return asked;
  };
}

std::optional<TrendOptions> choose_trend(Trend& trend, std::span<const Request> requests,
                                         const Predictions& predictions) {
  std::vector<double> best_gains = gains(predictions);
  std::optional<TrendOptions> best;
  // The best option with such powers, where it exceeds what there is by so many standard errors.
  const auto improve = [&](std::span<const double> powers, double errors_asked) {
    const std::vector<double> before = best_gains;
    double most = 0;
    const auto consider = [&](const TrendOptions& options) {
      trend.set_options(options);
      std::vector<double> found = gains(with_trend(predictions, requests, trend));
      const auto [errors, mean] = difference(before, found);
      if (errors <= errors_asked || mean <= most) return;
      most = mean;
      best = options;
      best_gains = std::move(found);
    };
    for (const double half_life : kHalfLives)
      for (const double pseudo_count : kPseudoCounts)
        for (const double power : powers) consider({half_life, pseudo_count, power});
  };
  constexpr double kWhole[] = {1};
  improve(kWhole, kErrors);
  improve(kPowers, best ? kPowerErrors : kErrors);
  if (!best) return best;
  trend.set_options(*best);
  const Predictions corrected = with_trend(predictions, requests, trend);
  best->temperature = fit_temperature(answer_probabilities(corrected).value());
  trend.set_options(*best);
  return best;
}

}  // namespace etrlrec
