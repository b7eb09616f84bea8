// Exact next-item probabilities of the synthetic world, hence the Bayes-optimal ranking as an upper
// bound. They are a forward filter over the latent long-term genre, written as distributions and
// independently of the draws in synthetic.cc; the tests hold the two against each other.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/synthetic.h"

namespace etrlrec {

// p(next item | observable history, now), [N], sums to 1; exact forward filter over the latent
// long-term genre. The history must be the user's whole one (a shortened one gives the wrong
// posterior); one that the world cannot have produced is refused (kInput).
std::vector<double> next_item_probabilities(const World& world, std::span<const int32_t> items,
                                            std::span<const int64_t> times, int64_t now);

}  // namespace etrlrec
