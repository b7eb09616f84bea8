// What is taken from a request before a model sees it (method.md G.9). Each ablation
// keeps the form of the input, so that what it measures is the loss of the information and not the
// surprise of an unknown text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

//   none             the request as it is
//   shuffle-history  the entries after the first in random order, each with the gap before it; the
//                    first entry, whose gap is not shown, and the request time stay
//   permute-gaps     the gaps between entries and to the request in random order; items and request
//                    time stay
//   shift-season     all times moved together by 0 to 3 quarters of a year; order and gaps stay
// Error (kUsage) for another name. Deterministic in (seed, row).
std::vector<Request> ablate_requests(std::span<const Request> requests, const std::string& name,
                                     uint64_t seed);

}  // namespace etrlrec
