// safetensors files: 8-byte little-endian header length, JSON header {name: {dtype, shape,
// data_offsets}}, data. Offsets are relative to the data start. Refused (kInput): truncated files,
// headers above 100 MB, unknown types, overlapping or uncovered ranges, sizes that do not match
// shape times type or overflow, duplicate names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

// F32, F16, BF16, F64, I64, I32, U8, BOOL. Tensors are copies unless `mapped` (then views of the
// mapped file, read-only).
ParameterMap load_safetensors(const std::filesystem::path& path, bool mapped = false);
// Gives back the memory that a view of a mapped file has taken; what is read later comes from the
// file again. Nothing happens to tensors that are copies.
void release_pages(const at::Tensor& view);
// A tensor that is made when it is written: values() has the type and shape that are said here.
struct TensorSource {
  std::string name;
  at::ScalarType type;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> values;
};
// The file appears complete or not at all, with the tensors in the given order, one of them in
// memory at a time. Header metadata holds {"format": "pt"} and `metadata`. Error (kInput): a type
// that cannot be stored.
void write_safetensors(const std::vector<TensorSource>& tensors, const std::filesystem::path& path,
                       const std::map<std::string, std::string>& metadata = {});
// The same with tensors that are there: at most one that is not contiguous, or not on the CPU, is
// copied at a time.
void save_safetensors(const ParameterMap& tensors, const std::filesystem::path& path,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace etrlrec
