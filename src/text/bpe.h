// Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019 for the bytes): the vocabulary with its
// merges, the encoder of one piece, and the tokenizer built on both. Internal to text/; others use
// tokenizer.h.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/added_vocabulary.h"
#include "text/phrases.h"
#include "text/pre_tokenizer.h"
#include "text/split_patterns.h"
#include "text/tokenizer.h"

namespace etrlrec {

struct BpeMerge {
  uint32_t left = 0, right = 0, result = 0;
};

// Merge lookup by pair and the greedy encoder: the merge of lowest rank first, the leftmost of
// equals.
class BpeMerges {
 public:
  BpeMerges() { rehash(16); }
  // Rank is the number of merges before it. False when the pair is there already.
  bool add(const BpeMerge& merge);
  size_t size() const { return used_; }
  // Merges `ids` in place.
  void apply(std::vector<uint32_t>& ids) const;

 private:
  struct Slot {
    uint64_t pair;
    uint32_t rank, result;
  };
  void rehash(size_t slots);
  const Slot* find(uint32_t left, uint32_t right) const;
  void apply_short(std::vector<uint32_t>& ids) const;
  void apply_long(std::vector<uint32_t>& ids) const;  // n log n

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

using AddedTokens = std::map<std::string, AddedToken, std::less<>>;             // by content
AddedToken find_added_token(const AddedTokens& tokens, std::string_view name);  // kInput: unknown
std::vector<std::string> names_of(const AddedTokens& tokens);

struct BpeVocabulary {
  std::vector<std::string> tokens;  // bytes of every id; empty where no id is
  std::vector<bool> is_special;
  static constexpr uint32_t kNoId = ~uint32_t{0};
  std::array<uint32_t, 256> byte_ids{};  // kNoId: no such byte token
  BpeMerges merges;
  bool ignore_merges = false;  // a piece that is a token is taken whole
  AddedTokens specials;
  Phrases phrases;                // added tokens that are ordinary text
  AddedVocabulary::Tokens added;  // specials and phrases
  int64_t eos_id = -1;

  const std::string& text_of(int64_t id) const;  // kInput: no such token
  int64_t end_token() const;                     // kInput: none is named
};

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(BpeVocabulary vocabulary, PatternKind kind, bool normalize_nfc);
  ~BpeTokenizer() override;
  int64_t vocab_size() const override { return static_cast<int64_t>(vocabulary_.tokens.size()); }
  std::vector<int64_t> encode(std::string_view text) const override { return encode(text, true); }
  std::vector<int64_t> encode_prompt(std::string_view text, bool parse_special) const override;
  std::string decode(std::span<const int64_t> ids) const override;
  int64_t special_id(std::string_view name) const override { return added_token(name).id; }
  AddedToken added_token(std::string_view name) const override;
  std::vector<std::string> added_token_names() const override {
    return names_of(vocabulary_.specials);
  }
  int64_t eos_id() const override;

 private:
  std::vector<int64_t> encode(std::string_view text, bool takes_phrases) const;
  struct State;  // buffers and word cache of one running call
  void encode_piece(std::string_view piece, State& state, std::vector<int64_t>& ids) const;

  BpeVocabulary vocabulary_;
  PreTokenizer pre_tokenizer_;
  AddedVocabulary added_;                                 // for encode_prompt
  std::unordered_map<std::string_view, uint32_t> whole_;  // only with ignore_merges
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<State>> idle_;
};

}  // namespace etrlrec
