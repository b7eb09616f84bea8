// A tiny policy with two prompts, a reward for them, and the gradient of a loss as one vector.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/decoder.h"
#include "train/grpo.h"

namespace etrlrec {

inline constexpr int64_t kTinyClose = 1, kTinyFinish = 2, kTinyEos = 0;

inline std::unique_ptr<LanguageModel> grpo_model(int64_t layers = 1,
                                                 double initializer_range = 0.5) {
  LlmConfig config;
  config.vocab_size = 12;
  config.hidden_size = 8;
  config.num_hidden_layers = layers;
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.intermediate_size = 12;
  config.initializer_range = initializer_range;
  auto model = new_decoder(config, 11);
  for (auto& [name, tensor] : model->parameters()) tensor.set_requires_grad(true);
  return model;
}

inline GrpoOptions tiny_options() {
  GrpoOptions options;
  options.num_generations = 4;
  options.format.close = {kTinyClose};
  options.format.finish = {kTinyFinish, kTinyEos};
  options.format.max_reasoning_tokens = 3;
  options.policy.loss_type = "sum";
  return options;
}

inline std::vector<GrpoRow> tiny_rows() {
  return {{{3, 4, 5}, {{6}, {7}, {8}}, 1, 100}, {{9, 3}, {{6}, {7}, {8}}, 2, 200}};
}

// Depends on what was written and on the answer, so that both have something to learn.
inline std::vector<ScoredCompletion> toy_reward(std::span<const Rollout> rollouts, int64_t) {
  std::vector<ScoredCompletion> scored;
  for (const Rollout& rollout : rollouts) {
    ScoredCompletion s;
    double bonus = rollout.output->ids[0] == 9 ? 0.5 : 0;
    for (int k = 0; k < 3; ++k) s.reward_by_answer.push_back(k == 1 ? 1 + bonus : 0.2 * k - bonus);
    s.parts["label"] = rollout.output->answer == 1;
    scored.push_back(s);
  }
  return scored;
}

inline at::Tensor policy_gradient(LanguageModel& model, const at::Tensor& loss) {
  for (auto& [name, tensor] : model.parameters()) tensor.mutable_grad() = at::Tensor();
  loss.backward();
  std::vector<at::Tensor> parts;
  for (auto& [name, tensor] : model.parameters())
    if (tensor.requires_grad())
      parts.push_back(tensor.grad().defined() ? tensor.grad().flatten().clone()
                                              : at::zeros({tensor.numel()}));
  return at::cat(parts);
}

inline const std::vector<int64_t> kBoth{0, 1};

}  // namespace etrlrec
