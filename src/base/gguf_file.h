// GGUF files: metadata and tensors of the ggml programs, versions 2 and 3, little endian. Every
// count, length, offset and alignment is checked against the size of the file before it is used.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace etrlrec {

class MappedFile;

// Types of metadata values; the numbers are the format's.
enum class GgufValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Types of tensors that are read; the numbers are ggml's.
enum class GgufTensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

// A row is stored as blocks of `values` numbers in `bytes` bytes each.
struct GgufBlock {
  GgufTensorType type;
  const char* name;
  int64_t values, bytes;
};
const std::vector<GgufBlock>& gguf_blocks();  // of all types that are read
// Error (kInput): not one of them; `where` says whose type it is.
const GgufBlock& gguf_block(GgufTensorType type, std::string_view where = "tensor");
std::string gguf_type_name(uint32_t type);  // also of types that are not read
constexpr std::string_view kGgufMagic = "GGUF";
constexpr uint64_t kGgufAlignment = 32;  // of tensors, unless general.alignment says otherwise

struct GgufTensor {
  GgufTensorType type = GgufTensorType::kF32;
  std::vector<int64_t> shape;  // slowest dimension first, as in safetensors; the last is a row
  const std::byte* data = nullptr;
  uint64_t bytes = 0;
  int64_t columns() const { return shape.back(); }
  int64_t rows() const;
};

// A file of any origin, opened: what it says is views of the mapped file. Errors (kInput) name the
// file and the key or tensor.
class GgufFile {
 public:
  // Refused: other magic, version or byte order, truncated files, counts and lengths beyond the
  // file, nested arrays, keys or tensors that occur twice, tensor types that are not read (by
  // name), rows that are no whole blocks, sizes that overflow, offsets that are not aligned,
  // tensors that overlap or end behind the file.
  explicit GgufFile(const std::filesystem::path& path);
  ~GgufFile();

  const std::string& name() const { return name_; }
  bool has(std::string_view key) const { return values_.contains(key); }
  // The value of a key in its type; an error where it is missing or of another type. Numbers are
  // taken from any integer type that holds them.
  std::string_view text(std::string_view key) const;
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;  // of any number type, finite
  bool flag(std::string_view key) const;
  const std::vector<std::string_view>& texts(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;
  bool is_list(std::string_view key) const;
  // The same with a default where the key is missing.
  std::string_view text_or(std::string_view key, std::string_view fallback) const {
    return has(key) ? text(key) : fallback;
  }
  int64_t integer_or(std::string_view key, int64_t fallback) const {
    return has(key) ? integer(key) : fallback;
  }
  double number_or(std::string_view key, double fallback) const {
    return has(key) ? number(key) : fallback;
  }
  bool flag_or(std::string_view key, bool fallback) const {
    return has(key) ? flag(key) : fallback;
  }

  const std::map<std::string, GgufTensor, std::less<>>& tensors() const { return tensors_; }

 private:
  struct Numbers {  // a list of numbers as it lies in the file
    GgufValueType type;
    std::string_view bytes;
  };
  using Value = std::variant<int64_t, uint64_t, double, bool, std::string_view,
                             std::vector<std::string_view>, Numbers>;
  class Reader;

  const Value& value(std::string_view key) const;
  void read_value(Reader& reader, const std::string& key);
  void read_tensors(Reader& reader, uint64_t count);
  void place_tensors(const std::vector<std::pair<std::string, uint64_t>>& offsets, uint64_t begin,
                     uint64_t alignment);

  std::string name_;
  std::unique_ptr<MappedFile> file_;
  std::map<std::string, Value, std::less<>> values_;
  std::map<std::string, GgufTensor, std::less<>> tensors_;
};

}  // namespace etrlrec
