#include "text/word_models.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr uint32_t kNoWord = ModelVocabulary::kNone;

class WordModel : public TokenModel {
 public:
  WordModel(ModelVocabulary table, const std::string& unk_token)
      : TokenModel(std::move(table)), unk_token_(unk_token), unk_id_(tokens().find(unk_token)) {}

 protected:
  void append_unknown(std::string_view word, std::vector<int64_t>& ids) const {
    CHECK(unk_id_ != kNoWord, kInput,
          "text: \"{}\" is not in the vocabulary, and the unknown token \"{}\" is not, either",
          word, unk_token_);
    ids.push_back(unk_id_);
  }

 private:
  std::string unk_token_;
  uint32_t unk_id_;
};

class WordLevelModel final : public WordModel {
 public:
  using WordModel::WordModel;
  void encode(std::string_view piece, bool is_plain, std::vector<int64_t>& ids) const override {
    const uint32_t id = find(piece, is_plain);
    id == kNoWord ? append_unknown(piece, ids) : ids.push_back(id);
  }
};

class WordPieceModel final : public WordModel {
 public:
  WordPieceModel(ModelVocabulary table, const std::string& unk_token, std::string prefix,
                 size_t max_characters)
      : WordModel(std::move(table), unk_token),
        prefix_(std::move(prefix)),
        max_characters_(max_characters) {}

  // A word that does not come out whole is unknown as a whole.
  void encode(std::string_view piece, bool is_plain, std::vector<int64_t>& ids) const override {
    if (code_points(piece) > max_characters_) return append_unknown(piece, ids);
    const size_t first = ids.size();
    std::string spelled;
    for (size_t begin = 0; begin < piece.size();) {
      uint32_t id = kNoWord;
      size_t end = std::min(piece.size(), begin + tokens().longest());
      for (; end > begin; --end) {
        if (end < piece.size() && (piece[end] & 0xC0) == 0x80) continue;  // inside a character
        spelled = begin > 0 ? prefix_ : "";
        spelled += piece.substr(begin, end - begin);
        id = find(spelled, is_plain);
        if (id != kNoWord) break;
      }
      if (id == kNoWord) {
        ids.resize(first);
        return append_unknown(piece, ids);
      }
      ids.push_back(id);
      begin = end;
    }
  }

 private:
  std::string prefix_;
  size_t max_characters_;
};

}  // namespace

std::unique_ptr<TokenModel> read_word_piece_model(const Json& model, const std::string& name) {
  const auto most = get_or<int64_t>(model, "max_input_chars_per_word", 100, name);
  CHECK(most >= 0, kInput, "{}: max_input_chars_per_word: expected a count, found {}", name, most);
  return std::make_unique<WordPieceModel>(
      ModelVocabulary::of_object(model, name),
      get_or<std::string>(model, "unk_token", "[UNK]", name),
      get_or<std::string>(model, "continuing_subword_prefix", "##", name),
      static_cast<size_t>(most));
}

std::unique_ptr<TokenModel> read_word_level_model(const Json& model, const std::string& name) {
  return std::make_unique<WordLevelModel>(ModelVocabulary::of_object(model, name),
                                          get_or<std::string>(model, "unk_token", "<unk>", name));
}

}  // namespace etrlrec
