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

// Shapes without memory: fp32 tensors on the meta device.
ParameterMap describe_parameters(const ParameterGroups& groups);
// Uninitialised trainable fp32 tensors on the device of `numerics`. For another storage matrices
// are only shapes, to be replaced by what is loaded: they share one value and take no memory.
ParameterMap allocate_parameters(const ParameterGroups& groups, Storage storage = Storage::kFloat,
                                 const Numerics& numerics = {});

// Tensors of model.safetensors, or of the files that model.safetensors.index.json names; read-only
// views of the files. Errors (kInput) name the file and the tensor.
ParameterMap load_weights(const std::filesystem::path& folder);

// Copies the tensors of a file into the parameters of a model, adapters excepted. One error
// (kModel) lists all tensors that are missing, unknown or of another shape; then nothing is
// changed.
void assign_parameters(ParameterMap& target, const ParameterMap& source, const std::string& name);
// The same, frozen: matrices in their storage type, as views of the file where they have it
// already; copies of vectors.
void store_parameters(ParameterMap& target, const ParameterMap& source, Storage storage,
                      const std::string& name);
// model.safetensors of a folder; adapters and prompts are not included, int8 is widened.
void save_parameters(const ParameterMap& parameters, const std::filesystem::path& folder);

}  // namespace etrlrec
