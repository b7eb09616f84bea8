// Information weights as the judge uses them: bits of each row of the predicate table.
#pragma once

#include <vector>

#include "temporal/claims.h"

namespace etrlrec {

// w = min(kMaxBits, -log2 q) u for each predicate, in the order of predicate_table(); all 1 for
// empty weights. Errors (kInput): a predicate of the table is missing.
std::vector<double> predicate_bits(const ClaimWeights& weights);

}  // namespace etrlrec
