// The folder of a recommender: config.json with a few numbers and model.safetensors, with columns
// of 64-bit integers where it counts and with parameters where it is trained.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

// Reads a folder. Whatever is missing, of another type or inconsistent is refused (kModel; kInput
// where config.json lacks a key) with the name of the file and of the value.
class RecommenderFile {
 public:
  explicit RecommenderFile(const std::filesystem::path& folder);
  int64_t num_items() const { return num_items_; }
  std::string model_type() const;
  double positive(const char* key) const;  // of config.json
  // A column; `size` -1: of any length.
  std::vector<int64_t> column(const char* name, int64_t size) const;
  // A column of values that are not negative.
  std::vector<int64_t> counts(const char* name, int64_t size) const;
  // The column "offsets" of num_items() groups over `total` values, ascending from 0. [N + 1]
  std::vector<int64_t> offsets(int64_t total) const;
  // A column of items in [0, num_items()).
  std::vector<int64_t> items(const char* name, int64_t size) const;
  at::Tensor matrix(const char* name) const;         // of finite floats, [num_items, any]
  const std::string& name() const { return file_; }  // of model.safetensors, for errors

 private:
  std::string config_file_, file_;
  std::shared_ptr<const nlohmann::json> config_;
  ParameterMap tensors_;
  int64_t num_items_ = 0;
};

// Writes model.safetensors, then config.json: model_type, num_items and `config`.
void save_recommender(const std::filesystem::path& folder, const std::string& model_type,
                      int64_t num_items, const nlohmann::ordered_json& config,
                      const ParameterMap& tensors);

// Copies model.safetensors of a folder into initialised parameters. Error (kModel) unless names and
// shapes are the same.
void load_parameters(const std::filesystem::path& folder, ParameterMap& parameters);

at::Tensor column_tensor(const std::vector<int64_t>& values);  // int64 [values]

}  // namespace etrlrec
