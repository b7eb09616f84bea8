#include "text/bpe_file.h"

#include <set>

#include "base/check.h"
#include "base/json.h"
#include "text/split_patterns.h"
#include "text/tokenizer_file.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

void check_settings(const Json& root, const Json& model, const std::string& name) {
  check_model_settings(root, model, name);
  CHECK(!get_or<bool>(model, "byte_fallback", false, name), kInput,
        "{}: byte_fallback does not go with byte-level BPE", name);
  const std::string decoder = root.contains("decoder") ? type_of(root["decoder"]) : "null";
  CHECK(decoder == "ByteLevel", kInput, "{}: decoder {} is not supported; known: ByteLevel", name,
        decoder);
}

bool parse_normalizer(const Json& root, const std::string& name) {
  if (absent(root, "normalizer")) return false;
  const std::string type = type_of(root["normalizer"]);
  CHECK(type == "NFC", kInput, "{}: normalizer {} is not supported; known: null, NFC", name, type);
  return true;
}

IdsByToken parse_vocabulary(const Json& root, const Json& model, BpeVocabulary& vocabulary,
                            const std::string& name) {
  const Json& entries = model.contains("vocab") ? model["vocab"] : model;
  CHECK(model.contains("vocab") && entries.is_object(), kInput,
        "{}: model.vocab: expected an object", name);
  parse_added_tokens(root, entries, true, vocabulary, name);
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

// ByteLevel alone (GPT-2's pattern is built in), Sequence[Split(pattern), ByteLevel without
// pattern], or Sequence[Digits one by one, ByteLevel].
PatternKind byte_level_pattern(const Json& root, const std::string& name) {
  const Json& pre = root.contains("pre_tokenizer") ? root["pre_tokenizer"] : root;
  const auto is_byte_level = [&](const Json& value, bool use_regex) {
    if (type_of(value) != "ByteLevel") return false;
    CHECK(!get_or<bool>(value, "add_prefix_space", true, name), kInput,
          "{}: ByteLevel with add_prefix_space is not supported", name);
    return get_or<bool>(value, "use_regex", true, name) == use_regex;
  };
  if (is_byte_level(pre, true)) return PatternKind::kGpt2;
  const std::string type = root.contains("pre_tokenizer") ? type_of(pre) : "null";
  CHECK(type == "Sequence", kInput,
        "{}: pre_tokenizer {} is not supported; known: ByteLevel, Sequence of Split or Digits "
        "and ByteLevel",
        name, type);
  CHECK(pre.contains("pretokenizers"), kInput, "{}: pre_tokenizer Sequence: no pretokenizers",
        name);
  const Json& parts = pre["pretokenizers"];
  if (parts.is_array() && parts.size() == 2 && type_of(parts[0]) == "Digits") {
    CHECK(get_or<bool>(parts[0], "individual_digits", false, name) && is_byte_level(parts[1], true),
          kInput,
          "{}: pre_tokenizer Sequence: expected Digits with individual_digits true and ByteLevel "
          "with use_regex true",
          name);
    return PatternKind::kDigits;
  }
  CHECK(parts.is_array() && parts.size() == 2 && type_of(parts[0]) == "Split" &&
            is_byte_level(parts[1], false),
        kInput,
        "{}: pre_tokenizer Sequence: expected Split and ByteLevel with use_regex false, or "
        "Digits and ByteLevel",
        name);
  CHECK(get<std::string>(parts[0], "behavior", name) == "Isolated" &&
            !get_or<bool>(parts[0], "invert", false, name),
        kInput, "{}: pre_tokenizer Split: expected behavior Isolated, not inverted", name);
  const Json pattern = get<Json>(parts[0], "pattern", name);
  const auto regex = get<std::string>(pattern, "Regex", name);
  const auto kind = find_split_pattern(regex);
  CHECK(kind.has_value(), kInput,
        "{}: split pattern is not supported: {}; known: those of GPT-2, Qwen2 and Llama 3", name,
        regex);
  return *kind;
}

std::unique_ptr<BpeTokenizer> read_byte_level(const Json& root, std::string_view config,
                                              const std::string& name) {
  const Json& model = checked_model(root, "BPE", name);
  check_settings(root, model, name);
  const bool normalize_nfc = parse_normalizer(root, name);
  const PatternKind kind = byte_level_pattern(root, name);
  BpeVocabulary vocabulary;
  vocabulary.ignore_merges = get_or<bool>(model, "ignore_merges", false, name);
  const IdsByToken ids = parse_vocabulary(root, model, vocabulary, name);
  parse_merges(model, ids, visible_to_bytes, vocabulary, name);
  vocabulary.eos_id = parse_eos(config, vocabulary.specials, name);
  return std::make_unique<BpeTokenizer>(std::move(vocabulary), kind, normalize_nfc);
}

}  // namespace etrlrec
