// The models of tokenizer.json, which turn a piece of text into ids: BPE, Unigram, WordPiece and
// WordLevel behind one interface, and the table of tokens that they share. Internal to text/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace etrlrec {

class ModelVocabulary {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // Errors (kInput, with `name`): an id out of range, or given to two tokens; too many bytes.
  void add(const std::string& token, int64_t id, const std::string& name);
  // model.vocab as an object of ids by token.
  static ModelVocabulary of_object(const nlohmann::json& model, const std::string& name);

  uint32_t find(std::string_view token) const;  // kNone: there is none
  // Token of an id below size(); "" where there is none.
  const std::string& text(size_t id) const { return texts_[id]; }
  size_t size() const { return texts_.size(); }
  size_t longest() const { return longest_; }  // bytes of the longest token

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::vector<std::string> texts_;
  std::vector<bool> is_used_;
  std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> ids_;
  size_t longest_ = 0, bytes_ = 0;
};

// Tokens that a text may not spell: is_banned[id]; ids beyond its size are allowed.
using BannedTokens = std::vector<bool>;
inline bool is_banned(const BannedTokens& banned, uint32_t id) {
  return id < banned.size() && banned[id];
}

class TokenModel {
 public:
  explicit TokenModel(ModelVocabulary tokens) : tokens_(std::move(tokens)) {}
  virtual ~TokenModel() = default;
  const ModelVocabulary& tokens() const { return tokens_; }
  // Which tokens no text becomes in encode() with is_plain; to be called once, before it.
  virtual void ban(BannedTokens banned) { banned_ = std::move(banned); }
  // Appends the ids of a piece of UTF-8. Error (kInput): a character or word outside of the
  // vocabulary where the model has no unknown token.
  virtual void encode(std::string_view piece, bool is_plain, std::vector<int64_t>& ids) const = 0;

 protected:
  // kNone also for what is banned.
  uint32_t find(std::string_view token, bool is_plain) const {
    const uint32_t id = tokens_.find(token);
    return is_plain && is_banned(banned_, id) ? ModelVocabulary::kNone : id;
  }
  const BannedTokens& banned() const { return banned_; }

 private:
  ModelVocabulary tokens_;
  BannedTokens banned_;
};

}  // namespace etrlrec
