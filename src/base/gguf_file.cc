#include "base/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/io.h"

namespace etrlrec {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

constexpr uint64_t kMaxKeyBytes = 65535, kMaxNameBytes = 1024;
constexpr uint32_t kMaxDimensions = 4;
// Bytes that the shortest metadata pair, tensor description and text take: no more of them than
// that can be in a file.
constexpr uint64_t kLeastPair = 8 + 1 + 4 + 1, kLeastTensor = 8 + 1 + 4 + 8 + 4 + 8, kLeastText = 8;

size_t size_of(GgufValueType type) {
  using enum GgufValueType;
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kUint64:
    case kInt64:
    case kFloat64:
      return 8;
    case kString:
    case kArray:
      break;
  }
  return 0;
}

bool is_unsigned(GgufValueType type) {
  using enum GgufValueType;
  return type == kUint8 || type == kUint16 || type == kUint32 || type == kUint64;
}
bool is_real(GgufValueType type) {
  return type == GgufValueType::kFloat32 || type == GgufValueType::kFloat64;
}

template <typename T>
T load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

uint64_t load_unsigned(GgufValueType type, const char* bytes) {
  switch (size_of(type)) {
    case 1:
      return load<uint8_t>(bytes);
    case 2:
      return load<uint16_t>(bytes);
    case 4:
      return load<uint32_t>(bytes);
    default:
      return load<uint64_t>(bytes);
  }
}
int64_t load_signed(GgufValueType type, const char* bytes) {
  switch (size_of(type)) {
    case 1:
      return load<int8_t>(bytes);
    case 2:
      return load<int16_t>(bytes);
    case 4:
      return load<int32_t>(bytes);
    default:
      return load<int64_t>(bytes);
  }
}
double load_real(GgufValueType type, const char* bytes) {
  return size_of(type) == 4 ? static_cast<double>(load<float>(bytes)) : load<double>(bytes);
}

// Names of ggml's tensor types by their number; "" where there is none any more.
constexpr const char* kTensorTypeNames[] = {
    "F32",     "F16",   "Q4_0",   "Q4_1",  "",      "",       "Q5_0", "Q5_1",    "Q8_0",
    "Q8_1",    "Q2_K",  "Q3_K",   "Q4_K",  "Q5_K",  "Q6_K",   "Q8_K", "IQ2_XXS", "IQ2_XS",
    "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",   "I16",     "I32",
    "I64",     "F64",   "IQ1_M",  "BF16",  "",      "",       "",     "TQ1_0",   "TQ2_0"};

}  // namespace

const std::vector<GgufBlock>& gguf_blocks() {
  using enum GgufTensorType;
  static const std::vector<GgufBlock> table{
      {kF32, "F32", 1, 4},       {kF16, "F16", 1, 2},      {kBF16, "BF16", 1, 2},
      {kQ8_0, "Q8_0", 32, 34},   {kQ4_0, "Q4_0", 32, 18},  {kQ4_1, "Q4_1", 32, 20},
      {kQ5_0, "Q5_0", 32, 22},   {kQ5_1, "Q5_1", 32, 24},  {kQ4_K, "Q4_K", 256, 144},
      {kQ5_K, "Q5_K", 256, 176}, {kQ6_K, "Q6_K", 256, 210}};
  return table;
}

std::string gguf_type_name(uint32_t type) {
  const bool named = type < std::size(kTensorTypeNames) && kTensorTypeNames[type][0] != '\0';
  return named ? kTensorTypeNames[type] : fmt::format("number {}", type);
}

const GgufBlock& gguf_block(GgufTensorType type, std::string_view where) {
  for (const GgufBlock& block : gguf_blocks())
    if (block.type == type) return block;
  std::string known;
  for (const GgufBlock& block : gguf_blocks())
    known += (known.empty() ? "" : ", ") + std::string(block.name);
  fail(ExitCode::kInput, "{}: type {} is not supported; known: {}", where,
       gguf_type_name(static_cast<uint32_t>(type)), known);
}

int64_t GgufTensor::rows() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

// A place in the file that only moves to where bytes are.
class GgufFile::Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  std::string_view take(uint64_t count, std::string_view what) {
    CHECK(count <= left(), kInput, "{}: file is truncated: {} of {} bytes at byte {}, {} are left",
          name_, what, count, position_, left());
    const std::string_view taken = bytes_.substr(position_, count);
    position_ += count;
    return taken;
  }
  template <typename T>
  T number(std::string_view what) {
    return load<T>(take(sizeof(T), what).data());
  }
  std::string_view text(std::string_view what) { return take(number<uint64_t>(what), what); }
  // A number of things that take `least` bytes each, or more.
  uint64_t count(uint64_t least, std::string_view what) {
    const auto count = number<uint64_t>(what);
    CHECK(count <= left() / least, kInput, "{}: {}: {} cannot be in the {} bytes that are left",
          name_, what, count, left());
    return count;
  }

 private:
  std::string_view bytes_;
  const std::string& name_;
  uint64_t position_ = 0;
};

GgufFile::~GgufFile() = default;

GgufFile::GgufFile(const std::filesystem::path& path)
    : name_(path.string()), file_(std::make_unique<MappedFile>(path)) {
  Reader reader(file_->text(), name_);
  CHECK(file_->text().starts_with(kGgufMagic), kInput, "{}: not a GGUF file", name_);
  reader.take(kGgufMagic.size(), "magic");
  const auto version = reader.number<uint32_t>("version");
  CHECK((version & 0xffffu) != 0, kInput, "{}: big-endian GGUF is not supported", name_);
  CHECK(version == 2 || version == 3, kInput, "{}: GGUF version {} is not supported; known: 2, 3",
        name_, version);
  const uint64_t num_tensors = reader.count(1, "number of tensors");
  const uint64_t num_values = reader.count(kLeastPair, "number of metadata values");
  for (uint64_t i = 0; i < num_values; ++i) {
    const std::string_view key = reader.text("metadata key");
    CHECK(!key.empty() && key.size() <= kMaxKeyBytes, kInput,
          "{}: metadata {}: expected a key of 1 to {} bytes, found {}", name_, i, kMaxKeyBytes,
          key.size());
    read_value(reader, std::string(key));
  }
  CHECK(num_tensors <= reader.left() / kLeastTensor, kInput,
        "{}: number of tensors: {} cannot be in the {} bytes that are left", name_, num_tensors,
        reader.left());
  read_tensors(reader, num_tensors);
}

void GgufFile::read_value(Reader& reader, const std::string& key) {
  using enum GgufValueType;
  const auto type_of_value = [&](uint32_t type) {
    CHECK(type <= static_cast<uint32_t>(kFloat64), kInput,
          "{}: {}: unknown type {} of a value; known: 0 to 12", name_, key, type);
    return static_cast<GgufValueType>(type);
  };
  const GgufValueType type = type_of_value(reader.number<uint32_t>(key));
  Value value;
  if (type == kString) {
    value = reader.text(key);
  } else if (type == kArray) {
    const GgufValueType entry = type_of_value(reader.number<uint32_t>(key));
    CHECK(entry != kArray, kInput, "{}: {}: a list of lists is not supported", name_, key);
    if (entry == kString) {
      std::vector<std::string_view> texts(reader.count(kLeastText, key));
      for (std::string_view& text : texts) text = reader.text(key);
      value = std::move(texts);
    } else {
      const uint64_t count = reader.count(size_of(entry), key);
      value = Numbers{entry, reader.take(count * size_of(entry), key)};
    }
  } else {
    const char* bytes = reader.take(size_of(type), key).data();
    if (type == kBool) {
      CHECK(load<uint8_t>(bytes) <= 1, kInput, "{}: {}: expected 0 or 1, found {}", name_, key,
            load<uint8_t>(bytes));
      value = load<uint8_t>(bytes) == 1;
    } else if (is_real(type)) {
      value = load_real(type, bytes);
    } else if (is_unsigned(type)) {
      value = load_unsigned(type, bytes);
    } else {
      value = load_signed(type, bytes);
    }
  }
  CHECK(values_.emplace(key, std::move(value)).second, kInput, "{}: key {} occurs twice", name_,
        key);
}

void GgufFile::read_tensors(Reader& reader, uint64_t count) {
  std::vector<std::pair<std::string, uint64_t>> offsets;  // in the data of the tensors
  for (uint64_t i = 0; i < count; ++i) {
    const std::string name(reader.text("tensor name"));
    CHECK(!name.empty() && name.size() <= kMaxNameBytes, kInput,
          "{}: tensor {}: expected a name of 1 to {} bytes, found {}", name_, i, kMaxNameBytes,
          name.size());
    const std::string where = fmt::format("{}: tensor \"{}\"", name_, name);
    GgufTensor tensor;
    const auto dimensions = reader.number<uint32_t>(where);
    CHECK(dimensions >= 1 && dimensions <= kMaxDimensions, kInput,
          "{}: expected 1 to {} dimensions, found {}", where, kMaxDimensions, dimensions);
    int64_t values = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
      const auto size = reader.number<uint64_t>(where);
      CHECK(size > 0 && size <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) &&
                !__builtin_mul_overflow(values, static_cast<int64_t>(size), &values),
            kInput, "{}: dimension {} of {} is not possible", where, d, size);
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
    }
    const auto type = reader.number<uint32_t>(where);
    tensor.type = static_cast<GgufTensorType>(type);
    const GgufBlock& block = gguf_block(tensor.type, where);
    CHECK(tensor.columns() % block.values == 0, kInput,
          "{}: expected rows of whole blocks of {} values, found {}", where, block.values,
          tensor.columns());
    CHECK(!__builtin_mul_overflow(static_cast<uint64_t>(values / block.values),
                                  static_cast<uint64_t>(block.bytes), &tensor.bytes),
          kInput, "{}: size of the tensor overflows", where);
    offsets.emplace_back(name, reader.number<uint64_t>(where));
    CHECK(tensors_.emplace(name, std::move(tensor)).second, kInput, "{} occurs twice", where);
  }
  const int64_t alignment = integer_or("general.alignment", static_cast<int64_t>(kGgufAlignment));
  CHECK(alignment > 0 && alignment <= int64_t{1} << 30 &&
            std::has_single_bit(static_cast<uint64_t>(alignment)),
        kInput, "{}: general.alignment: expected a power of two, found {}", name_, alignment);
  const auto step = static_cast<uint64_t>(alignment);
  place_tensors(offsets, (reader.position() + step - 1) / step * step, step);
}

// `begin`: where the data of the tensors begins.
void GgufFile::place_tensors(const std::vector<std::pair<std::string, uint64_t>>& offsets,
                             uint64_t begin, uint64_t alignment) {
  if (offsets.empty()) return;
  CHECK(begin <= file_->size(), kInput, "{}: file is truncated: it ends before its tensors", name_);
  const uint64_t available = file_->size() - begin;
  std::vector<std::pair<uint64_t, const std::string*>> order;
  for (const auto& [name, offset] : offsets) {
    GgufTensor& tensor = tensors_.find(name)->second;
    CHECK(offset % alignment == 0, kInput,
          "{}: tensor \"{}\": expected an offset that is a multiple of {}, found {}", name_, name,
          alignment, offset);
    CHECK(offset <= available && tensor.bytes <= available - offset, kInput,
          "{}: file is truncated: tensor \"{}\" of {} bytes at {} in {} bytes of data", name_, name,
          tensor.bytes, offset, available);
    tensor.data = file_->data() + begin + offset;
    order.emplace_back(offset, &name);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i)
    CHECK(order[i].first - order[i - 1].first >= tensors_.find(*order[i - 1].second)->second.bytes,
          kInput, "{}: tensor \"{}\" overlaps \"{}\"", name_, *order[i].second,
          *order[i - 1].second);
}

const GgufFile::Value& GgufFile::value(std::string_view key) const {
  const auto found = values_.find(key);
  CHECK(found != values_.end(), kInput, "{}: key {} is missing", name_, key);
  return found->second;
}

std::string_view GgufFile::text(std::string_view key) const {
  const auto* text = std::get_if<std::string_view>(&value(key));
  CHECK(text != nullptr, kInput, "{}: {}: expected a text", name_, key);
  return *text;
}

int64_t GgufFile::integer(std::string_view key) const {
  const Value& found = value(key);
  if (const auto* number = std::get_if<int64_t>(&found)) return *number;
  const auto* number = std::get_if<uint64_t>(&found);
  CHECK(number != nullptr && std::in_range<int64_t>(*number), kInput,
        "{}: {}: expected an integer below 2^63", name_, key);
  return static_cast<int64_t>(*number);
}

double GgufFile::number(std::string_view key) const {
  const auto* real = std::get_if<double>(&value(key));
  const double number = real != nullptr ? *real : static_cast<double>(integer(key));
  CHECK(std::isfinite(number), kInput, "{}: {}: expected a finite number", name_, key);
  return number;
}

bool GgufFile::flag(std::string_view key) const {
  const auto* flag = std::get_if<bool>(&value(key));
  CHECK(flag != nullptr, kInput, "{}: {}: expected true or false", name_, key);
  return *flag;
}

bool GgufFile::is_list(std::string_view key) const {
  const Value& found = value(key);
  return std::holds_alternative<std::vector<std::string_view>>(found) ||
         std::holds_alternative<Numbers>(found);
}

const std::vector<std::string_view>& GgufFile::texts(std::string_view key) const {
  const auto* texts = std::get_if<std::vector<std::string_view>>(&value(key));
  CHECK(texts != nullptr, kInput, "{}: {}: expected a list of texts", name_, key);
  return *texts;
}

std::vector<int64_t> GgufFile::integers(std::string_view key) const {
  const auto* list = std::get_if<Numbers>(&value(key));
  CHECK(list != nullptr && !is_real(list->type) && list->type != GgufValueType::kBool, kInput,
        "{}: {}: expected a list of integers", name_, key);
  const size_t size = size_of(list->type);
  std::vector<int64_t> out;
  out.reserve(list->bytes.size() / size);
  for (size_t i = 0; i < list->bytes.size(); i += size) {
    const char* bytes = list->bytes.data() + i;
    const uint64_t number = load_unsigned(list->type, bytes);
    CHECK(!is_unsigned(list->type) || std::in_range<int64_t>(number), kInput,
          "{}: {}: expected integers below 2^63", name_, key);
    out.push_back(is_unsigned(list->type) ? static_cast<int64_t>(number)
                                          : load_signed(list->type, bytes));
  }
  return out;
}

std::vector<double> GgufFile::numbers(std::string_view key) const {
  const auto* list = std::get_if<Numbers>(&value(key));
  CHECK(list != nullptr && is_real(list->type), kInput, "{}: {}: expected a list of real numbers",
        name_, key);
  const size_t size = size_of(list->type);
  std::vector<double> out;
  out.reserve(list->bytes.size() / size);
  for (size_t i = 0; i < list->bytes.size(); i += size)
    out.push_back(load_real(list->type, list->bytes.data() + i));
  return out;
}

}  // namespace etrlrec
