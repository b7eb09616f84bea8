#include "text/visible_bytes.h"

#include <array>
#include <cstdint>

namespace etrlrec {
namespace {

const std::array<std::string, 256>& visible_bytes() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> out;
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      const uint32_t point = printable ? byte : next++;
      if (point < 0x80) {
        out[byte] = static_cast<char>(point);
      } else {
        out[byte] = {static_cast<char>(0xC0 | point >> 6),
                     static_cast<char>(0x80 | (point & 0x3F))};
      }
    }
    return out;
  }();
  return table;
}

// Byte of each code point of the alphabet, -1 elsewhere.
const std::array<int16_t, 512>& byte_of_point() {
  static const std::array<int16_t, 512> table = [] {
    std::array<int16_t, 512> out;
    out.fill(-1);
    for (int16_t byte = 0; byte < 256; ++byte) {
      const std::string& text = visible_bytes()[static_cast<size_t>(byte)];
      const auto first = static_cast<unsigned char>(text[0]);
      const uint32_t point = text.size() == 1 ? first : (first & 0x1Fu) << 6 | (text[1] & 0x3F);
      out[point] = byte;
    }
    return out;
  }();
  return table;
}

}  // namespace

std::string bytes_to_visible(std::string_view bytes) {
  std::string out;
  for (unsigned char byte : bytes) out += visible_bytes()[byte];
  return out;
}

bool visible_to_bytes(std::string_view visible, std::string& bytes) {
  bytes.clear();
  for (size_t i = 0; i < visible.size(); ++i) {
    auto point = static_cast<uint32_t>(static_cast<unsigned char>(visible[i]));
    if (point >= 0x80) {
      if (point < 0xC2 || point > 0xC7 || i + 1 == visible.size()) return false;
      point = (point & 0x1F) << 6 | (static_cast<unsigned char>(visible[++i]) & 0x3F);
    }
    if (byte_of_point()[point] < 0) return false;
    bytes += static_cast<char>(byte_of_point()[point]);
  }
  return true;
}

}  // namespace etrlrec
