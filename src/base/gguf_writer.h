// Writes GGUF files of version 3: metadata, table of tensors, then the tensors one after the other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/gguf_file.h"
#include "base/io.h"

namespace etrlrec {

// First all put_...() and describe(), then write() for each tensor in the order of describe(), then
// commit(): the file appears complete or not at all.
class GgufWriter {
 public:
  explicit GgufWriter(const std::filesystem::path& path) : file_(path), name_(path.string()) {}
  void put_text(std::string_view key, std::string_view text);
  void put_uint32(std::string_view key, int64_t number);  // kInput: not in range
  void put_float32(std::string_view key, double number);
  void put_bool(std::string_view key, bool flag);
  void put_texts(std::string_view key, std::span<const std::string> texts);
  void put_int32s(std::string_view key, std::span<const int32_t> numbers);
  void put_float32s(std::string_view key, std::span<const float> numbers);

  // shape: slowest dimension first; its last is a multiple of the type's block.
  void describe(std::string_view name, GgufTensorType type, std::span<const int64_t> shape);
  // The bytes of the next tensor, or of a part of it: parts follow each other.
  void write(std::string_view bytes);
  void commit();

 private:
  void key(std::string_view key, GgufValueType type);
  void write_header();

  AtomicFile file_;
  std::string name_, values_, tensors_;
  uint64_t num_values_ = 0, offset_ = 0;  // offset_: of the next tensor described
  std::vector<uint64_t> bytes_;           // of each tensor
  bool has_header_ = false;
  size_t current_ = 0;    // tensor that is written
  uint64_t written_ = 0;  // of its bytes
};

}  // namespace etrlrec
