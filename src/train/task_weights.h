// Weights of several tasks that are trained at once (method.md B.4): all alike, by the norms of
// their gradients as DELRec's program does, or by what a step on each gains on the main task
// (HydaLearn, Verboven et al. 2020, arXiv 2008.11643). Pure functions; every result sums to one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

enum class TaskWeighting : int8_t { kEqual, kGradientNorm, kGain };
TaskWeighting task_weighting(std::string_view name);  // error (kUsage) lists the names
std::vector<std::string> task_weighting_names();      // equal | gradient-norm | gain

// 1 / n.
std::vector<double> equal_weights(size_t count);
// w_i ~ (1 / |g_i|)^(1/2). A task without a gradient has nothing to weigh and gets 0; without any
// gradient all weigh alike. Error (kNumbers) for a norm that is negative or not finite.
std::vector<double> gradient_norm_weights(std::span<const double> norms);
// w_i ~ max(d_i, 0) of d_i = L_m(θ) - L_m(θ - η g_i), by how much a step on task i lowers the main
// loss; all weigh alike where no step does. Error (kNumbers) for a gain that is not finite.
std::vector<double> gain_weights(std::span<const double> gains);

}  // namespace etrlrec
