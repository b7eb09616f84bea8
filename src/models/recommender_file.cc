#include "models/recommender_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "nn/safetensors.h"

namespace etrlrec {

RecommenderFile::RecommenderFile(const fs::path& folder)
    : config_file_((folder / "config.json").string()),
      file_((folder / "model.safetensors").string()),
      config_(std::make_shared<const Json>(read_json(config_file_))) {
  num_items_ = get<int64_t>(*config_, "num_items", config_file_);
  CHECK(num_items_ > 0, kModel, "{}: num_items: expected a positive value, found {}", config_file_,
        num_items_);
  tensors_ = load_safetensors(file_);
}

std::string RecommenderFile::model_type() const {
  return get<std::string>(*config_, "model_type", config_file_);
}

double RecommenderFile::positive(const char* key) const {
  const auto value = get<double>(*config_, key, config_file_);
  CHECK(value > 0, kModel, "{}: {}: expected a positive value, found {}", config_file_, key, value);
  return value;
}

std::vector<int64_t> RecommenderFile::column(const char* name, int64_t size) const {
  const auto found = tensors_.find(name);
  CHECK(found != tensors_.end(), kModel, "{}: tensor \"{}\" is missing", file_, name);
  const at::Tensor& tensor = found->second;
  CHECK(tensor.scalar_type() == at::kLong && tensor.dim() == 1, kModel,
        "{}: tensor \"{}\" has the wrong type or shape", file_, name);
  CHECK(size < 0 || tensor.numel() == size, kModel, "{}: {}: expected {} values, found {}", file_,
        name, size, tensor.numel());
  const int64_t* data = tensor.const_data_ptr<int64_t>();
  return {data, data + tensor.numel()};
}

std::vector<int64_t> RecommenderFile::counts(const char* name, int64_t size) const {
  std::vector<int64_t> values = column(name, size);
  CHECK(std::all_of(values.begin(), values.end(), [](int64_t count) { return count >= 0; }), kModel,
        "{}: {}: a count is negative", file_, name);
  return values;
}

std::vector<int64_t> RecommenderFile::offsets(int64_t total) const {
  std::vector<int64_t> values = column("offsets", num_items_ + 1);
  CHECK(
      values.front() == 0 && values.back() == total && std::is_sorted(values.begin(), values.end()),
      kModel, "{}: offsets do not fit the other tensors", file_);
  return values;
}

std::vector<int64_t> RecommenderFile::items(const char* name, int64_t size) const {
  std::vector<int64_t> values = column(name, size);
  CHECK(std::all_of(values.begin(), values.end(),
                    [&](int64_t item) { return item >= 0 && item < num_items_; }),
        kModel, "{}: an item of \"{}\" is not in [0, {})", file_, name, num_items_);
  return values;
}

at::Tensor RecommenderFile::matrix(const char* name) const {
  const auto found = tensors_.find(name);
  CHECK(found != tensors_.end(), kModel, "{}: tensor \"{}\" is missing", file_, name);
  const at::Tensor& tensor = found->second;
  CHECK(tensor.scalar_type() == at::kFloat && tensor.dim() == 2 && tensor.size(0) == num_items_ &&
            tensor.size(1) > 0,
        kModel, "{}: tensor \"{}\" has the wrong type or shape", file_, name);
  CHECK(tensor.isfinite().all().item<bool>(), kModel, "{}: a value of \"{}\" is not finite", file_,
        name);
  return tensor;
}

void save_recommender(const fs::path& folder, const std::string& model_type, int64_t num_items,
                      const OrderedJson& config, const ParameterMap& tensors) {
  ParameterMap stored;
  for (const auto& [name, tensor] : tensors) stored[name] = tensor.detach();
  save_safetensors(stored, folder / "model.safetensors");
  OrderedJson whole{{"model_type", model_type}, {"num_items", num_items}};
  for (const auto& [key, value] : config.items()) whole[key] = value;
  write_json_atomic(folder / "config.json", whole);
}

void load_parameters(const fs::path& folder, ParameterMap& parameters) {
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

at::Tensor column_tensor(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

}  // namespace etrlrec
