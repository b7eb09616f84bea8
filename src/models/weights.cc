#include "models/weights.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <set>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "nn/layers.h"
#include "nn/safetensors.h"
#include "tuning/adapters.h"

namespace etrlrec {
namespace {

// What older versions of Transformers saved beside the parameters; every reader computes it.
bool is_derived(const std::string& key) {
  for (const char* end :
       {".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached"})
    if (key.ends_with(end)) return true;
  return false;
}

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
    if (!target.contains(key) && !is_derived(key))
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

namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

// Where there are no safetensors: what lies there instead, and how it becomes one.
[[noreturn]] void fail_without_weights(const std::filesystem::path& folder) {
  const std::string name = folder.string();
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    CHECK(!std::filesystem::exists(folder / pickle), kModel,
          "{}: expected {} or {}, found {}, a pickle file that can run code\n"
          "hint: AutoModel….from_pretrained(\"{}\").save_pretrained(OUT) of Transformers writes "
          "safetensors",
          name, kSingleFile, kIndexFile, pickle, name);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    CHECK(entry.path().extension() != ".gguf", kModel,
          "{}: expected {} or {}, found {}\nhint: etrlrec import {} --out OUT", name, kSingleFile,
          kIndexFile, entry.path().filename().string(), entry.path().string());
  fail(ExitCode::kInput, "{}: expected {} or {}, found neither", name, kSingleFile, kIndexFile);
}

// File name of every tensor that the index lists.
Json read_weight_map(const std::filesystem::path& index) {
  const std::string name = index.string();
  Json map = get<Json>(read_json(index), "weight_map", name);
  CHECK(map.is_object(), kInput, "{}: weight_map: expected an object", name);
  for (const auto& [tensor, file] : map.items()) {
    CHECK(file.is_string(), kInput, "{}: weight_map: expected file names, found {}", name,
          file.dump());
    const auto& text = file.get_ref<const std::string&>();
    CHECK(!text.empty() && text.find('/') == std::string::npos && text != "..", kInput,
          "{}: expected a file of the same folder, found \"{}\"", name, text);
  }
  return map;
}

std::set<std::string> files_of(const Json& weight_map) {
  std::set<std::string> files;
  for (const auto& [tensor, file] : weight_map.items()) files.insert(file.get<std::string>());
  return files;
}

// Tensors that a file holds and the index does not list are read as well, as Transformers reads
// them: whether the model has a place for them is judged later.
ParameterMap load_shards(const std::filesystem::path& folder) {
  const std::string name = (folder / kIndexFile).string();
  const Json map = read_weight_map(folder / kIndexFile);
  ParameterMap tensors;
  for (const std::string& file : files_of(map)) {
    CHECK(std::filesystem::exists(folder / file), kInput,
          "{}: names \"{}\", which is not in the folder\nhint: fetch the missing file, or remove "
          "the index if the folder has {}",
          name, file, kSingleFile);
    for (auto& [tensor, value] : load_safetensors(folder / file, true)) {
      CHECK(!map.contains(tensor) || map[tensor] == file, kInput,
            "{}: \"{}\" holds tensor \"{}\", which the index does not place there", name, file,
            tensor);
      CHECK(tensors.emplace(tensor, value).second, kInput,
            "{}: tensor \"{}\" is in two of the files", name, tensor);
    }
  }
  for (const auto& [tensor, file] : map.items()) {
    CHECK(tensors.contains(tensor), kInput, "{}: tensor \"{}\" is in none of the files", name,
          tensor);
  }
  return tensors;
}

}  // namespace

std::vector<std::string> weight_files(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / kSingleFile)) return {kSingleFile};
  if (!std::filesystem::exists(folder / kIndexFile)) fail_without_weights(folder);
  const std::set<std::string> shards = files_of(read_weight_map(folder / kIndexFile));
  std::vector<std::string> files{kIndexFile};
  files.insert(files.end(), shards.begin(), shards.end());
  return files;
}

ParameterMap load_weights(const std::filesystem::path& folder) {
  if (weight_files(folder).front() != kSingleFile) return load_shards(folder);
  if (std::filesystem::exists(folder / kIndexFile))
    log_warning("{}: {} is read; {} beside it, and the files that it names, are not",
                folder.string(), kSingleFile, kIndexFile);
  return load_safetensors(folder / kSingleFile, true);
}

bool equal_values(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return false;
  if (a.scalar_type() == b.scalar_type()) return at::equal(a, b);
  return at::equal(a.to(at::kFloat), b.to(at::kFloat));
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
