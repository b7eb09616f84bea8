// Modules are plain structs of tensors under Hugging Face names; this ordered name -> tensor map is
// all that loading, saving, adapters and optimisers need.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>

namespace etrlrec {

using ParameterMap = std::map<std::string, at::Tensor>;

}  // namespace etrlrec
