// A decoder of 14 tokens with weights large enough that every token matters.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "models/decoder.h"
#include "tensor_difference.h"
#include "train/trainer.h"

namespace etrlrec {

inline std::unique_ptr<LanguageModel> tiny_model(const Numerics& numerics = {}) {
  LlmConfig config;
  config.vocab_size = 14;
  config.hidden_size = 16;
  config.num_hidden_layers = 2;
  config.num_attention_heads = config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.intermediate_size = 24;
  config.initializer_range = 0.3;
  return new_decoder(config, 7, numerics);
}

// Three rows, each in a pass of its own, give the loss and the gradient of one pass.
// make_objective(model, tokens_per_pass) gives the objective.
template <typename MakeObjective>
void expect_same_gradient_in_parts(const MakeObjective& make_objective, double tolerance) {
  const auto gradients = [&](int64_t tokens_per_pass) {
    const auto model = tiny_model();
    auto objective = make_objective(*model, tokens_per_pass);
    Rng rng(1, "unused");
    int parts = 1;
    const LossOutput output = objective.loss_in_parts(std::vector<int64_t>{0, 1, 2}, 0, rng,
                                                      [&parts](const at::Tensor& part) {
                                                        ++parts;
                                                        part.backward();
                                                      });
    output.loss.backward();
    EXPECT_EQ(parts, tokens_per_pass == 0 ? 1 : 3);
    std::map<std::string, at::Tensor> all;
    for (const auto& [name, tensor] : model->parameters()) all[name] = tensor.grad().clone();
    all["loss"] = output.loss.detach();
    return all;
  };
  const auto whole = gradients(0), split = gradients(2);
  for (const auto& [name, tensor] : whole)
    EXPECT_LT(largest_difference(tensor, split.at(name)), tolerance) << name;
}

}  // namespace etrlrec
