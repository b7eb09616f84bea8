#include "models/step_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>

namespace etrlrec {

ModelStamp::ModelStamp(uint64_t model, const ParameterMap& parameters, std::string adapter)
    : model_(model), adapter_(std::move(adapter)) {
  for (const auto& [name, tensor] : parameters) {
    tensors_.emplace_back(tensor.getIntrusivePtr());
    versions_.push_back(static_cast<int64_t>(tensor._version()));
  }
}

bool operator==(const ModelStamp& a, const ModelStamp& b) {
  return a.model_ == b.model_ && a.adapter_ == b.adapter_ && a.versions_ == b.versions_ &&
         std::equal(a.tensors_.begin(), a.tensors_.end(), b.tensors_.begin(), b.tensors_.end());
}

StepModel::StepModel() {
  static std::atomic<uint64_t> next{1};
  id_ = next++;
}

std::unique_ptr<KvCache> StepModel::prefill(const TokenForest& prompts,
                                            std::span<const int64_t> segment_of_row,
                                            int64_t capacity, at::Tensor& last_hidden) const {
  auto cache = new_cache(static_cast<int64_t>(segment_of_row.size()), capacity);
  admit(*cache, prompts, segment_of_row, last_hidden);
  return cache;
}

}  // namespace etrlrec
