// Golden batches of decoders: padded rows as roots of a token forest.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/io.h"
#include "golden_path.h"
#include "models/decoder.h"
#include "nn/logprob.h"
#include "tensor_difference.h"

namespace etrlrec {

inline const std::filesystem::path kGolden = golden_path();

// The unpadded rows of a golden batch as roots, each behind the tokens of `front`, and what belongs
// to their tokens.
struct GoldenBatch {
  GoldenBatch(const ParameterMap& golden, const std::string& prefix,
              const std::vector<int64_t>& front = {}) {
    const auto lead = static_cast<int64_t>(front.size());
    const at::Tensor ids = golden.at(prefix + "input_ids"),
                     mask = golden.at(prefix + "attention_mask"),
                     labels = golden.at(prefix + "labels");
    for (int64_t row = 0; row < ids.size(0); ++row) {
      const int64_t length = mask[row].sum().item<int64_t>();
      const int64_t* tokens = ids[row].const_data_ptr<int64_t>();
      std::vector<int64_t> all = front;
      all.insert(all.end(), tokens, tokens + length);
      forest.add(-1, all);
      logits.push_back(golden.at(prefix + "logits")[row].narrow(0, 0, lead + length));
      for (int64_t t = 1; t < length; ++t) {
        const int64_t label = labels[row][t].item<int64_t>();
        if (label == -100) continue;
        predicting.push_back(forest.segments.back().begin + lead + t - 1);
        targets.push_back(label);
      }
    }
  }
  at::Tensor expected_logits() const { return at::cat(logits, 0); }
  at::Tensor loss(const LanguageModel& model) const {
    const at::Tensor rows = model.hidden_states_at(forest, predicting);
    const int64_t n = static_cast<int64_t>(targets.size());
    return linear_nll(rows, model.head_weight(), at::tensor(targets, at::kLong),
                      at::full({n}, 1.0f / n));
  }
  TokenForest forest;
  std::vector<at::Tensor> logits;
  std::vector<int64_t> predicting, targets;
};

inline at::Tensor logits_of(const LanguageModel& model, const TokenForest& forest) {
  const at::NoGradGuard no_grad;
  return at::mm(model.hidden_states(forest), model.head_weight().t());
}

}  // namespace etrlrec
