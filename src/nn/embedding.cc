#include "nn/embedding.h"

#include <ATen/ATen.h>

#include <vector>

#include "base/check.h"
#include "nn/weight.h"

namespace etrlrec {

at::Tensor embed_forest(const at::Tensor& embed_tokens, const at::Tensor& prompt_embeddings,
                        const TokenForest& forest, const TrainingNoise& noise,
                        const Numerics& numerics) {
  const int64_t vocab = embed_tokens.size(0), columns = embed_tokens.size(1);
  const int64_t known = vocab + (prompt_embeddings.defined() ? prompt_embeddings.size(0) : 0);
  std::vector<int64_t> ids = forest.ids, places, rows;  // places and rows of virtual tokens
  for (size_t t = 0; t < ids.size(); ++t) {
    CHECK(ids[t] >= 0 && ids[t] < known, kInput,
          "language model: expected token ids in [0, {}), found {}", known, ids[t]);
    if (ids[t] < vocab) continue;
    places.push_back(static_cast<int64_t>(t));
    rows.push_back(ids[t] - vocab);
    ids[t] = 0;
  }
  const auto index = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(embed_tokens.device());
  };
  at::Tensor x = weight_rows(embed_tokens, index(ids), numerics);
  if (noise.enabled && noise.neftune_noise_alpha > 0) {
    x = x + uniform_noise(x.size(0), columns, noise.seed, numerics) *
                neftune_magnitudes(forest, columns, noise.neftune_noise_alpha).to(x.device());
  }
  if (places.empty()) return x;
  return x.index_copy(0, index(places), prompt_embeddings.index_select(0, index(rows)));
}

}  // namespace etrlrec
