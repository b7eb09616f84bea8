#include "tuning/trained_tensors.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "base/check.h"

namespace etrlrec {

TrainedTensors::TrainedTensors(const ParameterMap& parameters,
                               const std::function<bool(const std::string&)>& is_meant) {
  for (const auto& [name, tensor] : parameters) {
    const bool meant = is_meant(name);
    CHECK(tensor.requires_grad() == meant, kFailure, "training: \"{}\" {} change, but {}", name,
          meant ? "is to" : "must not", meant ? "it is frozen" : "it is trained");
    if (!meant) continue;
    names_.push_back(name);
    tensors_.push_back(tensor);
    before_.push_back(tensor.detach().clone());
  }
  CHECK(!names_.empty(), kFailure, "training: expected a tensor that is trained, found none");
}

void TrainedTensors::check_moved() const {
  for (size_t t = 0; t < tensors_.size(); ++t)
    if (!at::equal(tensors_[t].detach(), before_[t])) return;
  fail(ExitCode::kFailure, "training: nothing has changed in {}", fmt::join(names_, ", "));
}

}  // namespace etrlrec
