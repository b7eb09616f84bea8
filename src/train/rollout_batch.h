// Prompts, their completions and what these have earned. Knows tokens and rewards, neither texts
// nor items.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace etrlrec {

struct GrpoRow {
  std::vector<int64_t> prompt;
  std::vector<std::vector<int64_t>> answers;  // all different; empty: free text
  int32_t target = -1;                        // index into answers, -1 unknown
  int64_t id = 0;                             // for the reward function
};

struct Rollout {
  int64_t id = 0;          // of the row
  int64_t completion = 0;  // 0 .. G - 1
  const Completion* output = nullptr;
};

// A term of a reward, as an advantage of components takes it.
struct RewardComponent {
  double weight = 1;
  std::vector<double> by_answer;  // as reward_by_answer; free text: one value
};

struct ScoredCompletion {
  std::vector<double>
      reward_by_answer;  // [answers] reward if that answer were given; empty in free text
  double reward = 0;     // free text only
  // Their weighted sum is the reward; every completion of a batch has the same ones. May be empty.
  std::vector<RewardComponent> components;
  std::map<std::string, double> parts;  // of the answer as sampled, for logs: rewards/<name>/mean
  std::string invalid;  // reason why the completion does not count, empty when valid
};
// Groups of completions, G for each row, in the order of the rows.
struct RolloutBatch {
  std::vector<const GrpoRow*> rows;
  std::vector<Completion> completions;  // [rows * G]
  std::vector<Rollout> rollouts;
  std::vector<ScoredCompletion> scored;
  std::vector<double> rewards;  // as sampled
};

}  // namespace etrlrec
