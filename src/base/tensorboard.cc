#include "base/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

#include "base/check.h"

namespace etrlrec {
namespace {

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78U : 0U);
      entries[i] = value;
    }
    return entries;
  }();
  uint32_t crc = ~0U;
  for (const unsigned char byte : bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

template <typename T>
void append_raw(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), sizeof(T));
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void append_bytes(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string event_with_time() {
  std::string event;
  append_varint(event, 1 << 3 | 1);
  append_raw(event, wall_time());
  return event;
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const std::filesystem::path path =
      folder / fmt::format("events.out.tfevents.{}.etrlrec.{}.{}",
                           static_cast<int64_t>(wall_time()), ::getpid(),
                           std::chrono::steady_clock::now().time_since_epoch().count() % 1000000);
  file_ = std::fopen(path.c_str(), "wb");
  CHECK(file_ != nullptr, kFailure, "{}: cannot create the event file", path.string());
  std::string event = event_with_time();
  append_bytes(event, 3, "brain.Event:2");
  record(event);
}

TensorBoardWriter::~TensorBoardWriter() { std::fclose(file_); }

void TensorBoardWriter::scalar(std::string_view tag, double value, int64_t step) {
  std::string entry;
  append_bytes(entry, 1, tag);
  append_varint(entry, 2 << 3 | 5);
  append_raw(entry, static_cast<float>(value));
  std::string summary;
  append_bytes(summary, 1, entry);
  std::string event = event_with_time();
  append_varint(event, 2 << 3 | 0);
  append_varint(event, static_cast<uint64_t>(step));
  append_bytes(event, 5, summary);
  record(event);
}

void TensorBoardWriter::flush() { std::fflush(file_); }

void TensorBoardWriter::record(std::string_view event) {
  std::string framed;
  append_raw(framed, uint64_t{event.size()});
  append_raw(framed, masked_crc32c(framed));
  framed += event;
  append_raw(framed, masked_crc32c(event));
  std::fwrite(framed.data(), 1, framed.size(), file_);
}

}  // namespace etrlrec
