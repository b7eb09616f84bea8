// The reward of a recommendation with reasoning: verified claims, a recommender's opinion, the
// label. Judges the text of each rollout once and gives the reward for every possible answer, so
// that the answer's expectation is exact.
#pragma once

#include <memory>
#include <vector>

#include "method/study.h"
#include "models/recommender.h"
#include "temporal/claim_weights.h"
#include "temporal/prompts.h"
#include "text/tokenizer.h"
#include "train/grpo.h"
#include "train/reward.h"

namespace etrlrec {

struct RewardSetup {
  RewardOptions reward;
  Curriculum curriculum;
  std::vector<double> fixed_weights;  // alpha, beta, gamma; empty: the curriculum
  bool rank_credit = true;
  PromptOptions prompt;
};

// Temperature of the calibrated recommender term on validation rows.
double calibrate_recommender(const Recommender& recommender, const Study& study, int64_t num_rows);

class RecommendationReward {
 public:
  // `set` and `study` outlive the object. Rollout ids are rows of `set`. The hit rate of
  // curriculum C4 is that of the rollouts at hand, so that nothing has to be remembered between
  // steps.
  RecommendationReward(RewardSetup setup, const Study& study, const CandidateSet& set,
                       const Recommender* recommender, ClaimWeights claim_weights,
                       const Tokenizer& tokenizer);
  std::vector<ScoredCompletion> operator()(std::span<const Rollout> rollouts, int64_t step) const;
  RewardWeights weights(int64_t step, double hit_rate) const;

 private:
  struct RowContext;
  std::vector<RowContext> prepare(std::span<const Rollout> rollouts,
                                  std::vector<size_t>& row_of_rollout) const;
  ScoredCompletion score(const Rollout& rollout, const RowContext& row,
                         const RewardWeights& weights) const;

  RewardSetup setup_;
  const Study& study_;
  const CandidateSet& set_;
  const Recommender* recommender_;
  ClaimWeights claim_weights_;
  const Tokenizer& tokenizer_;
};

}  // namespace etrlrec
