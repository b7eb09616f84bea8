#include "text/bpe_model.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "text/bpe.h"
#include "text/characters.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxMergesOfModel = size_t{1} << 22;
constexpr uint32_t kNone = ModelVocabulary::kNone;

struct BpeModelSettings {
  std::string prefix{}, suffix{};  // of what continues a word, of what ends one
  uint32_t unk_id = kNone;
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
};

class BpeModel final : public TokenModel {
 public:
  BpeModel(ModelVocabulary tokens, std::vector<BpeMerge> merges, BpeModelSettings settings)
      : TokenModel(std::move(tokens)), settings_(std::move(settings)), list_(std::move(merges)) {
    for (const BpeMerge& merge : list_) merges_.add(merge);
    for (size_t byte = 0; byte < bytes_.size(); ++byte)
      bytes_[byte] = this->tokens().find(fmt::format("<0x{:02X}>", byte));
  }

  void ban(BannedTokens banned_tokens) override {
    TokenModel::ban(std::move(banned_tokens));
    has_own_ = std::any_of(list_.begin(), list_.end(), [this](const BpeMerge& merge) {
      return is_banned(banned(), merge.result);
    });
    for (const BpeMerge& merge : list_)
      if (has_own_ && !is_banned(banned(), merge.result)) plain_merges_.add(merge);
    list_ = {};
  }

  void encode(std::string_view piece, bool is_plain, std::vector<int64_t>& ids) const override {
    if (settings_.ignore_merges) {
      const uint32_t whole = find(piece, is_plain);
      if (whole != kNone) {
        ids.push_back(whole);
        return;
      }
    }
    std::vector<uint32_t> word;
    word.reserve(piece.size());
    append_characters(piece, is_plain, word);
    (is_plain && has_own_ ? plain_merges_ : merges_).apply(word);
    ids.insert(ids.end(), word.begin(), word.end());
  }

 private:
  // An unknown character waits for the next known one, and lets bytes pass: so do the ids of the
  // library.
  void append_characters(std::string_view piece, bool is_plain, std::vector<uint32_t>& word) const {
    bool waits = false;
    const auto flush = [&] {
      if (waits) word.push_back(settings_.unk_id);
      waits = false;
    };
    std::string spelled;
    for (size_t i = 0; i < piece.size();) {
      const size_t length = character_at(piece, i).length;
      std::string_view written = piece.substr(i, length);
      const bool is_marked = (i > 0 && !settings_.prefix.empty()) ||
                             (i + length == piece.size() && !settings_.suffix.empty());
      if (is_marked) {
        spelled = i > 0 ? settings_.prefix : "";
        spelled += written;
        if (i + length == piece.size()) spelled += settings_.suffix;
        written = spelled;
      }
      i += length;
      const uint32_t id = find(written, is_plain);
      if (id != kNone) {
        flush();
        word.push_back(id);
      } else if (!settings_.byte_fallback || !append_bytes(written, word)) {
        if (!settings_.fuse_unk) flush();
        waits = settings_.unk_id != kNone;
      }
    }
    flush();
  }

  bool append_bytes(std::string_view written, std::vector<uint32_t>& word) const {
    for (const char c : written)
      if (bytes_[static_cast<unsigned char>(c)] == kNone) return false;
    for (const char c : written) word.push_back(bytes_[static_cast<unsigned char>(c)]);
    return true;
  }

  BpeModelSettings settings_;
  std::vector<BpeMerge> list_;  // until ban()
  BpeMerges merges_, plain_merges_;
  bool has_own_ = false;  // plain_merges_ are others
  std::array<uint32_t, 256> bytes_{};
};

std::pair<std::string, std::string> parts_of_merge(const Json& merge, size_t number,
                                                   const std::string& name) {
  std::pair<std::string, std::string> out;
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      out = {text.substr(0, space), text.substr(space + 1)};
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    out = {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  CHECK(!out.first.empty() && !out.second.empty(), kInput,
        "{}: merge {}: expected two tokens, found {}", name, number,
        merge.dump(-1, ' ', false, Json::error_handler_t::replace));
  return out;
}

// In their order; of a pair that occurs twice the last counts.
std::vector<BpeMerge> read_merges(const Json& model, const ModelVocabulary& tokens,
                                  const std::string& prefix, const std::string& name) {
  CHECK(model.contains("merges") && model["merges"].is_array() &&
            model["merges"].size() <= kMaxMergesOfModel,
        kInput, "{}: model.merges: expected an array of at most {} merges", name,
        kMaxMergesOfModel);
  std::vector<BpeMerge> out;
  size_t number = 0;
  for (const Json& merge : model["merges"]) {
    const auto [first, second] = parts_of_merge(merge, number, name);
    const uint32_t left = tokens.find(first), right = tokens.find(second);
    const uint32_t both =
        second.size() < prefix.size() ? kNone : tokens.find(first + second.substr(prefix.size()));
    CHECK(left != kNone && right != kNone && both != kNone, kInput,
          "{}: merge {} (\"{}\", \"{}\"): its parts and its result must be in model.vocab", name,
          number, first, second);
    out.push_back({left, right, both});
    ++number;
  }
  std::set<std::pair<uint32_t, uint32_t>> seen;
  std::vector<BpeMerge> last;
  for (auto merge = out.rbegin(); merge != out.rend(); ++merge)
    if (seen.emplace(merge->left, merge->right).second) last.push_back(*merge);
  std::reverse(last.begin(), last.end());
  return last;
}

}  // namespace

std::unique_ptr<TokenModel> read_bpe_model(const Json& model, const std::string& name) {
  CHECK(absent(model, "dropout") || model["dropout"] == 0, kInput,
        "{}: BPE dropout is not supported; expected null", name);
  BpeModelSettings settings;
  settings.prefix = get_or<std::string>(model, "continuing_subword_prefix", "", name);
  settings.suffix = get_or<std::string>(model, "end_of_word_suffix", "", name);
  settings.fuse_unk = get_or<bool>(model, "fuse_unk", false, name);
  settings.byte_fallback = get_or<bool>(model, "byte_fallback", false, name);
  settings.ignore_merges = get_or<bool>(model, "ignore_merges", false, name);
  ModelVocabulary tokens = ModelVocabulary::of_object(model, name);
  if (!absent(model, "unk_token")) {
    const auto unk = get<std::string>(model, "unk_token", name);
    settings.unk_id = tokens.find(unk);
    CHECK(settings.unk_id != kNone, kInput, "{}: unk_token \"{}\" is not in the vocabulary", name,
          unk);
  }
  std::vector<BpeMerge> merges = read_merges(model, tokens, settings.prefix, name);
  return std::make_unique<BpeModel>(std::move(tokens), std::move(merges), std::move(settings));
}

}  // namespace etrlrec
