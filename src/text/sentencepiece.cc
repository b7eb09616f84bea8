#include "text/sentencepiece.h"

#include <sentencepiece_processor.h>

#include "base/check.h"
#include "text/added_vocabulary.h"
#include "text/sentencepiece_file.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

using Type = SentencePieceFile::Type;
constexpr size_t kMaxPieceText = size_t{1} << 26;
constexpr int64_t kMaxId = int64_t{1} << 21;

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view bytes, SentencePieceExtras extras,
                         const std::string& name)
      : extras_(std::move(extras)) {
    const SentencePieceFile file = read_sentencepiece_file(bytes, name);
    load(bytes, name);
    strips_space_ = file.adds_space;
    for (const auto& piece : file.pieces) texts_.push_back(spelled(piece));
    add_tokens(file, name);
    added_ = AddedVocabulary({extras_.added.begin(), extras_.added.end()}, {});
    eos_id_ = processor_.eos_id();
    if (extras_.eos_token.empty()) return;
    const auto found = extras_.added.find(extras_.eos_token);
    CHECK(found != extras_.added.end(), kModel, "{}: end token \"{}\" is not in the vocabulary",
          name, extras_.eos_token);
    eos_id_ = found->second.id;
  }

  int64_t vocab_size() const override { return static_cast<int64_t>(texts_.size()); }

  std::vector<int64_t> encode(std::string_view text) const override {
    CHECK(text.size() <= kMaxPieceText, kInput,
          "text to encode: expected at most {} bytes, found {}", kMaxPieceText, text.size());
    std::vector<int> ids;
    const auto status = processor_.Encode(text, &ids);
    CHECK(status.ok(), kInput, "text: SentencePiece cannot encode it: {}", status.ToString());
    return {ids.begin(), ids.end()};
  }

  std::vector<int64_t> encode_after_special(std::string_view text) const override {
    CHECK(extras_.legacy, kModel,
          "tokenizer: text behind a special token with \"legacy\": false needs a tokenizer.json");
    return encode(text);
  }

  std::vector<int64_t> encode_prompt(std::string_view text, bool parse_special) const override {
    return added_.encode(text, parse_special ? AddedTokenUse::kAll : AddedTokenUse::kNotSpecial,
                         [this](std::string_view part, bool is_at_start) {
                           return is_at_start ? encode(part) : encode_after_special(part);
                         });
  }

  std::string token_text(int64_t id) const override {
    CHECK(id >= 0 && id < vocab_size() && !texts_[static_cast<size_t>(id)].empty(), kInput,
          "decode: token id {} is not in the vocabulary of {} ids", id, vocab_size());
    return texts_[static_cast<size_t>(id)];
  }

  std::string decode(std::span<const int64_t> ids) const override {
    std::string text;
    for (int64_t id : ids) text += token_text(id);
    if (strips_space_ && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }

  int64_t special_id(std::string_view name) const override { return added_token(name).id; }
  AddedToken added_token(std::string_view name) const override {
    return find_added_token(extras_.added, name);
  }
  std::vector<std::string> added_token_names() const override { return names_of(extras_.added); }
  int64_t eos_id() const override {
    CHECK(eos_id_ >= 0, kInput, "tokenizer: the SentencePiece model has no end token");
    return eos_id_;
  }

 private:
  void load(std::string_view bytes, const std::string& name) {
    std::string problem;
    try {
      const auto status = processor_.LoadFromSerializedProto(bytes);
      if (!status.ok()) problem = status.ToString();
    } catch (const std::exception& error) {  // of the library's trie builder
      problem = error.what();
    }
    CHECK(problem.empty(), kInput, "{}: SentencePiece refuses the model: {}", name, problem);
  }

  static std::string spelled(const SentencePieceFile::Piece& piece) {
    if (piece.type == Type::kNormal || piece.type == Type::kUserDefined ||
        piece.type == Type::kUnused)
      return with_spaces(piece.text);
    const int byte = piece.type == Type::kByte ? byte_of(piece.text) : -1;
    return byte >= 0 ? std::string(1, static_cast<char>(byte)) : piece.text;
  }

  void add_tokens(const SentencePieceFile& file, const std::string& name) {
    for (const auto& [content, token] : extras_.added) {
      CHECK(token.id >= 0 && token.id < kMaxId, kModel,
            "{}: added token \"{}\": id {} is out of range", name, content, token.id);
      const auto at = static_cast<size_t>(token.id);
      const bool is_piece = at < file.pieces.size();
      CHECK(!is_piece || file.pieces[at].text == content, kModel,
            "{}: added token \"{}\" has the id of the piece \"{}\"", name, content,
            is_piece ? file.pieces[at].text : "");
      if (at >= texts_.size()) texts_.resize(at + 1);
      CHECK(is_piece || texts_[at].empty(), kModel, "{}: token id {} occurs twice", name, at);
      if (!content.empty()) texts_[at] = content;
    }
    for (size_t id = 0; id < file.pieces.size(); ++id)
      if (file.pieces[id].type == Type::kControl || file.pieces[id].type == Type::kUnknown)
        extras_.added.emplace(file.pieces[id].text, AddedToken{static_cast<int64_t>(id)});
  }

  sentencepiece::SentencePieceProcessor processor_;
  SentencePieceExtras extras_;
  AddedVocabulary added_;
  std::vector<std::string> texts_;
  int64_t eos_id_ = -1;
  bool strips_space_ = true;
};

}  // namespace

std::unique_ptr<Tokenizer> parse_sentencepiece(std::string_view bytes, SentencePieceExtras extras,
                                               const std::string& name) {
  return std::make_unique<SentencePieceTokenizer>(bytes, std::move(extras), name);
}

}  // namespace etrlrec
