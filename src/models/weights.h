// Internal to models/: parameters of transformers between their configuration and their file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "nn/parameters.h"
#include "nn/weight.h"

namespace etrlrec {

// Names and shapes of parameters; a group is read by one product and lies together in memory.
using ParameterGroups = std::vector<std::vector<std::pair<std::string, std::vector<int64_t>>>>;

// Uninitialised trainable fp32 tensors. For another storage matrices are only shapes, to be
// replaced by what is loaded: they share one value and take no memory.
ParameterMap allocate_parameters(const ParameterGroups& groups, Storage storage = Storage::kFloat);

// Tensors of model.safetensors, or of the files that model.safetensors.index.json names; read-only
// views of the files. Errors (kInput) name the file and the tensor.
ParameterMap load_weights(const std::filesystem::path& folder);

}  // namespace etrlrec
