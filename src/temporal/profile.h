// Small measures of one history, from which both the statistics of a data set and the fact sheet of
// a request are built.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

// Weight of each entry in the long-term profile: entries after a pause (more than a week, up to a
// month) show the lasting taste and weigh 1; those that follow within a week, led by the one
// before, and those after a longer absence, led by the occasion, 1/4; the first, of which this is
// unknown, 1/2.
std::vector<double> visit_weights(std::span<const int64_t> times);
// Weight of each entry in the short-term profile: 1, 1/2, 1/4 for the last three, 0 before.
std::vector<double> recent_weights(size_t n);
// Attributes by summed weight, best first; equal ones by the later occurrence, then the smaller id.
// Of each field only those with at least 3/4 of its best weight.
std::vector<int32_t> leading_attributes(const Catalogue& catalogue, std::span<const int32_t> items,
                                        std::span<const double> weights);
// Leading attribute of a field among them, -1 none.
int32_t leader_of(std::span<const int32_t> leaders, const Catalogue& catalogue, int32_t field);
// Share of the later half's entries whose set of attributes no earlier entry has; -1 for fewer than
// four entries.
double novelty_share(const Catalogue& catalogue, std::span<const int32_t> items);

}  // namespace etrlrec
