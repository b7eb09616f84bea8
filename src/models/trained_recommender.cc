#include "models/trained_recommender.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "nn/safetensors.h"

namespace etrlrec {

using at::Tensor;

Tensor random_normal(at::IntArrayRef shape, double deviation, Rng& rng) {
  Tensor values = at::empty(shape);
  float* data = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i)
    data[i] = static_cast<float>(deviation * rng.normal());
  return values;
}

Tensor score_by_last_state(const TrainableRecommender& model,
                           std::span<const HistoryView> histories) {
  const at::NoGradGuard no_grad;
  const auto batch = static_cast<int64_t>(histories.size());
  TokenForest forest;
  std::vector<int64_t> last_tokens, rows;
  for (int64_t row = 0; row < batch; ++row) {
    const auto items = histories[static_cast<size_t>(row)].items;
    if (items.empty()) continue;
    const size_t length = std::min(items.size(), static_cast<size_t>(model.max_length()));
    const std::vector<int64_t> recent(items.end() - static_cast<int64_t>(length), items.end());
    forest.add(-1, recent);
    last_tokens.push_back(forest.num_tokens() - 1);
    rows.push_back(row);
  }
  if (rows.empty()) return at::zeros({batch, model.num_items()});
  const Tensor states = model.hidden_states(forest).index_select(0, at::tensor(last_tokens));
  const Tensor scores = at::mm(states, model.item_weight().t());  // [rows, N]
  if (static_cast<int64_t>(rows.size()) == batch) return scores;
  return at::zeros({batch, model.num_items()}).index_copy_(0, at::tensor(rows), scores);
}

void load_parameters(const std::filesystem::path& folder, ParameterMap& parameters) {
  const std::string file = (folder / "model.safetensors").string();
  const ParameterMap saved = load_safetensors(file);
  CHECK(saved.size() == parameters.size(), kModel, "{}: expected {} tensors, found {}", file,
        parameters.size(), saved.size());
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : parameters) {
    const auto found = saved.find(name);
    CHECK(found != saved.end() && found->second.sizes() == tensor.sizes(), kModel,
          "{}: tensor \"{}\" is missing or does not fit config.json", file, name);
    tensor.copy_(found->second);
  }
}

}  // namespace etrlrec
