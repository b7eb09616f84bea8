// What `reinforce --method` and `--algorithm` stand for (method.md A.6, D, G.8): the settings of
// ETRLRec as it is described, and of policy-gradient algorithms under their own names.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "method/reinforce.h"

namespace etrlrec {

using Settings = std::vector<std::pair<std::string, std::string>>;  // option and value
using IsGiven = std::function<bool(const std::string& flag)>;

// grpo, dr-grpo, dapo, gspo, rloo, cispo, gdpo.
std::vector<std::string> algorithm_names();

// Sets what the algorithm says about loss, ratio, clipping, advantage, divergence and dynamic
// sampling and `is_given(flag)` does not claim; returns what it set. Error (kUsage) for a name that
// is not known.
Settings apply_algorithm(const std::string& name, const IsGiven& is_given,
                         ReinforceOptions& options);
// The same for "faithful": reward, curriculum, algorithm, sampling and schedule of ETRLRec. "ours"
// is what the options are without it, and sets nothing.
Settings apply_method(const std::string& name, const IsGiven& is_given, ReinforceOptions& options);

// "--loss-type grpo --beta 0.04".
std::string format_settings(const Settings& settings);

}  // namespace etrlrec
