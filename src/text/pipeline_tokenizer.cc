#include "text/pipeline_tokenizer.h"

#include "base/check.h"
#include "text/characters.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxPipelineText = size_t{1} << 26;

std::string repaired(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Character next = character_at(text, i);
    append_code_point(next.point, out);
    i += next.length;
  }
  return out;
}

}  // namespace

PipelineTokenizer::PipelineTokenizer(PipelineParts parts) : parts_(std::move(parts)) {
  const auto normalize = [this](std::string_view text) {
    Piece piece = whole_piece(text, true);
    apply_steps(parts_.normalizer, piece);
    return piece.text;
  };
  added_ = AddedVocabulary(parts_.added, normalize);
  const ModelVocabulary& tokens = parts_.model->tokens();
  BannedTokens banned(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    texts_.push_back(tokens.text(id));
    is_used_.push_back(tokens.find(tokens.text(id)) != ModelVocabulary::kNone);
  }
  for (const auto& [content, token] : parts_.added) {
    by_content_.emplace(content, token);
    const auto at = static_cast<size_t>(token.id);
    if (at >= texts_.size()) {
      texts_.resize(at + 1);
      is_used_.resize(at + 1);
    }
    texts_[at] = token.normalized ? normalize(content) : content;
    is_used_[at] = true;
    if (at < banned.size()) banned[at] = !token.is_phrase;
  }
  parts_.model->ban(std::move(banned));
}

void PipelineTokenizer::encode_piece(Piece piece, bool is_plain, std::vector<int64_t>& ids) const {
  std::vector<Piece> pieces;
  pieces.push_back(std::move(piece));
  for (const PreTokenizerStep& step : parts_.pre_tokenizer) step(pieces);
  for (const Piece& one : pieces)
    if (!one.text.empty()) parts_.model->encode(one.text, is_plain, ids);
}

std::vector<int64_t> PipelineTokenizer::run(std::string_view text, bool is_at_start,
                                            AddedTokenUse use, bool is_plain) const {
  CHECK(text.size() <= kMaxPipelineText, kInput,
        "text to encode: expected at most {} bytes, found {}", kMaxPipelineText, text.size());
  const std::string whole_text = is_utf8(text) ? std::string(text) : repaired(text);
  const Piece whole = whole_piece(whole_text, is_at_start);
  std::vector<int64_t> ids;
  for (const AddedVocabulary::Part& part : added_.cut(whole_text, false, use)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    Piece piece = whole.cut(part.begin, part.end);
    apply_steps(parts_.normalizer, piece);
    for (const AddedVocabulary::Part& inner : added_.cut(piece.text, true, use)) {
      if (inner.id >= 0) {
        ids.push_back(inner.id);
      } else {
        encode_piece(piece.cut(inner.begin, inner.end), is_plain, ids);
      }
    }
  }
  return ids;
}

std::vector<int64_t> PipelineTokenizer::encode(std::string_view text) const {
  return run(text, true, AddedTokenUse::kPhrases, true);
}

std::vector<int64_t> PipelineTokenizer::encode_after_special(std::string_view text) const {
  return run(text, false, AddedTokenUse::kPhrases, true);
}

std::vector<int64_t> PipelineTokenizer::encode_prompt(std::string_view text,
                                                      bool parse_special) const {
  return run(text, true, parse_special ? AddedTokenUse::kAll : AddedTokenUse::kNotSpecial,
             !parse_special);
}

const std::string& PipelineTokenizer::text_of(int64_t id) const {
  CHECK(id >= 0 && id < vocab_size() && is_used_[static_cast<size_t>(id)], kInput,
        "decode: token id {} is not in the vocabulary of {} ids", id, vocab_size());
  return texts_[static_cast<size_t>(id)];
}

std::string PipelineTokenizer::decoded(TokenTexts tokens) const {
  for (const DecoderStep& step : parts_.decoder) step(tokens);
  std::string out;
  for (const std::string& text : tokens.texts) out += text;
  return out;
}

std::string PipelineTokenizer::decode(std::span<const int64_t> ids) const {
  TokenTexts tokens;
  for (const int64_t id : ids) tokens.texts.push_back(text_of(id));
  return decoded(std::move(tokens));
}

std::string PipelineTokenizer::token_text(int64_t id) const {
  return decoded({.texts = {text_of(id)}, .is_at_start = false, .is_at_end = false});
}

AddedToken PipelineTokenizer::added_token(std::string_view name) const {
  return find_added_token(by_content_, name);
}

int64_t PipelineTokenizer::eos_id() const {
  CHECK(parts_.eos_id >= 0, kInput,
        "tokenizer: no end token\nhint: tokenizer_config.json should name \"eos_token\"");
  return parts_.eos_id;
}

}  // namespace etrlrec
