// Parameters of transformers between their configuration and their files.
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

// Names of the files in a folder that its weights are read from, in Transformers' order:
// model.safetensors or, without one, model.safetensors.index.json and what it names. Errors:
// kInput; kModel for a folder with another format only, with the way to convert it.
std::vector<std::string> weight_files(const std::filesystem::path& folder);
// Tensors of these files, as read-only views. Errors (kInput) name the file and the tensor.
ParameterMap load_weights(const std::filesystem::path& folder);
// Whether two tensors have the same shape and values, whatever their types.
bool equal_values(const at::Tensor& a, const at::Tensor& b);

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
