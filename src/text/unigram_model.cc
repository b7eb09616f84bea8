#include "text/unigram_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "base/check.h"
#include "base/json.h"
#include "text/characters.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

constexpr double kUnknownPenalty = 10;  // below the lowest score
constexpr uint32_t kNoPiece = ModelVocabulary::kNone;

// Pieces by their bytes; node 0 is the root.
class PieceTrie {
 public:
  void add(std::string_view piece, uint32_t id) {
    uint32_t node = 0;
    for (const char c : piece) {
      const auto [child, is_new] =
          children_.emplace(edge(node, c), static_cast<uint32_t>(ids_.size()));
      if (is_new) ids_.push_back(kNoPiece);
      node = child->second;
    }
    ids_[node] = id;
  }
  // on_piece(length, id) for the pieces that `text` begins with, the shortest first.
  template <typename OnPiece>
  void find(std::string_view text, const OnPiece& on_piece) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto child = children_.find(edge(node, text[i]));
      if (child == children_.end()) return;
      node = child->second;
      if (ids_[node] != kNoPiece) on_piece(i + 1, ids_[node]);
    }
  }

 private:
  static uint64_t edge(uint32_t node, char byte) {
    return uint64_t{node} << 8 | static_cast<unsigned char>(byte);
  }
  std::unordered_map<uint64_t, uint32_t> children_;
  std::vector<uint32_t> ids_{kNoPiece};
};

class UnigramModel final : public TokenModel {
 public:
  UnigramModel(ModelVocabulary table, std::vector<double> scores, uint32_t unk_id,
               bool byte_fallback)
      : TokenModel(std::move(table)),
        scores_(std::move(scores)),
        unk_id_(unk_id),
        byte_fallback_(byte_fallback) {
    for (size_t id = 0; id < tokens().size(); ++id)
      trie_.add(tokens().text(id), static_cast<uint32_t>(id));
    unk_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
    for (size_t byte = 0; byte < bytes_.size(); ++byte)
      bytes_[byte] = tokens().find(fmt::format("<0x{:02X}>", byte));
  }

  void encode(std::string_view piece, bool is_plain, std::vector<int64_t>& ids) const override {
    const std::vector<Node> best = best_pieces(piece, is_plain);
    std::vector<std::string_view> parts;  // from the end
    bool follows_unknown = false;
    for (size_t end = piece.size(); end > 0;) {
      const size_t begin = best[end].begin;
      const bool is_unknown = unk_id_ != kNoPiece && best[end].id == unk_id_;
      if (is_unknown && follows_unknown) {  // neighbouring unknown characters are one part
        parts.back() = piece.substr(begin, end - begin + parts.back().size());
      } else {
        parts.push_back(piece.substr(begin, end - begin));
      }
      follows_unknown = is_unknown;
      end = begin;
    }
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
      append_part(*part, is_plain, ids);
  }

 private:
  struct Node {
    double score = 0;
    size_t begin = kOpen;  // of the piece that ends here; kOpen: nothing ends here yet
    uint32_t id = 0;
    static constexpr size_t kOpen = ~size_t{0};
  };
  std::vector<Node> best_pieces(std::string_view piece, bool is_plain) const;
  void append_part(std::string_view part, bool is_plain, std::vector<int64_t>& ids) const;

  PieceTrie trie_;
  std::vector<double> scores_;
  double unk_score_ = 0;
  uint32_t unk_id_;
  bool byte_fallback_;
  std::array<uint32_t, 256> bytes_{};
};

// best[i]: the best way to piece.substr(0, i).
std::vector<UnigramModel::Node> UnigramModel::best_pieces(std::string_view piece,
                                                          bool is_plain) const {
  std::vector<Node> best(piece.size() + 1);
  const auto offer = [&](size_t begin, size_t end, double score, uint32_t id) {
    Node& node = best[end];
    const double total = best[begin].score + score;
    if (node.begin == Node::kOpen || total > node.score) node = {total, begin, id};
  };
  for (size_t begin = 0; begin < piece.size();) {
    const size_t length = character_at(piece, begin).length;
    bool is_known = false;
    trie_.find(piece.substr(begin), [&](size_t size, uint32_t id) {
      if (is_plain && is_banned(banned(), id)) return;
      offer(begin, begin + size, scores_[id], id);
      is_known = is_known || size == length;
    });
    if (!is_known) {
      CHECK(unk_id_ != kNoPiece, kInput,
            "text: the character \"{}\" is not in the vocabulary, and there is no unknown token",
            piece.substr(begin, length));
      offer(begin, begin + length, unk_score_, unk_id_);
    }
    begin += length;
  }
  return best;
}

void UnigramModel::append_part(std::string_view part, bool is_plain,
                               std::vector<int64_t>& ids) const {
  const uint32_t id = find(part, is_plain);
  const bool as_bytes =
      id == kNoPiece && byte_fallback_ && std::all_of(part.begin(), part.end(), [this](char c) {
        return bytes_[static_cast<unsigned char>(c)] != kNoPiece;
      });
  if (as_bytes) {
    for (const char c : part) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
  } else {
    ids.push_back(id != kNoPiece ? id : unk_id_);
  }
}

}  // namespace

std::unique_ptr<TokenModel> read_unigram_model(const Json& model, const std::string& name) {
  CHECK(model.contains("vocab") && model["vocab"].is_array() && !model["vocab"].empty(), kInput,
        "{}: model.vocab: expected an array of pieces with scores", name);
  ModelVocabulary tokens;
  std::vector<double> scores;
  for (const Json& entry : model["vocab"]) {
    const auto id = std::ssize(scores);
    CHECK(entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number() &&
              std::isfinite(entry[1].get<double>()),
          kInput, "{}: model.vocab: piece {}: expected a text and a score", name, id);
    tokens.add(entry[0].get<std::string>(), id, name);
    scores.push_back(entry[1].get<double>());
  }
  uint32_t unk_id = kNoPiece;
  if (!absent(model, "unk_id")) {
    unk_id = get<uint32_t>(model, "unk_id", name);
    CHECK(unk_id < scores.size(), kInput, "{}: unk_id {} is not in the vocabulary of {} pieces",
          name, unk_id, scores.size());
  }
  return std::make_unique<UnigramModel>(std::move(tokens), std::move(scores), unk_id,
                                        get_or<bool>(model, "byte_fallback", false, name));
}

}  // namespace etrlrec
