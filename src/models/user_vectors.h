// Vectors of users, for recommenders whose scores depend on who asks.
#pragma once

#include <torch/types.h>

#include "models/recommender.h"

namespace etrlrec {

// The vector of the user of each token's sequence, 0 for an unknown user. weight [users, C];
// differentiable. [T, C]
// Error (kInput) for a user that the table does not have.
at::Tensor user_rows(const at::Tensor& weight, const ItemSequences& sequences);

}  // namespace etrlrec
