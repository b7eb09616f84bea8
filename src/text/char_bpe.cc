#include "text/char_bpe.h"

#include <utf8proc.h>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxCharText = size_t{1} << 28;
constexpr uint32_t kVisibleSpace = 0x2581;
constexpr std::string_view kVisibleSpaceBytes = "\u2581";

}  // namespace

CharBpeTokenizer::CharBpeTokenizer(BpeVocabulary vocabulary,
                                   std::unordered_map<uint32_t, uint32_t> characters,
                                   const CharBpeSettings& settings)
    : vocabulary_(std::move(vocabulary)),
      characters_(std::move(characters)),
      settings_(settings),
      added_(vocabulary_.added, {}) {}

bool CharBpeTokenizer::has_prefix(std::string_view text, bool at_start) const {
  using enum CharBpeSettings::Prefix;
  const bool has_space = text.starts_with(' ') || text.starts_with(kVisibleSpaceBytes);
  switch (settings_.prefix) {
    case kNone:
      return false;
    case kPrepend:
      return true;
    case kUnlessSpace:
      return !has_space;
    case kUnlessSpaceAtStart:
      return at_start && !has_space;
  }
  return false;
}

void CharBpeTokenizer::append_unknown(std::string_view bytes, std::vector<uint32_t>& word) const {
  bool all = settings_.byte_fallback;
  for (unsigned char byte : bytes) all = all && vocabulary_.byte_ids[byte] != BpeVocabulary::kNoId;
  if (all) {
    for (unsigned char byte : bytes) word.push_back(vocabulary_.byte_ids[byte]);
    return;
  }
  CHECK(settings_.unk_id >= 0, kInput,
        "text: a character of {} bytes is not in the vocabulary, and there is no unknown token",
        bytes.size());
  const auto unk = static_cast<uint32_t>(settings_.unk_id);
  if (!settings_.fuse_unk || word.empty() || word.back() != unk) word.push_back(unk);
}

std::vector<int64_t> CharBpeTokenizer::encode(std::string_view text, bool at_start) const {
  CHECK(text.size() <= kMaxCharText, kInput, "text to encode: expected at most {} bytes, found {}",
        kMaxCharText, text.size());
  std::vector<int64_t> ids;
  if (text.empty()) return ids;
  std::vector<uint32_t> word;
  const auto finish_word = [&] {
    vocabulary_.merges.apply(word);
    ids.insert(ids.end(), word.begin(), word.end());
    word.clear();
  };
  const auto append = [&](uint32_t point, std::string_view bytes) {
    if (settings_.split_words && point == kVisibleSpace) finish_word();
    const auto found = characters_.find(point);
    found != characters_.end() ? word.push_back(found->second) : append_unknown(bytes, word);
  };
  if (has_prefix(text, at_start)) append(kVisibleSpace, kVisibleSpaceBytes);
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t point = 0;
    const auto length =
        utf8proc_iterate(p + i, static_cast<utf8proc_ssize_t>(text.size() - i), &point);
    if (length <= 0) {
      append_unknown(text.substr(i++, 1), word);
    } else if (point == ' ') {
      append(kVisibleSpace, kVisibleSpaceBytes);
      ++i;
    } else {
      append(static_cast<uint32_t>(point), text.substr(i, static_cast<size_t>(length)));
      i += static_cast<size_t>(length);
    }
  }
  finish_word();
  return ids;
}

std::vector<int64_t> CharBpeTokenizer::encode_prompt(std::string_view text,
                                                     bool parse_special) const {
  return added_.encode(
      text, parse_special ? AddedTokenUse::kAll : AddedTokenUse::kNotSpecial,
      [this](std::string_view part, bool is_at_start) { return encode(part, is_at_start); });
}

std::string CharBpeTokenizer::token_text(int64_t id) const { return vocabulary_.text_of(id); }

std::string CharBpeTokenizer::decode(std::span<const int64_t> ids) const {
  std::string text;
  for (int64_t id : ids) text += vocabulary_.text_of(id);
  if (settings_.strips_space && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

AddedToken CharBpeTokenizer::added_token(std::string_view name) const {
  return find_added_token(vocabulary_.specials, name);
}

int64_t CharBpeTokenizer::eos_id() const { return vocabulary_.end_token(); }

}  // namespace etrlrec
