#include "text/bpe_train.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/bpe.h"
#include "text/bpe_json.h"
#include "text/split_patterns.h"
#include "text/utf8.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

struct Word {
  std::vector<uint32_t> ids;
  int64_t count = 0;
};

uint64_t pair_key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

// Vocabulary that grows by merges.
struct Growth {
  std::vector<std::string> tokens;        // bytes by id; special tokens first, as their content
  std::unordered_set<std::string> known;  // bytes of ordinary tokens
  std::array<uint32_t, 256> byte_ids{};
  std::vector<BpeMerge> merges;
  BpeMerges lookup;

  void add(uint32_t left, uint32_t right) {
    const auto id = static_cast<uint32_t>(tokens.size());
    tokens.push_back(tokens[left] + tokens[right]);
    known.insert(tokens.back());
    merges.push_back({left, right, id});
    lookup.add(merges.back());
  }
  std::vector<uint32_t> segment(std::string_view piece) const {
    std::vector<uint32_t> ids;
    for (unsigned char byte : piece) ids.push_back(byte_ids[byte]);
    lookup.apply(ids);
    return ids;
  }
};

class PairCounts {
 public:
  explicit PairCounts(std::vector<Word> words) : words_(std::move(words)) {
    for (uint32_t w = 0; w < words_.size(); ++w)
      for (size_t i = 0; i + 1 < words_[w].ids.size(); ++i)
        change(pair_key(words_[w].ids[i], words_[w].ids[i + 1]), words_[w].count, w);
    for (const auto& [pair, info] : pairs_) heap_.push({info.count, pair});
    touched_.clear();
  }

  // Merges the most frequent pair with at least `min_count` occurrences; false when there is none.
  bool merge_best(int64_t min_count, Growth& growth) {
    while (!heap_.empty()) {
      const Entry top = heap_.top();
      heap_.pop();
      Info& info = pairs_.at(top.pair);
      if (top.count != info.count) {  // stale: its count changed since it was pushed
        if (info.count > 0 && info.count < top.count) heap_.push({info.count, top.pair});
        continue;
      }
      if (top.count < min_count) return false;
      const auto left = static_cast<uint32_t>(top.pair >> 32),
                 right = static_cast<uint32_t>(top.pair);
      if (growth.known.contains(growth.tokens[left] + growth.tokens[right])) continue;
      growth.add(left, right);
      merge(top.pair, growth.merges.back());
      return true;
    }
    return false;
  }

 private:
  struct Info {
    int64_t count = 0;
    std::vector<uint32_t> words;  // that held the pair at some time, ascending runs
  };
  struct Entry {
    int64_t count;
    uint64_t pair;
    bool operator<(const Entry& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  void change(uint64_t pair, int64_t by, uint32_t word) {
    Info& info = pairs_[pair];
    info.count += by;
    if (by > 0) {
      if (info.words.empty() || info.words.back() != word) info.words.push_back(word);
      touched_.push_back(pair);
    }
  }

  void merge(uint64_t pair, const BpeMerge& merge) {
    std::vector<uint32_t> holders = std::move(pairs_.at(pair).words);
    std::sort(holders.begin(), holders.end());
    holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
    touched_.clear();
    for (uint32_t w : holders) merge_in_word(w, merge);
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (uint64_t changed : touched_) heap_.push({pairs_.at(changed).count, changed});
  }

  void merge_in_word(uint32_t w, const BpeMerge& merge) {
    Word& word = words_[w];
    std::vector<uint32_t>& ids = word.ids;
    bool present = false;
    for (size_t i = 0; i + 1 < ids.size() && !present; ++i)
      present = ids[i] == merge.left && ids[i + 1] == merge.right;
    if (!present) return;
    for (size_t i = 0; i + 1 < ids.size(); ++i)
      change(pair_key(ids[i], ids[i + 1]), -word.count, w);
    size_t kept = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool here = i + 1 < ids.size() && ids[i] == merge.left && ids[i + 1] == merge.right;
      ids[kept++] = here ? merge.result : ids[i];
      i += here;
    }
    ids.resize(kept);
    for (size_t i = 0; i + 1 < ids.size(); ++i) change(pair_key(ids[i], ids[i + 1]), word.count, w);
  }

  std::vector<Word> words_;
  std::unordered_map<uint64_t, Info> pairs_;
  std::priority_queue<Entry> heap_;
  std::vector<uint64_t> touched_;
};

PatternKind choose_pattern(const BpeTrainingOptions& options) {
  if (options.split_digits) return PatternKind::kQwen2;
  for (const std::string& word : options.required_words)
    if (word.size() > 1 && word[0] == ' ' && word[1] >= '0' && word[1] <= '9')
      return PatternKind::kSpacedNumbers;
  return PatternKind::kLlama3;
}

Growth start_growth(const BpeTrainingOptions& options) {
  Growth growth;
  std::unordered_set<std::string> specials;
  for (const std::string& special : options.special_tokens) {
    CHECK(special.size() > 1 && special.size() <= 256 &&
              valid_utf8_length(special) == special.size() && specials.insert(special).second,
          kUsage, "special token \"{}\": expected distinct UTF-8 texts of 2 to 256 bytes", special);
    growth.tokens.push_back(special);
  }
  for (int byte = 0; byte < 256; ++byte) {
    growth.byte_ids[static_cast<size_t>(byte)] = static_cast<uint32_t>(growth.tokens.size());
    growth.tokens.emplace_back(1, static_cast<char>(byte));
    growth.known.insert(growth.tokens.back());
  }
  std::string bytes;
  for (const std::string& special :
       specials) {  // no merge may lead to an entry that is written like a special token
    if (!visible_to_bytes(special, bytes)) continue;
    CHECK(growth.known.insert(bytes).second, kUsage, "special token \"{}\" is written like a byte",
          special);
  }
  CHECK(static_cast<int64_t>(growth.tokens.size()) <= options.vocab_size, kUsage,
        "--vocab-size: expected at least {} (bytes and special tokens), found {}",
        growth.tokens.size(), options.vocab_size);
  return growth;
}

void require_words(const BpeTrainingOptions& options, const PreTokenizer& pre_tokenizer,
                   Growth& growth) {
  PreTokenizer::Scratch scratch;
  std::vector<std::string_view> pieces;
  std::vector<Word> words;
  for (const std::string& text : options.required_words) {
    pre_tokenizer.split(text, scratch, pieces);
    CHECK(pieces.size() == 1, kUsage,
          "required word \"{}\": expected one piece of the pre-tokenizer, found {}", text,
          pieces.size());
    words.push_back({growth.segment(text), 1});
  }
  PairCounts pairs(std::move(words));
  const auto check_size = [&] {
    CHECK(static_cast<int64_t>(growth.tokens.size()) <= options.vocab_size, kUsage,
          "--vocab-size: {} are too few for {} required words", options.vocab_size,
          options.required_words.size());
  };
  while (pairs.merge_best(1, growth)) check_size();
  // A word whose last pair names a token that exists already stays in parts above; it is joined by
  // a merge into that token.
  for (const std::string& text : options.required_words) {
    for (std::vector<uint32_t> ids = growth.segment(text); ids.size() > 1;
         ids = growth.segment(text)) {
      const std::string joined = growth.tokens[ids[0]] + growth.tokens[ids[1]];
      const auto existing = std::find(growth.tokens.begin(), growth.tokens.end(), joined);
      if (existing == growth.tokens.end()) {
        growth.add(ids[0], ids[1]);
        check_size();
      } else {
        growth.merges.push_back(
            {ids[0], ids[1], static_cast<uint32_t>(existing - growth.tokens.begin())});
        growth.lookup.add(growth.merges.back());
      }
    }
  }
}

std::vector<Word> count_words(std::span<const std::string> documents,
                              const PreTokenizer& pre_tokenizer, const Growth& growth) {
  std::unordered_map<std::string, int64_t> counts;
  PreTokenizer::Scratch scratch;
  std::vector<std::string_view> pieces;
  std::string key;
  for (const std::string& document : documents) {
    pre_tokenizer.split(document, scratch, pieces);
    for (std::string_view piece : pieces) {
      key.assign(piece);
      ++counts[key];
    }
  }
  std::vector<Word> words;
  words.reserve(counts.size());
  for (const auto& [piece, count] : counts) words.push_back({growth.segment(piece), count});
  return words;
}

OrderedJson tokenizer_json(const BpeTrainingOptions& options, const Growth& growth,
                           PatternKind kind) {
  OrderedJson root;
  root["version"] = "1.0";
  root["truncation"] = nullptr;
  root["padding"] = nullptr;
  root["added_tokens"] = OrderedJson::array();
  OrderedJson vocab = OrderedJson::object();
  // Appended to the underlying sequence: inserting by key would search it every time.
  auto& entries = vocab.get_ref<OrderedJson::object_t&>();
  const auto add = [&root](size_t id, const std::string& content, bool special) {
    root["added_tokens"].push_back(added_token_json(id, content, special));
  };
  const size_t specials = options.special_tokens.size();
  for (size_t id = 0; id < growth.tokens.size(); ++id) {
    const bool special = id < specials;
    const std::string& token = growth.tokens[id];
    if (special) add(id, token, true);
    entries.emplace_back(special ? token : bytes_to_visible(token), id);
  }
  for (size_t k = 0; k < options.phrases.size(); ++k)
    add(growth.tokens.size() + k, options.phrases[k], false);
  root["normalizer"] = nullptr;
  root["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers", OrderedJson::array({split_step(kind), byte_level_step({})})}};
  root["post_processor"] = nullptr;
  root["decoder"] = byte_level_step({});
  OrderedJson merges = OrderedJson::array();
  for (const BpeMerge& merge : growth.merges)
    merges.push_back(OrderedJson::array({bytes_to_visible(growth.tokens[merge.left]),
                                         bytes_to_visible(growth.tokens[merge.right])}));
  root["model"] = bpe_model_json({});
  root["model"]["vocab"] = std::move(vocab);
  root["model"]["merges"] = std::move(merges);
  return root;
}

void check_phrases(const std::vector<std::string>& phrases) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& phrase : phrases)
    CHECK(phrase.size() > 1 && valid_utf8_length(phrase) == phrase.size() &&
              seen.insert(phrase).second,
          kUsage, "phrase \"{}\": expected distinct UTF-8 texts of at least two bytes", phrase);
}

}  // namespace

std::vector<std::string> training_pieces(std::string_view text, const BpeTrainingOptions& options) {
  PreTokenizer::Scratch scratch;
  std::vector<std::string_view> pieces;
  PreTokenizer(choose_pattern(options), false).split(text, scratch, pieces);
  return {pieces.begin(), pieces.end()};
}

void train_bpe(std::span<const std::string> documents, const BpeTrainingOptions& options,
               const std::filesystem::path& folder) {
  check_phrases(options.phrases);
  const PatternKind kind = choose_pattern(options);
  const PreTokenizer pre_tokenizer(kind, false);
  Growth growth = start_growth(options);
  require_words(options, pre_tokenizer, growth);
  PairCounts pairs(count_words(documents, pre_tokenizer, growth));
  while (static_cast<int64_t>(growth.tokens.size()) < options.vocab_size &&
         pairs.merge_best(2, growth)) {
  }
  std::filesystem::create_directories(folder);
  write_json_atomic(folder / "tokenizer.json", tokenizer_json(options, growth, kind));
  OrderedJson config{{"tokenizer_class", "PreTrainedTokenizerFast"},
                     {"clean_up_tokenization_spaces", false}};
  OrderedJson map = OrderedJson::object();
  if (!options.special_tokens.empty())
    config["eos_token"] = map["eos_token"] = options.special_tokens[0];
  write_json_atomic(folder / "tokenizer_config.json", config);
  write_json_atomic(folder / "special_tokens_map.json", map);
}

}  // namespace etrlrec
