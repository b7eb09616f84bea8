#include "text/bpe_file.h"

#include <set>

#include "base/check.h"
#include "base/json.h"
#include "text/pipeline_json.h"
#include "text/split_patterns.h"
#include "text/tokenizer_file.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

bool normalizes_nfc(const Json& root, const std::string& name) {
  const auto steps = steps_of(root, "normalizer", "normalizers", name);
  return steps.size() == 1 && type_of(steps[0]) == "NFC";
}

bool is_byte_level_step(const Json& step, bool use_regex) {
  return type_of(step) == "ByteLevel" && is_set(step, "add_prefix_space", false, true) &&
         is_set(step, "use_regex", use_regex, true);
}

// Every token is spelled in the byte-level alphabet or added, and no byte becomes unknown.
bool has_byte_vocabulary(const Json& root) {
  if (absent(root["model"], "vocab") || !root["model"]["vocab"].is_object()) return true;
  std::set<std::string> added;
  if (!absent(root, "added_tokens"))
    for (const Json& token : root["added_tokens"]) added.insert(token["content"]);
  size_t bytes = 0;
  std::string spelled;
  for (const auto& [token, id] : root["model"]["vocab"].items()) {
    const bool is_visible = visible_to_bytes(token, spelled);
    if (!is_visible && !added.contains(token)) return false;
    bytes += is_visible && spelled.size() == 1 && !added.contains(token);
  }
  return bytes == 256 || absent(root["model"], "unk_token");
}

IdsByToken parse_vocabulary(const Json& root, const Json& model, BpeVocabulary& vocabulary,
                            const std::string& name) {
  const Json& entries = model.contains("vocab") ? model["vocab"] : model;
  CHECK(model.contains("vocab") && entries.is_object(), kInput,
        "{}: model.vocab: expected an object", name);
  parse_added_tokens(root, entries, vocabulary, name);
  std::set<std::string> phrases;
  for (const Json& token : get_or<Json>(root, "added_tokens", Json::array(), name))
    phrases.insert(get<std::string>(token, "content", name));
  IdsByToken ids;
  ids.reserve(entries.size());
  std::string bytes;
  for (const auto& [visible, value] : entries.items()) {
    if (vocabulary.specials.contains(visible)) continue;
    CHECK(value.is_number_integer(), kInput, "{}: token \"{}\": expected an integer id", name,
          visible);
    if (!visible_to_bytes(visible, bytes)) {
      CHECK(phrases.contains(visible), kInput,
            "{}: token \"{}\" is not written in the byte-level alphabet", name, visible);
      put_token(vocabulary, value.get<int64_t>(), visible, false, name);
      continue;  // an added token, spelled as in a text: no merge makes it
    }
    put_token(vocabulary, value.get<int64_t>(), bytes, false, name);
    ids.emplace(bytes, value.get<uint32_t>());
  }
  size_t known = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(std::string(1, static_cast<char>(byte)));
    known += found != ids.end();
    vocabulary.byte_ids[byte] = found != ids.end() ? found->second : BpeVocabulary::kNoId;
  }
  CHECK(known > 0, kInput, "{}: no byte has a token; expected a byte-level vocabulary", name);
  return ids;
}

}  // namespace

std::optional<PatternKind> byte_level_pattern(const Json& root, const std::string& name) {
  const auto steps = steps_of(root, "pre_tokenizer", "pretokenizers", name);
  if (steps.size() == 1 && is_byte_level_step(steps[0], true)) return PatternKind::kGpt2;
  if (steps.size() != 2) return std::nullopt;
  const bool cuts_digits =
      type_of(steps[0]) == "Digits" && is_set(steps[0], "individual_digits", true, false);
  if (cuts_digits && is_byte_level_step(steps[1], true)) return PatternKind::kDigits;
  const bool cuts_matches =
      type_of(steps[0]) == "Split" && is_set(steps[0], "behavior", "Isolated", "") &&
      is_set(steps[0], "invert", false, false) && steps[0].contains("pattern") &&
      steps[0]["pattern"].is_object() && steps[0]["pattern"].contains("Regex") &&
      steps[0]["pattern"]["Regex"].is_string();
  if (!cuts_matches || !is_byte_level_step(steps[1], false)) return std::nullopt;
  return find_split_pattern(steps[0]["pattern"]["Regex"].get_ref<const std::string&>());
}

bool is_byte_level_bpe(const Json& root, const std::string& name) {
  if (model_type(root, name) != "BPE") return false;
  const Json& model = root["model"];
  const auto decoders = steps_of(root, "decoder", "decoders", name);
  const auto normalizers = steps_of(root, "normalizer", "normalizers", name);
  return (normalizers.empty() || normalizes_nfc(root, name)) &&
         byte_level_pattern(root, name).has_value() && decoders.size() == 1 &&
         type_of(decoders[0]) == "ByteLevel" && merges_plainly(model) &&
         is_set(model, "byte_fallback", false, false) &&
         has_plain_added_tokens(root, true, !normalizers.empty()) && has_byte_vocabulary(root);
}

std::unique_ptr<BpeTokenizer> read_byte_level(const Json& root, std::string_view config,
                                              const std::string& name) {
  const Json& model = checked_model(root, "BPE", name);
  const auto kind = byte_level_pattern(root, name);
  CHECK(kind.has_value(), kInput, "{}: pre_tokenizer: expected one of byte-level BPE", name);
  BpeVocabulary vocabulary;
  vocabulary.ignore_merges = get_or<bool>(model, "ignore_merges", false, name);
  const IdsByToken ids = parse_vocabulary(root, model, vocabulary, name);
  parse_merges(model, ids, visible_to_bytes, vocabulary, name);
  vocabulary.eos_id = parse_eos(config, vocabulary.specials, name);
  return std::make_unique<BpeTokenizer>(std::move(vocabulary), *kind, normalizes_nfc(root, name));
}

}  // namespace etrlrec
