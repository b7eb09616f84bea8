// A trained recommender beside the golden numbers of a reference implementation
// (../shared/golden/seqrec), and what holds for dropout of all of them.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/json.h"
#include "models/recommender.h"
#include "models/recommender_loss.h"
#include "nn/safetensors.h"

namespace etrlrec {

inline std::filesystem::path recommender_golden(const std::string& name) {
  return std::filesystem::path(ETRLREC_SOURCE_DIR) / "../shared/golden/seqrec" / name;
}

// With the weights of `folder` the model has its features, logits, cross-entropy and gradients, all
// to 1e-5. `theirs`: what the folder calls a parameter; at least `fewest` gradients are compared.
inline void expect_recommender_golden(CausalRecommender& model, const std::filesystem::path& folder,
                                      const std::function<std::string(const std::string&)>& theirs,
                                      int64_t fewest) {
  using at::Tensor;
  const ParameterMap weights = load_safetensors(folder / "weights.safetensors"),
                     golden = load_safetensors(folder / "golden.safetensors");
  {
    const at::NoGradGuard no_grad;
    for (auto& [own, tensor] : model.parameters())
      tensor.copy_(weights.at(theirs(own)).reshape_as(tensor));
  }
  ItemSequences sequences;
  std::vector<int64_t> last;
  const Tensor rows = golden.at("sequence");
  for (int64_t r = 0; r < rows.size(0); ++r) {
    const Tensor row = rows[r].masked_select(rows[r] != 0).contiguous();
    const int64_t* ids = row.data_ptr<int64_t>();
    sequences.add(-1, std::vector<int64_t>(ids, ids + row.numel()));
    if (golden.contains("user")) sequences.users.push_back(golden.at("user")[r].item<int32_t>());
    last.push_back(sequences.num_tokens() - 1);
  }
  const Tensor states = model.hidden_states(sequences).index_select(0, at::tensor(last));
  EXPECT_LT((states - golden.at("features")).abs().max().item<double>(), 1e-5);
  Tensor logits = at::mm(states, model.item_weight().t());
  if (model.item_bias().defined()) logits = logits + model.item_bias();
  EXPECT_LT((logits - golden.at("logits")).abs().max().item<double>(), 1e-5);
  const Tensor loss = recommender_loss({.name = "ce"}, states, model.item_weight(),
                                       model.item_bias(), golden.at("positive"), {});
  EXPECT_NEAR(loss.item<double>(), read_json(folder / "golden.json")["losses"]["ce"].get<double>(),
              1e-5);
  loss.backward();
  int64_t compared = 0;
  for (auto& [own, tensor] : model.parameters()) {
    const auto expected = golden.find("grad.ce." + theirs(own));
    if (expected == golden.end()) continue;
    EXPECT_LT((tensor.grad() - expected->second.reshape_as(tensor)).abs().max().item<double>(),
              1e-5)
        << own;
    ++compared;
  }
  EXPECT_GE(compared, fewest);
}

// The same stream drops the same, another one something else.
inline void expect_dropout_by_stream(const CausalRecommender& model) {
  ItemSequences sequences;
  sequences.add(-1, std::vector<int64_t>{1, 2, 3});
  Rng a(7, "x"), b(7, "x"), c(8, "x");
  const at::Tensor first = model.hidden_states(sequences, &a);
  EXPECT_TRUE(at::equal(first, model.hidden_states(sequences, &b)));
  EXPECT_FALSE(at::equal(first, model.hidden_states(sequences, &c)));
}

}  // namespace etrlrec
