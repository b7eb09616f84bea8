#include "base/gguf_writer.h"

#include <limits>

#include "base/check.h"

namespace etrlrec {
namespace {

template <typename T>
void append(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append(out, static_cast<uint64_t>(text.size()));
  out += text;
}

uint64_t padding(uint64_t bytes) {
  return (kGgufAlignment - bytes % kGgufAlignment) % kGgufAlignment;
}

}  // namespace

void GgufWriter::key(std::string_view key, GgufValueType type) {
  append_text(values_, key);
  append(values_, type);
  ++num_values_;
}

void GgufWriter::put_text(std::string_view name, std::string_view text) {
  key(name, GgufValueType::kString);
  append_text(values_, text);
}

void GgufWriter::put_uint32(std::string_view name, int64_t number) {
  CHECK(std::in_range<uint32_t>(number), kInput, "{}: {}: expected 32 bits, found {}", name_, name,
        number);
  key(name, GgufValueType::kUint32);
  append(values_, static_cast<uint32_t>(number));
}

void GgufWriter::put_float32(std::string_view name, double number) {
  key(name, GgufValueType::kFloat32);
  append(values_, static_cast<float>(number));
}

void GgufWriter::put_bool(std::string_view name, bool flag) {
  key(name, GgufValueType::kBool);
  append(values_, static_cast<uint8_t>(flag));
}

void GgufWriter::put_texts(std::string_view name, std::span<const std::string> texts) {
  key(name, GgufValueType::kArray);
  append(values_, GgufValueType::kString);
  append(values_, static_cast<uint64_t>(texts.size()));
  for (const std::string& text : texts) append_text(values_, text);
}

void GgufWriter::put_int32s(std::string_view name, std::span<const int32_t> numbers) {
  key(name, GgufValueType::kArray);
  append(values_, GgufValueType::kInt32);
  append(values_, static_cast<uint64_t>(numbers.size()));
  for (const int32_t number : numbers) append(values_, number);
}

void GgufWriter::put_float32s(std::string_view name, std::span<const float> numbers) {
  key(name, GgufValueType::kArray);
  append(values_, GgufValueType::kFloat32);
  append(values_, static_cast<uint64_t>(numbers.size()));
  for (const float number : numbers) append(values_, number);
}

void GgufWriter::describe(std::string_view name, GgufTensorType type,
                          std::span<const int64_t> shape) {
  const GgufBlock& block = gguf_block(type);
  append_text(tensors_, name);
  append(tensors_, static_cast<uint32_t>(shape.size()));
  uint64_t values = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    append(tensors_, static_cast<uint64_t>(shape[i]));
    values *= static_cast<uint64_t>(shape[i]);
  }
  CHECK(!shape.empty() && shape.back() % block.values == 0, kInput,
        "{}: tensor \"{}\": expected rows of whole blocks of {} values", name_, name, block.values);
  append(tensors_, type);
  append(tensors_, offset_);
  bytes_.push_back(values / static_cast<uint64_t>(block.values) *
                   static_cast<uint64_t>(block.bytes));
  offset_ += bytes_.back() + padding(bytes_.back());
}

void GgufWriter::write_header() {
  has_header_ = true;
  std::string header(kGgufMagic);
  append(header, uint32_t{3});
  append(header, static_cast<uint64_t>(bytes_.size()));
  append(header, num_values_);
  const uint64_t size = header.size() + values_.size() + tensors_.size();
  for (const std::string* part : {&header, &values_, &tensors_}) file_.write(*part);
  file_.write(std::string(padding(size), '\0'));
}

void GgufWriter::write(std::string_view bytes) {
  if (!has_header_) write_header();
  CHECK(current_ < bytes_.size() && bytes.size() <= bytes_[current_] - written_, kFailure,
        "{}: more bytes than the tensors described", name_);
  file_.write(bytes);
  written_ += bytes.size();
  if (written_ < bytes_[current_]) return;
  file_.write(std::string(padding(written_), '\0'));
  ++current_;
  written_ = 0;
}

void GgufWriter::commit() {
  if (!has_header_) write_header();
  CHECK(current_ == bytes_.size(), kFailure, "{}: {} of {} tensors were written", name_, current_,
        bytes_.size());
  file_.commit();
}

}  // namespace etrlrec
