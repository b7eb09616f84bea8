// The reward of a recommendation with reasoning (method.md G.3): verified claims, a recommender's
// opinion, the label, what the reasoning is worth to a frozen reader. Each rollout's text is judged
// once; the result is the reward for every possible answer, so that the expectation over answers is
// exact (G.6).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "method/judge.h"
#include "method/row.h"
#include "models/recommender.h"
#include "temporal/claim_weights.h"
#include "temporal/guidance.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "train/frozen_reader.h"
#include "train/grpo.h"
#include "train/reward.h"

namespace etrlrec {

struct RewardSetup {
  RewardOptions reward;
  Curriculum curriculum;
  std::vector<double> fixed_weights;  // alpha, beta, gamma; empty: the curriculum
  bool rank_credit = true;
  // What a judge is told, if one is asked.
  JudgeOptions judge{};
  uint64_t seed = 0;  // of the wording of its questions
  // Near misses are items like the target: by these vectors of length 1, float [items, C], or,
  // where there are none, by the attributes.
  at::Tensor item_embeddings{};
  ChatFrame frame{};  // around prompts, as a frozen reader sees them
};

// The temperature at which the recommender's softmax over candidates is calibrated, measured on
// validation rows that are spread over the whole file.
double calibrate_recommender(const Recommender& recommender, const Study& study, int64_t num_rows);

class RecommendationReward {
 public:
  // `rows`, `recommender` (null: its weight is 0), `tokenizer`, `judge` (null: nobody judges) and
  // `reader` (null: nobody says how useful a reasoning is) outlive the object. Rollout ids are rows
  // of `rows`. The hit rate of curriculum C4 is that of the rollouts at hand, so that
  // nothing has to be remembered between steps.
  RecommendationReward(RewardSetup setup, const RowSource& rows, const Recommender* recommender,
                       ClaimWeights claim_weights, const Tokenizer& tokenizer,
                       Judge* judge = nullptr, const FrozenReader* reader = nullptr);
  ~RecommendationReward();
  // One call at a time. Views of rows are kept between calls, so that facts of a row that comes
  // back are not computed again; the results depend on the arguments only.
  std::vector<ScoredCompletion> operator()(std::span<const Rollout> rollouts, int64_t step) const;
  RewardWeights weights(int64_t step, double hit_rate) const;

 private:
  struct RowContext;
  struct Reading;
  std::vector<RowContext> prepare(std::span<const Rollout> rollouts,
                                  std::vector<size_t>& row_of_rollout) const;
  std::vector<Reading> read(std::span<const Rollout> rollouts, std::span<const RowContext> rows,
                            std::span<const size_t> row_of_rollout) const;
  void ask_judge(std::span<Reading> readings) const;
  void ask_reader(std::span<Reading> readings, std::span<const RowContext> rows) const;
  ScoredCompletion score(const Reading& reading, const RewardWeights& weights) const;

  RewardSetup setup_;
  const RowSource& rows_;
  const Recommender* recommender_;
  ClaimWeights claim_weights_;
  const Tokenizer& tokenizer_;
  Judge* judge_;
  GuidanceTexts judge_texts_;  // of judge_
  const FrozenReader* reader_;
  mutable std::unordered_map<int64_t, RowView> views_;
};

}  // namespace etrlrec
