// What is taken from a request before a model sees it (method.md G.9). Each ablation
// keeps the form of the input, so that what it measures is the loss of the information and not the
// surprise of an unknown text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

//   none             the request as it is
//   shuffle-history  the entries after the first in random order, each with the gap before it; the
//                    first entry, whose gap is not shown, and the request time stay
//   permute-gaps     the gaps between entries and to the request in random order; items and request
//                    time stay
//   reverse-history  the time line runs backwards: the last entry comes first, and between two
//                    neighbours lies the gap that lay between them; the gap to the request and the
//                    request time stay
//   inflate-gaps     every gap, also that to the request, kGapInflation times as long, most of them
//                    one word longer (temporal/gaps.h); a gap of 0 and the request time stay
//   shift-season     all times moved together by 0 to 3 quarters of a year; order and gaps stay
//   remove-times     no gap and no date tells rows or entries apart: all requests are made at one
//                    time, the lower median of theirs, and all entries are chosen at that time, so
//                    that prompts say "tie" (natural: "At once") everywhere and name one quarter of
//                    the year. Items, order and lists of knowledge stay. PromptOptions::with_times
//                    would leave the words out, a form that the model has not learned
// The last two move the request time, so that nothing else may be read by it (moves_request_time).
// Error (kUsage) for another name. Deterministic in (seed, row).
inline constexpr int64_t kGapInflation = 4;
std::vector<std::string> ablation_names();  // "none" first
bool moves_request_time(std::string_view name);
std::vector<Request> ablate_requests(std::span<const Request> requests, std::string_view name,
                                     uint64_t seed);

}  // namespace etrlrec
