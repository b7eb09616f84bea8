#include "text/tokenizer_file.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 21, kMaxMerges = size_t{1} << 22, kMaxTokenBytes = 4096;

}  // namespace

bool is_marker(std::string_view content) {
  return (content.starts_with('<') && content.ends_with('>')) ||
         (content.starts_with('[') && content.ends_with(']'));
}

int byte_of(std::string_view written) {
  if (written.size() != 6 || !written.starts_with("<0x") || written[5] != '>') return -1;
  int byte = 0;
  for (char c : written.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'A' || c > 'F')) return -1;
    byte = byte * 16 + (digit ? c - '0' : c - 'A' + 10);
  }
  return byte;
}

std::string with_spaces(std::string_view written) {
  constexpr std::string_view kSpace = "\u2581";
  std::string out;
  for (size_t i = 0; i < written.size();) {
    const bool space = written.substr(i).starts_with(kSpace);
    out += space ? ' ' : written[i];
    i += space ? kSpace.size() : 1;
  }
  return out;
}

std::string type_of(const Json& value) {
  if (value.is_null()) return "null";
  if (!value.is_object() || !value.contains("type") || !value["type"].is_string()) return "no type";
  return value["type"].get<std::string>();
}

bool absent(const Json& object, const char* key) {
  return !object.contains(key) || object[key].is_null();
}

const Json& checked_model(const Json& root, std::string_view type, const std::string& name) {
  CHECK(root.is_object() && root.contains("model") && root["model"].is_object(), kInput,
        "{}: model: expected an object", name);
  const std::string found = model_type(root, name);
  CHECK(found == type, kInput, "{}: tokenizer model {} is not supported; known: {}", name, found,
        type);
  return root["model"];
}

std::string model_type(const Json& root, const std::string& name) {
  if (!root.is_object() || !root.contains("model") || !root["model"].is_object()) return "none";
  const Json& model = root["model"];
  const char* guess = model.contains("merges")   ? "BPE"
                      : model.contains("unk_id") ? "Unigram"
                                                 : "none";  // older files do not say
  return get_or<std::string>(model, "type", guess, name);
}

bool is_set(const Json& object, const char* key, const Json& value, const Json& fallback) {
  return (absent(object, key) ? fallback : object[key]) == value;
}

bool merges_plainly(const Json& model) {
  return is_set(model, "dropout", 0, 0) && is_set(model, "continuing_subword_prefix", "", "") &&
         is_set(model, "end_of_word_suffix", "", "");
}

bool has_plain_added_tokens(const Json& root, bool takes_phrases, bool normalizes) {
  if (absent(root, "added_tokens")) return true;
  const Json& list = root["added_tokens"];
  return list.is_array() && std::all_of(list.begin(), list.end(), [&](const Json& token) {
           if (!token.is_object() || !token.contains("content") || !token["content"].is_string())
             return false;
           if (normalizes && !is_set(token, "normalized", false, false)) return false;
           if (is_marker(token["content"].get_ref<const std::string&>()) ||
               is_set(token, "special", true, true))
             return true;
           return takes_phrases && is_set(token, "lstrip", false, false) &&
                  is_set(token, "rstrip", false, false) &&
                  is_set(token, "single_word", false, false);
         });
}

void put_token(BpeVocabulary& vocabulary, int64_t id, std::string bytes, bool special,
               const std::string& name) {
  CHECK(id >= 0 && id < static_cast<int64_t>(kMaxTokens), kInput,
        "{}: token id {} is out of range [0, {})", name, id, kMaxTokens);
  CHECK(!bytes.empty() && bytes.size() <= kMaxTokenBytes, kInput,
        "{}: token {}: expected 1 to {} bytes, found {}", name, id, kMaxTokenBytes, bytes.size());
  const auto at = static_cast<size_t>(id);
  if (at >= vocabulary.tokens.size()) {
    vocabulary.tokens.resize(at + 1);
    vocabulary.is_special.resize(at + 1);
  }
  CHECK(vocabulary.tokens[at].empty(), kInput, "{}: token id {} occurs twice", name, id);
  vocabulary.tokens[at] = std::move(bytes);
  vocabulary.is_special[at] = special;
}

AddedToken parse_added_token(const Json& token, const std::string& content,
                             const std::string& name) {
  AddedToken added;
  added.lstrip = get_or<bool>(token, "lstrip", false, name);
  added.rstrip = get_or<bool>(token, "rstrip", false, name);
  added.single_word = get_or<bool>(token, "single_word", false, name);
  added.normalized = get_or<bool>(token, "normalized", false, name);
  added.is_special = get_or<bool>(token, "special", true, name);
  added.is_phrase = !added.is_special && !is_marker(content);
  return added;
}

void parse_added_tokens(const Json& root, const Json& entries, BpeVocabulary& vocabulary,
                        const std::string& name) {
  const Json added = get_or<Json>(root, "added_tokens", Json::array(), name);
  CHECK(added.is_array() && added.size() + entries.size() <= kMaxTokens, kInput,
        "{}: expected at most {} tokens", name, kMaxTokens);
  for (const Json& token : added) {
    const auto content = get<std::string>(token, "content", name);
    CHECK(token.contains("id") && token["id"].is_number_integer(), kInput,
          "{}: added token \"{}\": expected an integer id", name, content);
    AddedToken parsed = parse_added_token(token, content, name);
    parsed.id = token["id"].get<int64_t>();
    CHECK(!entries.contains(content) || entries[content] == parsed.id, kInput,
          "{}: added token \"{}\" has another id in model.vocab", name, content);
    if (!parsed.is_phrase || !entries.contains(content))
      put_token(vocabulary, parsed.id, content, !parsed.is_phrase, name);
    vocabulary.added.emplace_back(content, parsed);
    if (parsed.is_phrase) {
      vocabulary.phrases.add(content, static_cast<uint32_t>(parsed.id));
      continue;
    }
    CHECK(vocabulary.specials.emplace(content, parsed).second, kInput,
          "{}: added token \"{}\" occurs twice", name, content);
  }
}

void parse_merges(const Json& model, const IdsByToken& ids, TokenSpelling spelling,
                  BpeVocabulary& vocabulary, const std::string& name) {
  const Json& merges = model.contains("merges") ? model["merges"] : model;
  CHECK(model.contains("merges") && merges.is_array() && merges.size() <= kMaxMerges, kInput,
        "{}: model.merges: expected an array of at most {} merges", name, kMaxMerges);
  std::string left, right;
  int64_t number = 0;
  for (const Json& merge : merges) {
    std::string first, second;
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      first = text.substr(0, space);
      if (space != std::string::npos) second = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      first = merge[0].get<std::string>();
      second = merge[1].get<std::string>();
    }
    CHECK(!first.empty() && !second.empty() && spelling(first, left) && spelling(second, right),
          kInput, "{}: merge {}: expected two tokens, found {}", name, number,
          merge.dump(-1, ' ', false, Json::error_handler_t::replace));
    const auto a = ids.find(left), b = ids.find(right), both = ids.find(left + right);
    CHECK(a != ids.end() && b != ids.end() && both != ids.end(), kInput,
          "{}: merge {} (\"{}\", \"{}\"): its parts and its result must be in model.vocab", name,
          number, first, second);
    CHECK(vocabulary.merges.add({a->second, b->second, both->second}), kInput,
          "{}: merge {} occurs twice", name, number);
    ++number;
  }
}

std::string end_token_name(std::string_view config, bool or_sep, const std::string& name) {
  if (config.empty()) return {};
  const Json root = parse_json(config, name + " (end token)");
  for (const char* key : {"eos_token", "sep_token"}) {
    if (!root.is_object() || absent(root, key)) continue;
    if (key == std::string_view("sep_token") && !or_sep) continue;
    return root[key].is_object() ? get<std::string>(root[key], "content", name)
                                 : get<std::string>(root, key, name);
  }
  return {};
}

int64_t parse_eos(std::string_view config, const AddedTokens& tokens, const std::string& name) {
  const std::string content = end_token_name(config, false, name);
  if (content.empty()) return -1;
  const auto found = tokens.find(content);
  CHECK(found != tokens.end(), kInput, "{}: end token \"{}\" is not an added token", name, content);
  return found->second.id;
}

}  // namespace etrlrec
