// Orders of the candidates in a prompt (method.md G.7): a model that answers by number may prefer
// places, so its probabilities are averaged over several orders.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "temporal/style.h"

namespace etrlrec {

// The stored slot of what stands at each place, [n]. Order 0 is the stored one; the others are
// drawn uniformly from the stream of (seed, row, order).
std::vector<int32_t> candidate_order(int32_t n, uint64_t seed, int64_t row, int64_t order);
// The request with its candidates, and the slot of the target, in this order.
Request in_order(const Request& request, std::span<const int32_t> order);
// Error (kUsage) for more than one order of candidates that prompts neither number nor list.
void check_orders(const PromptOptions& prompt, int64_t permutations);

}  // namespace etrlrec
