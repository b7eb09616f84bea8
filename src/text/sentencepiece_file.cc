// The wire format is that of protocol buffers: a key (field number and kind) and a value, over and
// over. Field numbers are those of sentencepiece_model.proto.
#include "text/sentencepiece_file.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 21, kMaxPieceBytes = 4096;

class Fields {
 public:
  Fields(std::string_view bytes, const std::string& name) : rest_(bytes), name_(name) {}

  // Moves to the next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const uint64_t key = varint();
    number_ = key >> 3;
    kind_ = key & 7;
    bytes_ = {};
    value_ = 0;
    switch (kind_) {
      case 0:
        value_ = varint();
        break;
      case 1:
        bytes_ = take(8);
        break;
      case 2:
        bytes_ = take(varint());
        break;
      case 5:
        bytes_ = take(4);
        break;
      default:
        fail_format("an unknown kind of field");
    }
    if (number_ == 0) fail_format("field number 0");
    return true;
  }
  uint64_t number() const { return number_; }
  std::string_view bytes() const {
    if (kind_ != 2) fail_format("a field of another kind");
    return bytes_;
  }
  uint64_t integer() const {
    if (kind_ != 0) fail_format("a field of another kind");
    return value_;
  }
  float real() const {
    if (kind_ != 5) fail_format("a field of another kind");
    float value;
    std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

 private:
  [[noreturn]] void fail_format(const char* what) const {
    fail(ExitCode::kInput, "{}: not a SentencePiece model, or damaged: {}", name_, what);
  }
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) fail_format("it ends inside a field");
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail_format("a number of more than 64 bits");
  }

  std::string_view rest_, bytes_;
  const std::string& name_;
  uint64_t number_ = 0, kind_ = 0, value_ = 0;
};

SentencePieceFile::Piece read_piece(std::string_view bytes, size_t id, const std::string& name) {
  using Type = SentencePieceFile::Type;
  SentencePieceFile::Piece piece;
  for (Fields field(bytes, name); field.next();) {
    if (field.number() == 1) piece.text = field.bytes();
    if (field.number() == 2)
      CHECK(std::isfinite(field.real()), kInput, "{}: piece {}: its score is not a number", name,
            id);
    if (field.number() != 3) continue;
    CHECK(field.integer() >= 1 && field.integer() <= 6, kInput, "{}: piece {}: unknown type {}",
          name, id, field.integer());
    piece.type = static_cast<Type>(field.integer());
  }
  const std::string& text = piece.text;
  CHECK(!text.empty() && text.size() <= kMaxPieceBytes && valid_utf8_length(text) == text.size() &&
            text.find('\0') == text.npos,
        kInput, "{}: piece {}: expected 1 to {} bytes of UTF-8 without zeros", name, id,
        kMaxPieceBytes);
  CHECK(piece.type != Type::kUserDefined || !is_marker(text), kInput,
        "{}: piece {} \"{}\" is user-defined: texts could open or close something with it; "
        "expected a control piece",
        name, id, text);
  return piece;
}

void check_trainer(std::string_view bytes, const std::string& name) {
  uint64_t model_type = 1;
  for (Fields field(bytes, name); field.next();)
    if (field.number() == 3) model_type = field.integer();
  CHECK(model_type == 1 || model_type == 2, kInput,
        "{}: SentencePiece model type {} is not supported; known: unigram, bpe", name,
        model_type == 3   ? "word"
        : model_type == 4 ? "char"
                          : std::to_string(model_type));
}

// A table of normalisation: the size of a double-array trie, the trie, and the replacements, each
// ended by a zero. Whatever unit the search may reach must lie inside, and every leaf must point
// to a replacement.
void check_charsmap(std::string_view bytes, const std::string& name) {
  if (bytes.empty()) return;
  uint32_t trie_bytes = 0;
  CHECK(bytes.size() > sizeof trie_bytes, kInput, "{}: damaged normalisation table", name);
  std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
  bytes.remove_prefix(sizeof trie_bytes);
  CHECK(trie_bytes >= 1024 && trie_bytes % 1024 == 0 && trie_bytes < bytes.size(), kInput,
        "{}: normalisation table: damaged size", name);
  const std::string_view texts = bytes.substr(trie_bytes);
  CHECK(texts.back() == '\0' && valid_utf8_length(texts) == texts.size(), kInput,
        "{}: normalisation table: expected replacements in UTF-8, each ended by a zero", name);
  std::vector<uint32_t> units(trie_bytes / 4);
  std::memcpy(units.data(), bytes.data(), trie_bytes);
  for (uint32_t i = 0; i < units.size(); ++i) {
    const uint32_t unit = units[i];
    if (unit >> 31) continue;  // a leaf: its value is checked where it is reached
    const uint32_t child = i ^ ((unit >> 10) << ((unit & 0x200) >> 6));
    CHECK((child | 0xFF) < units.size(), kInput, "{}: normalisation table: damaged unit {}", name,
          i);
    CHECK((unit & 0x100) == 0 || (units[child] & 0x7FFFFFFF) < texts.size(), kInput,
          "{}: normalisation table: damaged leaf {}", name, child);
  }
}

void read_normalizer(std::string_view bytes, bool& adds_space, const std::string& name) {
  for (Fields field(bytes, name); field.next();) {
    if (field.number() == 2) check_charsmap(field.bytes(), name);
    if (field.number() == 3) adds_space = field.integer() != 0;
  }
}

}  // namespace

SentencePieceFile read_sentencepiece_file(std::string_view bytes, const std::string& name) {
  SentencePieceFile file;
  bool has_trainer = false, has_normalizer = false;
  for (Fields field(bytes, name); field.next();) {
    bool ignored = false;
    switch (field.number()) {
      case 1:
        CHECK(file.pieces.size() < kMaxPieces, kInput, "{}: more than {} pieces", name, kMaxPieces);
        file.pieces.push_back(read_piece(field.bytes(), file.pieces.size(), name));
        break;
      case 2:
        check_trainer(field.bytes(), name), has_trainer = true;
        break;
      case 3:
        read_normalizer(field.bytes(), file.adds_space, name), has_normalizer = true;
        break;
      case 5:
        read_normalizer(field.bytes(), ignored, name);
        break;
      default:
        break;
    }
  }
  CHECK(!file.pieces.empty() && has_trainer && has_normalizer, kInput,
        "{}: not a whole SentencePiece model: expected pieces, their trainer's and their "
        "normalizer's settings",
        name);
  return file;
}

}  // namespace etrlrec
