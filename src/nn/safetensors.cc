// Format as in the header; documented at https://github.com/huggingface/safetensors. Written files
// have tensors in name order and an 8-byte aligned header, as the reference library writes them.
#include "nn/safetensors.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"

namespace etrlrec {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;

struct TypeName {
  const char* name;
  at::ScalarType type;
};
constexpr TypeName kTypes[] = {{"F32", at::kFloat},  {"F16", at::kHalf}, {"BF16", at::kBFloat16},
                               {"F64", at::kDouble}, {"I64", at::kLong}, {"I32", at::kInt},
                               {"U8", at::kByte},    {"BOOL", at::kBool}};

struct Entry {
  std::string name;
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;
};

at::ScalarType type_of(const std::string& dtype, const std::string& where) {
  for (const TypeName& t : kTypes) {
    if (dtype == t.name) return t.type;
  }
  fail(ExitCode::kInput,
       "{}: expected dtype F32, F16, BF16, F64, I64, I32, U8 or BOOL, found \"{}\"", where, dtype);
}

uint64_t unsigned_of(const Json& value, const std::string& where) {
  CHECK(value.is_number_unsigned(), kInput, "{}: expected a non-negative integer, found {}", where,
        value.dump());
  return value.get<uint64_t>();
}

// shape x type in bytes, refusing overflow
uint64_t bytes_of(const std::vector<int64_t>& shape, at::ScalarType type,
                  const std::string& where) {
  uint64_t bytes = at::elementSize(type);
  for (int64_t size : shape) {
    CHECK(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes), kInput,
          "{}: size of the tensor overflows", where);
  }
  return bytes;
}

Entry parse_entry(const std::string& name, const Json& value, const std::string& path) {
  const std::string where = path + ": tensor \"" + name + "\"";
  CHECK(value.is_object() && value.size() == 3, kInput,
        "{}: expected an object of dtype, shape and data_offsets, found {}", where, value.dump());
  Entry entry;
  entry.name = name;
  entry.type = type_of(get<std::string>(value, "dtype", where), where);
  const Json shape = get<Json>(value, "shape", where),
             offsets = get<Json>(value, "data_offsets", where);
  CHECK(shape.is_array() && shape.size() <= 64, kInput, "{}: expected a shape array, found {}",
        where, shape.dump());
  for (const Json& size : shape) {
    const uint64_t n = unsigned_of(size, where + " shape");
    CHECK(n <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), kInput,
          "{}: size of the tensor overflows", where);
    entry.shape.push_back(static_cast<int64_t>(n));
  }
  CHECK(offsets.is_array() && offsets.size() == 2, kInput,
        "{}: expected two data_offsets, found {}", where, offsets.dump());
  entry.begin = unsigned_of(offsets[0], where + " data_offsets");
  entry.end = unsigned_of(offsets[1], where + " data_offsets");
  CHECK(entry.begin <= entry.end, kInput, "{}: expected ordered data_offsets, found {}", where,
        offsets.dump());
  const uint64_t bytes = bytes_of(entry.shape, entry.type, where);
  CHECK(entry.end - entry.begin == bytes, kInput,
        "{}: expected {} bytes for its shape and type, found {}", where, bytes,
        entry.end - entry.begin);
  return entry;
}

// JSON allows repeated keys and the parser keeps the last one, so names are counted while parsing.
Json parse_header(std::string_view text, const std::string& path) {
  std::set<std::string> names;
  std::string repeated;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth == 1 && event == Json::parse_event_t::key &&
        !names.insert(value.get<std::string>()).second) {
      repeated = value.get<std::string>();
    }
    CHECK(depth <= 8, kInput, "{}: header is nested too deeply", path);
    return true;
  };
  Json header;
  try {
    header = Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& error) {
    fail(ExitCode::kInput, "{}: expected a JSON header, found: {}", path, error.what());
  }
  CHECK(repeated.empty(), kInput, "{}: tensor \"{}\" is described twice", path, repeated);
  CHECK(header.is_object(), kInput, "{}: expected a JSON object as header", path);
  return header;
}

std::vector<Entry> parse_entries(const Json& header, uint64_t data_bytes, const std::string& path) {
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, value, path));
      continue;
    }
    CHECK(value.is_object(), kInput, "{}: expected __metadata__ to be an object", path);
    for (const auto& [key, text] : value.items()) {
      CHECK(text.is_string(), kInput, "{}: expected __metadata__ \"{}\" to be a string", path, key);
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    CHECK(entry.end <= data_bytes, kInput,
          "{}: file is truncated: tensor \"{}\" ends at {} of {} bytes", path, entry.name,
          entry.end, data_bytes);
    CHECK(entry.begin >= covered, kInput, "{}: tensor \"{}\" overlaps the one before it", path,
          entry.name);
    CHECK(entry.begin == covered, kInput, "{}: {} bytes before tensor \"{}\" belong to no tensor",
          path, entry.begin - covered, entry.name);
    covered = entry.end;
  }
  CHECK(covered == data_bytes, kInput, "{}: {} bytes at the end belong to no tensor", path,
        data_bytes - covered);
  return entries;
}

}  // namespace

ParameterMap load_safetensors(const std::filesystem::path& path, bool mapped) {
  auto file = std::make_shared<MappedFile>(path);
  const std::string name = path.string();
  uint64_t header_bytes = 0;
  CHECK(file->size() >= sizeof header_bytes, kInput,
        "{}: file is truncated: expected at least 8 bytes, found {}", name, file->size());
  std::memcpy(&header_bytes, file->data(), sizeof header_bytes);
  CHECK(header_bytes <= kMaxHeader, kInput, "{}: expected a header of at most {} bytes, found {}",
        name, kMaxHeader, header_bytes);
  CHECK(header_bytes <= file->size() - 8, kInput,
        "{}: file is truncated: header of {} bytes in a file of {}", name, header_bytes,
        file->size());
  const Json header = parse_header(file->text().substr(8, header_bytes), name);
  const std::byte* data = file->data() + 8 + header_bytes;
  ParameterMap tensors;
  for (const Entry& entry : parse_entries(header, file->size() - 8 - header_bytes, name)) {
    void* begin = const_cast<std::byte*>(data + entry.begin);
    const bool aligned = reinterpret_cast<uintptr_t>(begin) % at::elementSize(entry.type) == 0;
    if (mapped && aligned && entry.end > entry.begin) {
      tensors[entry.name] = at::from_blob(
          begin, entry.shape, [file](void*) {}, entry.type);
      continue;
    }
    at::Tensor tensor = at::empty(entry.shape, entry.type);
    if (entry.end > entry.begin) std::memcpy(tensor.data_ptr(), begin, entry.end - entry.begin);
    tensors[entry.name] = tensor;
  }
  return tensors;
}

void release_pages(const at::Tensor& view) {
  if (view.storage().resizable()) return;  // memory of its own
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(view.const_data_ptr());
  const uintptr_t first = (begin + page - 1) / page * page,
                  last = (begin + view.nbytes()) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

void write_safetensors(const std::vector<TensorSource>& tensors, const std::filesystem::path& path,
                       const std::map<std::string, std::string>& metadata) {
  OrderedJson header;
  header["__metadata__"] = metadata;
  header["__metadata__"]["format"] = "pt";
  uint64_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    const char* dtype = nullptr;
    for (const TypeName& t : kTypes) {
      if (tensor.type == t.type) dtype = t.name;
    }
    const std::string where = path.string() + ": tensor \"" + tensor.name + "\"";
    CHECK(dtype != nullptr, kInput, "{} has a type that cannot be stored", where);
    const uint64_t end = offset + bytes_of(tensor.shape, tensor.type, where);
    header[tensor.name] = {
        {"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t header_bytes = text.size();
  AtomicFile file(path);
  file.write({reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes});
  file.write(text);
  for (const TensorSource& tensor : tensors) {
    const at::Tensor values = tensor.values().detach().cpu().contiguous();
    CHECK(values.scalar_type() == tensor.type && values.sizes().vec() == tensor.shape, kFailure,
          "{}: tensor \"{}\" is not what was announced", path.string(), tensor.name);
    file.write({static_cast<const char*>(values.const_data_ptr()), values.nbytes()});
  }
  file.commit();
}

void save_safetensors(const ParameterMap& tensors, const std::filesystem::path& path,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSource> sources;
  for (const auto& [name, tensor] : tensors)
    sources.push_back(
        {name, tensor.scalar_type(), tensor.sizes().vec(), [tensor = tensor] { return tensor; }});
  write_safetensors(sources, path, metadata);
}

}  // namespace etrlrec
