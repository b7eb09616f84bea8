// GGUF files written by hand, right and wrong ones.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/gguf_file.h"
#include "base/io.h"

namespace etrlrec {

template <typename T>
std::string gguf_bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string gguf_text(std::string_view text) {
  return gguf_bytes_of<uint64_t>(text.size()) + std::string(text);
}
inline std::string gguf_pair(std::string_view key, GgufValueType type, const std::string& value) {
  return gguf_text(key) + gguf_bytes_of(type) + value;
}
inline std::string gguf_list(std::string_view key, GgufValueType type, uint64_t count,
                             const std::string& values) {
  return gguf_pair(key, GgufValueType::kArray, gguf_bytes_of(type) + gguf_bytes_of(count) + values);
}
// Sizes fastest first, as in the file.
inline std::string gguf_tensor(std::string_view name, const std::vector<uint64_t>& sizes,
                               uint32_t type, uint64_t offset) {
  std::string out = gguf_text(name) + gguf_bytes_of(static_cast<uint32_t>(sizes.size()));
  for (const uint64_t size : sizes) out += gguf_bytes_of(size);
  return out + gguf_bytes_of(type) + gguf_bytes_of(offset);
}

struct GgufBytes {
  std::string values, tensors, data;
  uint64_t num_values = 0, num_tensors = 0;
  uint32_t version = 3;
  uint64_t alignment = kGgufAlignment;

  GgufBytes& value(const std::string& pair) {
    values += pair;
    ++num_values;
    return *this;
  }
  GgufBytes& tensor(const std::string& entry) {
    tensors += entry;
    ++num_tensors;
    return *this;
  }
  std::string bytes() const {
    std::string out = "GGUF" + gguf_bytes_of(version) + gguf_bytes_of(num_tensors) +
                      gguf_bytes_of(num_values) + values + tensors;
    if (num_tensors > 0) out.append((alignment - out.size() % alignment) % alignment, '\0');
    return out + data;
  }
  std::filesystem::path write(const std::string& name) const {
    const fs::path path = fs::path(testing::TempDir()) / name;
    write_file_atomic(path, bytes());
    return path;
  }
};

}  // namespace etrlrec
