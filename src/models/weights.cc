#include "models/weights.h"

#include <ATen/ATen.h>

#include <set>

#include "base/check.h"
#include "base/json.h"
#include "nn/layers.h"
#include "nn/safetensors.h"

namespace etrlrec {

ParameterMap allocate_parameters(const ParameterGroups& groups, Storage storage) {
  ParameterMap parameters;
  for (const auto& group : groups) {
    if (storage != Storage::kFloat && group[0].second.size() > 1) {
      for (const auto& [name, shape] : group)
        parameters[name] = at::zeros({1}, at::kFloat).expand(shape);
      continue;
    }
    std::vector<std::vector<int64_t>> shapes;
    for (const auto& [name, shape] : group) shapes.push_back(shape);
    std::vector<at::Tensor> tensors = allocate_packed(shapes);
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

}  // namespace etrlrec
