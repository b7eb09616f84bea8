#include "models/weights.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <set>

#include "base/check.h"
#include "base/json.h"
#include "nn/layers.h"
#include "nn/safetensors.h"
#include "tuning/adapters.h"

namespace etrlrec {
namespace {

void check_fit(const ParameterMap& target, const ParameterMap& source, const std::string& name) {
  std::string problems;  // all of them: one look at the file should be enough
  for (const auto& [key, tensor] : target) {
    if (is_adapter_parameter(key)) continue;
    const auto it = source.find(key);
    if (it == source.end())
      problems += fmt::format("\n  \"{}\" is missing", key);
    else if (it->second.sizes() != tensor.sizes())
      problems += fmt::format("\n  \"{}\": expected shape {}, found {}", key,
                              fmt::join(tensor.sizes().vec(), " x "),
                              fmt::join(it->second.sizes().vec(), " x "));
  }
  for (const auto& [key, tensor] : source) {
    const bool tied_copy = key == "lm_head.weight", derived = key.ends_with("rotary_emb.inv_freq");
    if (!target.contains(key) && !tied_copy && !derived)
      problems += fmt::format("\n  \"{}\" is not of this model", key);
  }
  CHECK(problems.empty(), kModel, "{}: tensors do not fit the configuration:{}", name, problems);
}

}  // namespace

ParameterMap describe_parameters(const ParameterGroups& groups) {
  ParameterMap parameters;
  for (const auto& group : groups)
    for (const auto& [name, shape] : group)
      parameters[name] = at::empty(shape, at::TensorOptions(at::kFloat).device(at::kMeta));
  return parameters;
}

ParameterMap allocate_parameters(const ParameterGroups& groups, Storage storage,
                                 const Numerics& numerics) {
  ParameterMap parameters;
  for (const auto& group : groups) {
    if (storage != Storage::kFloat && group[0].second.size() > 1) {
      for (const auto& [name, shape] : group)
        parameters[name] = at::zeros({1}, at::kFloat).expand(shape);
      continue;
    }
    std::vector<std::vector<int64_t>> shapes;
    for (const auto& [name, shape] : group) shapes.push_back(shape);
    std::vector<at::Tensor> tensors = allocate_packed(shapes, numerics);
    for (size_t i = 0; i < group.size(); ++i) {
      parameters[group[i].first] = tensors[i].requires_grad_(true);
    }
  }
  return parameters;
}

ParameterMap load_weights(const std::filesystem::path& folder) {
  const auto index = folder / "model.safetensors.index.json";
  if (!std::filesystem::exists(index)) return load_safetensors(folder / "model.safetensors", true);
  const std::string name = index.string();
  std::set<std::string> files;
  const Json map = get<Json>(read_json(index), "weight_map", name);
  CHECK(map.is_object(), kInput, "{}: weight_map: expected an object", name);
  for (const auto& [tensor, file] : map.items()) {
    CHECK(file.is_string(), kInput, "{}: weight_map: expected file names, found {}", name,
          file.dump());
    files.insert(file.get<std::string>());
  }
  ParameterMap tensors;
  for (const std::string& file : files) {
    CHECK(!file.empty() && file.find('/') == std::string::npos && file != "..", kInput,
          "{}: expected a file of the same folder, found \"{}\"", name, file);
    for (auto& [tensor, value] : load_safetensors(folder / file, true)) {
      CHECK(map.contains(tensor) && map[tensor] == file, kInput,
            "{}: \"{}\" holds tensor \"{}\", which the index does not place there", name, file,
            tensor);
      tensors[tensor] = value;
    }
  }
  for (const auto& [tensor, file] : map.items()) {
    CHECK(tensors.contains(tensor), kInput, "{}: tensor \"{}\" is in none of the files", name,
          tensor);
  }
  return tensors;
}

void assign_parameters(ParameterMap& target, const ParameterMap& source, const std::string& name) {
  const at::NoGradGuard no_grad;
  check_fit(target, source, name);
  for (auto& [key, tensor] : target)
    if (!is_adapter_parameter(key)) tensor.copy_(source.at(key));
}

void store_parameters(ParameterMap& target, const ParameterMap& source, Storage storage,
                      const std::string& name) {
  const at::NoGradGuard no_grad;
  check_fit(target, source, name);
  for (auto& [key, tensor] : target) {
    const at::Tensor& found = source.at(key);
    if (found.dim() < 2) {
      tensor.copy_(found).requires_grad_(false);
    } else if (storage == Storage::kBFloat16) {
      tensor = found.to(at::kBFloat16).contiguous();
      if (found.scalar_type() != at::kBFloat16) release_pages(found);
    } else {
      tensor = quantized(found);
      release_pages(found);
    }
  }
}

void save_parameters(const ParameterMap& parameters, const std::filesystem::path& folder) {
  ParameterMap weights;
  for (const auto& [name, tensor] : parameters) {
    if (is_adapter_parameter(name)) continue;
    weights[name] = is_int8(tensor) ? widened(tensor) : tensor;
  }
  save_safetensors(weights, folder / "model.safetensors");
}

}  // namespace etrlrec
