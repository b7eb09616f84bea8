#include "text/wordpiece.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/json.h"
#include "text/characters.h"
#include "text/normal_forms.h"
#include "text/pipeline_json.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 21;
constexpr char32_t kReplacement = 0xfffd;

bool is_control(char32_t c) {
  return c != '\t' && c != '\n' && c != '\r' && is_control_or_unassigned(c);
}

std::u32string cleaned(std::u32string_view text) {
  std::u32string out;
  for (const char32_t c : text)
    if (c != 0 && c != kReplacement && !is_control(c)) out.push_back(is_white_space(c) ? U' ' : c);
  return out;
}

std::u32string with_spaced_chinese(std::u32string_view text) {
  std::u32string out;
  for (const char32_t c : text) {
    if (is_chinese(c))
      out += {U' ', c, U' '};
    else
      out.push_back(c);
  }
  return out;
}

// Canonical decomposition without marks.
std::u32string without_accents(const std::u32string& text) {
  std::u32string out = code_points_of(normal_form(utf8_of(text), NormalForm::kNfd));
  std::erase_if(out, is_nonspacing_mark);
  return out;
}

std::u32string in_lower_case(std::u32string_view text) {
  std::u32string out;
  for (const char32_t c : text) append_lower_case(c, out);
  return out;
}

std::u32string normalized(std::string_view text, const WordPieceSettings& settings) {
  std::u32string out = code_points_of(text);
  if (settings.clean_text) out = cleaned(out);
  if (settings.handle_chinese_chars) out = with_spaced_chinese(out);
  if (settings.strip_accents) out = without_accents(out);
  if (settings.lowercase) out = in_lower_case(out);
  return out;
}

// A piece with the space in front of it; none stands in front of punctuation and of shortened
// words.
std::string without_needless_space(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kReplacements{
      {{" .", "."},
       {" ?", "?"},
       {" !", "!"},
       {" ,", ","},
       {" n't", "n't"},
       {" 'm", "'m"},
       {" do not", " don't"},
       {" 's", "'s"},
       {" 've", "'ve"},
       {" 're", "'re"}}};
  for (const auto& [from, to] : kReplacements)
    if (text.starts_with(from)) text.replace(0, from.size(), to);
  return text;
}

void parse_normalizer(const Json& normalizer, WordPieceSettings& settings,
                      const std::string& name) {
  settings.clean_text = get_or<bool>(normalizer, "clean_text", true, name);
  settings.handle_chinese_chars = get_or<bool>(normalizer, "handle_chinese_chars", true, name);
  settings.lowercase = get_or<bool>(normalizer, "lowercase", true, name);
  settings.strip_accents = absent(normalizer, "strip_accents")
                               ? settings.lowercase
                               : get<bool>(normalizer, "strip_accents", name);
}

std::vector<std::string> parse_pieces(const Json& model, const std::string& name) {
  CHECK(model.contains("vocab") && model["vocab"].is_object(), kInput,
        "{}: model.vocab: expected an object", name);
  std::vector<std::string> tokens;
  for (const auto& [piece, value] : model["vocab"].items()) {
    CHECK(value.is_number_integer(), kInput, "{}: model.vocab: \"{}\": expected a number", name,
          piece);
    const auto id = value.get<int64_t>();
    CHECK(id >= 0 && id < static_cast<int64_t>(kMaxPieces) && !piece.empty(), kInput,
          "{}: model.vocab: \"{}\" has id {}; expected a word with an id below {}", name, piece, id,
          kMaxPieces);
    if (static_cast<size_t>(id) >= tokens.size()) tokens.resize(static_cast<size_t>(id) + 1);
    CHECK(tokens[static_cast<size_t>(id)].empty(), kInput, "{}: token id {} occurs twice", name,
          id);
    tokens[static_cast<size_t>(id)] = piece;
  }
  return tokens;
}

std::unordered_map<std::string, AddedToken> parse_added(const Json& root,
                                                        std::vector<std::string>& tokens,
                                                        const std::string& name) {
  std::unordered_map<std::string, AddedToken> added;
  for (const Json& token : get_or<Json>(root, "added_tokens", Json::array(), name)) {
    const auto content = get<std::string>(token, "content", name);
    AddedToken parsed = parse_added_token(token, content, name);
    parsed.id = get<int64_t>(token, "id", name);
    CHECK(parsed.id >= 0 && parsed.id < static_cast<int64_t>(kMaxPieces), kInput,
          "{}: added token \"{}\": id {} is out of range", name, content, parsed.id);
    const auto at = static_cast<size_t>(parsed.id);
    if (at >= tokens.size()) tokens.resize(at + 1);
    CHECK(tokens[at].empty() || tokens[at] == content, kInput,
          "{}: added token \"{}\": id {} belongs to \"{}\"", name, content, parsed.id, tokens[at]);
    tokens[at] = content;
    CHECK(added.emplace(content, parsed).second, kInput, "{}: added token \"{}\" occurs twice",
          name, content);
  }
  return added;
}

}  // namespace

WordPieceTokenizer::WordPieceTokenizer(std::vector<std::string> tokens,
                                       std::unordered_map<std::string, AddedToken> added,
                                       WordPieceSettings settings, const std::string& name)
    : tokens_(std::move(tokens)), added_(std::move(added)), settings_(std::move(settings)) {
  for (size_t id = 0; id < tokens_.size(); ++id)
    if (!tokens_[id].empty()) ids_.emplace(tokens_[id], static_cast<int64_t>(id));
  const auto unknown = ids_.find(settings_.unk_token);
  added_vocabulary_ = AddedVocabulary({added_.begin(), added_.end()}, {});
  CHECK(unknown != ids_.end(), kInput, "{}: unk_token \"{}\" is not in the vocabulary", name,
        settings_.unk_token);
  unk_id_ = unknown->second;
}

std::vector<int64_t> WordPieceTokenizer::encode(std::string_view text) const {
  const std::u32string points = normalized(text, settings_);
  std::vector<int64_t> ids;
  const std::u32string_view all = points;
  size_t begin = 0;
  for (size_t i = 0; i <= all.size(); ++i) {
    const bool ends = i == all.size() || is_white_space(all[i]) || is_punctuation(all[i]);
    if (!ends) continue;
    if (i > begin) append_word(all.substr(begin, i - begin), ids);
    if (i < all.size() && !is_white_space(all[i])) append_word(all.substr(i, 1), ids);
    begin = i + 1;
  }
  return ids;
}

std::vector<int64_t> WordPieceTokenizer::encode_prompt(std::string_view text,
                                                       bool parse_special) const {
  return added_vocabulary_.encode(text,
                                  parse_special ? AddedTokenUse::kAll : AddedTokenUse::kNotSpecial,
                                  [this](std::string_view part, bool) { return encode(part); });
}

// The longest piece first; a word that does not come out whole is unknown as a whole.
void WordPieceTokenizer::append_word(std::u32string_view word, std::vector<int64_t>& ids) const {
  if (std::ssize(word) > settings_.max_input_chars_per_word) {
    ids.push_back(unk_id_);
    return;
  }
  std::vector<int64_t> pieces;
  for (size_t begin = 0, end = 0; begin < word.size(); begin = end) {
    auto found = ids_.end();
    for (end = word.size(); end > begin; --end) {
      const std::string piece = utf8_of(word.substr(begin, end - begin));
      found = ids_.find(begin > 0 ? settings_.prefix + piece : piece);
      if (found != ids_.end()) break;
    }
    if (found == ids_.end()) {
      ids.push_back(unk_id_);
      return;
    }
    pieces.push_back(found->second);
  }
  ids.insert(ids.end(), pieces.begin(), pieces.end());
}

std::string WordPieceTokenizer::token_text(int64_t id) const {
  CHECK(id >= 0 && id < vocab_size(), kInput, "token id {} is out of range [0, {})", id,
        vocab_size());
  const std::string& token = tokens_[static_cast<size_t>(id)];
  if (token.starts_with(settings_.prefix)) return token.substr(settings_.prefix.size());
  return settings_.cleanup ? without_needless_space(" " + token) : " " + token;
}

std::string WordPieceTokenizer::decode(std::span<const int64_t> ids) const {
  std::string text;
  for (const int64_t id : ids) text += token_text(id);
  if (text.starts_with(' ')) text.erase(0, 1);
  return text;
}

AddedToken WordPieceTokenizer::added_token(std::string_view name) const {
  const auto found = added_.find(std::string(name));
  CHECK(found != added_.end(), kInput, "tokenizer: there is no special token \"{}\"", name);
  return found->second;
}

std::vector<std::string> WordPieceTokenizer::added_token_names() const {
  std::vector<std::string> names;
  for (const auto& entry : added_) names.push_back(entry.first);
  return names;
}

int64_t WordPieceTokenizer::eos_id() const {
  CHECK(!settings_.eos_token.empty(), kInput, "tokenizer: its files name no end token");
  return special_id(settings_.eos_token);
}

bool is_bert_word_piece(const Json& root, const std::string& name) {
  if (model_type(root, name) != "WordPiece") return false;
  const auto only = [&](const char* key, const char* list, const char* type) {
    const auto steps = steps_of(root, key, list, name);
    return steps.size() == 1 && type_of(steps[0]) == type;
  };
  if (!only("normalizer", "normalizers", "BertNormalizer") ||
      !only("pre_tokenizer", "pretokenizers", "BertPreTokenizer") ||
      !only("decoder", "decoders", "WordPiece"))
    return false;
  const Json decoder = steps_of(root, "decoder", "decoders", name)[0];
  const Json prefix = absent(decoder, "prefix") ? Json("##") : decoder["prefix"];
  return is_set(root["model"], "continuing_subword_prefix", prefix, "##") &&
         has_plain_added_tokens(root, false, true);
}

std::unique_ptr<WordPieceTokenizer> read_wordpiece(const Json& root, std::string_view config,
                                                   const std::string& name) {
  const Json& model = checked_model(root, "WordPiece", name);
  WordPieceSettings settings;
  parse_normalizer(steps_of(root, "normalizer", "normalizers", name).at(0), settings, name);
  settings.prefix = get_or<std::string>(model, "continuing_subword_prefix", "##", name);
  settings.max_input_chars_per_word = get_or<int64_t>(model, "max_input_chars_per_word", 100, name);
  settings.unk_token = get_or<std::string>(model, "unk_token", "[UNK]", name);
  settings.eos_token = end_token_name(config, true, name);
  settings.cleanup =
      get_or<bool>(steps_of(root, "decoder", "decoders", name).at(0), "cleanup", true, name);
  std::vector<std::string> tokens = parse_pieces(model, name);
  auto added = parse_added(root, tokens, name);
  return std::make_unique<WordPieceTokenizer>(std::move(tokens), std::move(added),
                                              std::move(settings), name);
}

}  // namespace etrlrec
