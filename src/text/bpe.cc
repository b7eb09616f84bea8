#include "text/bpe.h"

#include <algorithm>
#include <cstring>
#include <queue>

#include "base/check.h"
#include "text/normal_forms.h"
#include "text/split_patterns.h"

namespace etrlrec {
namespace {

constexpr uint64_t kNoPair = ~uint64_t{0};
constexpr size_t kShort = 48;  // ids; longer pieces are merged with a heap
constexpr size_t kMaxText = size_t{1} << 30;

uint64_t pair_key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

// Hash of a piece in whole words; the last word overlaps the one before it.
uint64_t piece_hash(std::string_view piece) {
  const char* p = piece.data();
  const size_t n = piece.size();
  uint64_t hash = n * 0xD6E8FEB86659FD93u, part = 0;
  const auto mix = [&] {
    hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  };
  if (n >= 8) {
    for (size_t i = 0; i + 8 < n; i += 8) std::memcpy(&part, p + i, 8), mix();
    std::memcpy(&part, p + n - 8, 8);
  } else if (n >= 4) {
    uint32_t low, high;
    std::memcpy(&low, p, 4);
    std::memcpy(&high, p + n - 4, 4);
    part = uint64_t{high} << 32 | low;
  } else {
    for (size_t i = 0; i < n; ++i) part = part << 8 | static_cast<unsigned char>(p[i]);
  }
  mix();
  return hash ^ hash >> 17;
}

std::string to_nfc(std::string_view text) { return normal_form(text, NormalForm::kNfc); }

size_t pair_hash(uint64_t key) { return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> 20); }

}  // namespace

void BpeMerges::rehash(size_t slots) {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(slots, Slot{kNoPair, 0, 0});
  for (const Slot& slot : old) {
    if (slot.pair == kNoPair) continue;
    size_t i = pair_hash(slot.pair) & (slots - 1);
    while (slots_[i].pair != kNoPair) i = (i + 1) & (slots - 1);
    slots_[i] = slot;
  }
}

bool BpeMerges::add(const BpeMerge& merge) {
  if (find(merge.left, merge.right) != nullptr) return false;
  if (2 * (used_ + 1) > slots_.size()) rehash(2 * slots_.size());
  const uint64_t key = pair_key(merge.left, merge.right);
  size_t i = pair_hash(key) & (slots_.size() - 1);
  while (slots_[i].pair != kNoPair) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = Slot{key, static_cast<uint32_t>(used_++), merge.result};
  return true;
}

const BpeMerges::Slot* BpeMerges::find(uint32_t left, uint32_t right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t i = pair_hash(key) & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].pair == key) return &slots_[i];
    if (slots_[i].pair == kNoPair) return nullptr;
  }
}

void BpeMerges::apply(std::vector<uint32_t>& ids) const {
  if (ids.size() < 2) return;
  ids.size() <= kShort ? apply_short(ids) : apply_long(ids);
}

void BpeMerges::apply_short(std::vector<uint32_t>& ids) const {
  size_t n = ids.size();
  const Slot* best[kShort];  // of the pair (i, i + 1)
  for (size_t i = 0; i + 1 < n; ++i) best[i] = find(ids[i], ids[i + 1]);
  while (true) {
    const Slot* lowest = nullptr;
    size_t at = 0;
    for (size_t i = 0; i + 1 < n; ++i)
      if (best[i] != nullptr && (lowest == nullptr || best[i]->rank < lowest->rank))
        lowest = best[i], at = i;
    if (lowest == nullptr) break;
    ids[at] = lowest->result;
    for (size_t i = at + 1; i + 1 < n; ++i) ids[i] = ids[i + 1], best[i - 1] = best[i];
    --n;
    if (at + 1 < n) best[at] = find(ids[at], ids[at + 1]);
    if (at > 0) best[at - 1] = find(ids[at - 1], ids[at]);
  }
  ids.resize(n);
}

void BpeMerges::apply_long(std::vector<uint32_t>& ids) const {
  struct Entry {
    uint32_t rank, at;
    uint64_t pair;
    uint32_t result;
    bool operator>(const Entry& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  constexpr uint32_t kEnd = ~uint32_t{0};
  const auto n = static_cast<uint32_t>(ids.size());
  std::vector<uint32_t> next(n), previous(n);
  std::vector<bool> alive(n, true);
  for (uint32_t i = 0; i < n; ++i) next[i] = i + 1 < n ? i + 1 : kEnd, previous[i] = i - 1;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap;
  const auto push = [&](uint32_t i) {
    if (i == kEnd || next[i] == kEnd) return;
    if (const Slot* slot = find(ids[i], ids[next[i]]))
      heap.push({slot->rank, i, slot->pair, slot->result});
  };
  for (uint32_t i = 0; i < n; ++i) push(i);
  while (!heap.empty()) {
    const Entry entry = heap.top();
    heap.pop();
    const uint32_t i = entry.at;
    if (!alive[i] || next[i] == kEnd || pair_key(ids[i], ids[next[i]]) != entry.pair) continue;
    const uint32_t gone = next[i];
    alive[gone] = false;
    ids[i] = entry.result;
    next[i] = next[gone];
    if (next[i] != kEnd) previous[next[i]] = i;
    push(i);
    push(previous[i]);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != kEnd; i = next[i]) ids[kept++] = ids[i];
  ids.resize(kept);
}

// Two slots of one cache line a hash: fixed memory, no allocation, the older word of two leaves.
struct BpeTokenizer::State {
  struct alignas(64) Word {
    uint8_t length = 0, count = 0;
    char bytes[30];
    uint32_t ids[8];
    bool is(std::string_view piece) const {
      return length == piece.size() && std::memcmp(bytes, piece.data(), piece.size()) == 0;
    }
  };
  static constexpr size_t kWords = size_t{1} << 16;
  std::vector<Word> words = std::vector<Word>(kWords);
  PreTokenizer::Scratch scratch;
  std::vector<std::string_view> pieces;
  std::vector<uint32_t> ids;
};

BpeTokenizer::BpeTokenizer(BpeVocabulary vocabulary, PatternKind kind, bool normalize_nfc)
    : vocabulary_(std::move(vocabulary)),
      pre_tokenizer_(kind, normalize_nfc),
      added_(vocabulary_.added, normalize_nfc ? to_nfc : AddedVocabulary::Normalize()) {
  if (!vocabulary_.ignore_merges) return;
  for (size_t id = 0; id < vocabulary_.tokens.size(); ++id)
    if (!vocabulary_.is_special[id] && !vocabulary_.tokens[id].empty())
      whole_.emplace(vocabulary_.tokens[id], static_cast<uint32_t>(id));
}
BpeTokenizer::~BpeTokenizer() = default;

void BpeTokenizer::encode_piece(std::string_view piece, State& state,
                                std::vector<int64_t>& ids) const {
  State::Word* word = nullptr;
  if (piece.size() <= sizeof(State::Word::bytes)) {
    word = &state.words[2 * (piece_hash(piece) & (State::kWords / 2 - 1))];
    const State::Word* known = word->is(piece) ? word : word[1].is(piece) ? word + 1 : nullptr;
    if (known != nullptr) {
      for (uint8_t i = 0; i < known->count; ++i) ids.push_back(known->ids[i]);
      return;
    }
  }
  state.ids.clear();
  const auto whole = whole_.empty() ? whole_.end() : whole_.find(piece);
  if (whole != whole_.end()) {
    state.ids.push_back(whole->second);
  } else {
    for (unsigned char byte : piece) {
      const uint32_t id = vocabulary_.byte_ids[byte];
      if (id != BpeVocabulary::kNoId) state.ids.push_back(id);
    }
    vocabulary_.merges.apply(state.ids);
  }
  ids.insert(ids.end(), state.ids.begin(), state.ids.end());
  if (word != nullptr && state.ids.size() <= std::size(word->ids)) {
    word[1] = *word;
    word->length = static_cast<uint8_t>(piece.size());
    word->count = static_cast<uint8_t>(state.ids.size());
    std::memcpy(word->bytes, piece.data(), piece.size());
    std::copy(state.ids.begin(), state.ids.end(), word->ids);
  }
}

std::vector<int64_t> BpeTokenizer::encode_prompt(std::string_view text, bool parse_special) const {
  return added_.encode(text, parse_special ? AddedTokenUse::kAll : AddedTokenUse::kNotSpecial,
                       [this](std::string_view part, bool) { return encode(part, false); });
}

std::vector<int64_t> BpeTokenizer::encode(std::string_view text, bool takes_phrases) const {
  CHECK(text.size() <= kMaxText, kInput, "text to encode: expected at most {} bytes, found {}",
        kMaxText, text.size());
  std::unique_ptr<State> state;
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      state = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (state == nullptr) state = std::make_unique<State>();
  std::vector<int64_t> ids;
  for (size_t from = 0; from < text.size();) {
    const Phrases::Match phrase = takes_phrases && !vocabulary_.phrases.empty()
                                      ? vocabulary_.phrases.find(text, from)
                                      : Phrases::Match{};
    const size_t end = phrase.length == 0 ? text.size() : phrase.begin;
    pre_tokenizer_.split(text.substr(from, end - from), state->scratch, state->pieces);
    ids.reserve(ids.size() + state->pieces.size() + state->pieces.size() / 4);
    for (std::string_view piece : state->pieces) encode_piece(piece, *state, ids);
    if (phrase.length > 0) ids.push_back(phrase.id);
    from = end + phrase.length;
  }
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(state));
  return ids;
}

std::string BpeTokenizer::decode(std::span<const int64_t> ids) const {
  std::string text;
  for (int64_t id : ids) text += vocabulary_.text_of(id);
  return text;
}

AddedToken BpeTokenizer::added_token(std::string_view name) const {
  return find_added_token(vocabulary_.specials, name);
}

int64_t BpeTokenizer::eos_id() const { return vocabulary_.end_token(); }

const std::string& BpeVocabulary::text_of(int64_t id) const {
  CHECK(id >= 0 && id < static_cast<int64_t>(tokens.size()) &&
            !tokens[static_cast<size_t>(id)].empty(),
        kInput, "decode: token id {} is not in the vocabulary of {} ids", id, tokens.size());
  return tokens[static_cast<size_t>(id)];
}

int64_t BpeVocabulary::end_token() const {
  CHECK(eos_id >= 0, kInput,
        "tokenizer: no end token\nhint: tokenizer_config.json should name \"eos_token\"");
  return eos_id;
}

std::vector<std::string> names_of(const AddedTokens& tokens) {
  std::vector<std::string> names;
  for (const auto& entry : tokens) names.push_back(entry.first);
  return names;
}

AddedToken find_added_token(const AddedTokens& tokens, std::string_view name) {
  const auto found = tokens.find(name);
  if (found != tokens.end()) return found->second;
  std::string known;
  for (const auto& [content, token] : tokens) known += (known.empty() ? "" : ", ") + content;
  fail(ExitCode::kInput, "tokenizer: no special token \"{}\"; known: {}", name, known);
}

}  // namespace etrlrec
