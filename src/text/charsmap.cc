#include "text/charsmap.h"

#include <utf8proc.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "text/characters.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxGrapheme = 6;  // bytes; longer ones are taken apart

std::string from_base64(std::string_view text, const std::string& name) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int8_t, 256> values;
  values.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int8_t value = values[static_cast<unsigned char>(c)];
    CHECK(value >= 0, kInput, "{}: precompiled_charsmap: expected base64", name);
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  return out;
}

uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

Charsmap Charsmap::of_base64(std::string_view text, const std::string& name) {
  return Charsmap(from_base64(text, name), name);
}

Charsmap::Charsmap(std::string_view bytes, const std::string& name) {
  uint32_t trie_bytes = 0;
  CHECK(bytes.size() > sizeof trie_bytes, kInput,
        "{}: precompiled_charsmap: expected a table, found {} bytes", name, bytes.size());
  std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
  bytes.remove_prefix(sizeof trie_bytes);
  CHECK(trie_bytes >= 4 && trie_bytes % 4 == 0 && trie_bytes <= bytes.size(), kInput,
        "{}: precompiled_charsmap: a trie of {} bytes in a table of {}", name, trie_bytes,
        bytes.size());
  units_.resize(trie_bytes / 4);
  std::memcpy(units_.data(), bytes.data(), trie_bytes);
  texts_ = bytes.substr(trie_bytes);
  CHECK(is_utf8(texts_), kInput, "{}: precompiled_charsmap: expected replacements in UTF-8", name);
  texts_ += '\0';
}

bool Charsmap::find(std::string_view text, std::string_view& replacement) const {
  size_t at = offset_of(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    at ^= byte;
    if (byte == 0 || at >= units_.size()) return false;
    const uint32_t unit = units_[at];
    if ((unit & 0x800000FFu) != byte) return false;
    at ^= offset_of(unit);
    if ((unit >> 8 & 1) == 0) continue;
    if (at >= units_.size()) return false;
    const size_t begin = units_[at] & 0x7FFFFFFFu;
    if (begin >= texts_.size()) return false;
    replacement = std::string_view(texts_).substr(begin, texts_.find('\0', begin) - begin);
    return is_utf8(replacement);
  }
  return false;
}

void Charsmap::normalize(
    std::string_view text,
    const std::function<void(std::string_view, std::string_view)>& on_part) const {
  std::string_view replacement;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    utf8proc_int32_t state = 0;
    Character last = character_at(text, begin);
    end = begin + last.length;
    while (end < text.size()) {
      const Character next = character_at(text, end);
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last.point),
                                           static_cast<utf8proc_int32_t>(next.point), &state))
        break;
      end += next.length;
      last = next;
    }
    const std::string_view grapheme = text.substr(begin, end - begin);
    if (grapheme.size() < kMaxGrapheme && find(grapheme, replacement)) {
      on_part(grapheme, replacement);
      continue;
    }
    for (size_t i = 0; i < grapheme.size();) {
      const std::string_view part = grapheme.substr(i, character_at(grapheme, i).length);
      on_part(part, find(part, replacement) ? replacement : part);
      i += part.size();
    }
  }
}

}  // namespace etrlrec
