// What is chosen now. A model knows how often items were chosen in what it has learned from; the
// log goes on, and at the time of a request everybody's events before it are known. What a model
// says about a user is how much likelier an item is for them than for everybody, p / learned; that
// lift, to a power, times what everybody chooses now is the corrected probability. With power 1 it
// is the correction of a prior that has shifted (Saerens et al. 2002), with counts that are
// forgotten; below 1 the model is trusted less than it trusts itself.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "eval/full_ranking.h"
#include "eval/predictions.h"
#include "temporal/facts.h"

namespace etrlrec {

struct TrendOptions {
  double half_life_days = 30;  // an event counts half after so many days
  double pseudo_count = 1;     // added to both counts
  double power = 1;            // of the lift, above 0
  double temperature = 1;      // of what comes out, among candidates (eval/calibration.h)
  bool operator==(const TrendOptions&) const = default;
};
nlohmann::ordered_json to_json(const TrendOptions& options);

// Items of equal titles (canonical_items) count as one.
class Trend {
 public:
  // `is_learned`: [interactions] whether the model has learned from an event of the data set.
  Trend(const Dataset& dataset, const std::vector<bool>& is_learned,
        const TrendOptions& options = {});
  // log(all + c) - power log(learned + c), c the pseudo count: decayed counts of the item's events
  // strictly before `now`, of all and of those that the model has learned from.
  double log_factor(int32_t item, int64_t now) const;

  // Counts again where the half-life is another one, without another look at the data set.
  void set_options(const TrendOptions& options);
  double temperature() const { return options_.temperature; }
  double power() const { return options_.power; }

 private:
  struct Event {
    int64_t time = 0;
    bool is_learned = false;
    double all = 0, learned = 0;  // decayed counts right after it
  };
  void check() const;
  void count();
  TrendOptions options_;
  std::vector<int32_t> title_;  // [N] of each item
  std::vector<size_t> begin_;   // [N + 1] events of each title
  std::vector<Event> events_;   // by title, then time
};

// Predictions whose scores are probabilities, to the trend's power, times its factors, at its
// temperature and normalised among the candidates; the protocol gets "+trend". `requests`: of the
// rows, in order. Errors as for mix_predictions.
Predictions with_trend(const Predictions& predictions, std::span<const Request> requests,
                       const Trend& trend);
// The same for log-probabilities of all items, at temperature 1.
AskCatalogue with_trend(AskCatalogue ask, const FullRows& rows, const Trend& trend);

// The options whose ndcg@10 on these rows is best, with the temperature that makes their targets
// most likely; `trend` has them then. None where it is not above that without a trend by three
// standard errors; a power other than 1 only where that is better by two. For validation rows.
std::optional<TrendOptions> choose_trend(Trend& trend, std::span<const Request> requests,
                                         const Predictions& predictions);

}  // namespace etrlrec
