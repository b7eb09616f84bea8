// Items that nobody has chosen in what a model has read. A language model knows nothing about them,
// so their spelled titles are far less likely than any title it has read; yet in a log that goes on
// they are chosen more and more often. Their share is taken from a rate instead, and each of them
// gets an equal part: the chance of an unseen species in the sense of Good (1953), with time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "models/recommender.h"

namespace etrlrec {

// New items are chosen more often the longer the reading is over: in a share
// at_once + per_day * min(days since `since`, most_days) of the events, at most kMostNewShare; none
// before that time.
struct NewItemRate {
  double at_once = 0, per_day = 0;
  int64_t since = 0;     // unix seconds: of the last event that was read
  double most_days = 0;  // between it and the latest row that the rate comes from: no extrapolation
  bool operator==(const NewItemRate&) const = default;
};
inline constexpr double kMostNewShare = 0.5;

// What to do about them.
struct NewItems {
  NewItemRate rate;
  std::vector<bool> is_new;  // [N] neither the item nor one of the same title was read
  int64_t count = 0;         // of distinct titles

  double share(int64_t now) const;
  // Probabilities of the candidates among all items: those of read items shrink to what the share
  // leaves, every new title gets an equal part of it; then they are normalised among the
  // candidates. `logprobs`: log p(title) among all texts, [n]. Result: [n], summing to 1.
  std::vector<double> probabilities(std::span<const int32_t> candidates,
                                    std::span<const double> logprobs, int64_t now) const;
  // The same for log-probabilities of all items, [N], in place.
  void apply(std::span<float> logprobs, int64_t now) const;

 private:
  // log p of an item that has `logprob` among all items.
  double shared(int32_t item, double logprob, double share_of_new) const;
};

// A recommender whose scores are log-probabilities of all items, with the share of new ones. The
// softmax of the wrapped one's scores are its probabilities. Null `items`: the recommender itself.
std::unique_ptr<Recommender> with_new_items(std::unique_ptr<Recommender> recommender,
                                            std::shared_ptr<const NewItems> items);

// `read`: [N] whether an item has an event in what was read.
NewItems new_items(const Catalogue& catalogue, const std::vector<bool>& read, NewItemRate rate);

// The line of least squares through the rows later than the reading (1: the target is new, else 0),
// which neither begins below 0 nor falls. None where no target is new or no row is later.
std::optional<NewItemRate> new_item_rate(std::span<const int32_t> targets,
                                         std::span<const int64_t> times,
                                         const std::vector<bool>& is_new, int64_t since);

}  // namespace etrlrec
