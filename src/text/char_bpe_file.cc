#include "text/char_bpe_file.h"

#include <utf8proc.h>

#include "base/check.h"
#include "base/json.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

using Prefix = CharBpeSettings::Prefix;
constexpr std::string_view kVisibleSpaceText = "\u2581";

// Members of a Sequence, or the value alone; null has none.
std::vector<Json> parts_of(const Json& root, const char* key, const char* list,
                           const std::string& name) {
  if (absent(root, key)) return {};
  const Json& value = root[key];
  if (type_of(value) != "Sequence") return {value};
  const Json parts = get<Json>(value, list, name);
  CHECK(parts.is_array(), kInput, "{}: {}: {}: expected an array", name, key, list);
  return parts.get<std::vector<Json>>();
}

// A Replace of one string by another, and nothing else.
bool replaces(const Json& part, std::string_view from, std::string_view to,
              const std::string& name) {
  const Json pattern = get<Json>(part, "pattern", name);
  return pattern.is_object() && pattern.contains("String") && pattern["String"] == from &&
         get<std::string>(part, "content", name) == to;
}

void parse_normalizer(const Json& root, CharBpeSettings& settings, bool& makes_visible,
                      const std::string& name) {
  for (const Json& part : parts_of(root, "normalizer", "normalizers", name)) {
    const std::string type = type_of(part);
    if (type == "Prepend" && get<std::string>(part, "prepend", name) == kVisibleSpaceText) {
      settings.prefix = Prefix::kPrepend;
    } else if (type == "Replace" && replaces(part, " ", kVisibleSpaceText, name)) {
      makes_visible = true;
    } else {
      fail(ExitCode::kInput,
           "{}: normalizer {} is not supported; known in this layout: Prepend and Replace with "
           "the visible space",
           name, type);
    }
  }
}

// Whether and where a Metaspace step adds a space; older files say add_prefix_space.
std::string prepend_scheme(const Json& part, const std::string& name) {
  const bool adds = get_or<bool>(part, "add_prefix_space", true, name);
  std::string scheme = get_or<std::string>(part, "prepend_scheme", adds ? "always" : "never", name);
  CHECK(scheme == "always" || scheme == "first" || scheme == "never", kInput,
        "{}: Metaspace: unknown prepend_scheme {}; known: always, first, never", name, scheme);
  CHECK(get_or<std::string>(part, "replacement", std::string(kVisibleSpaceText), name) ==
            kVisibleSpaceText,
        kInput, "{}: Metaspace: expected the replacement {}", name, kVisibleSpaceText);
  return scheme;
}

void parse_pre_tokenizer(const Json& root, CharBpeSettings& settings, bool& makes_visible,
                         const std::string& name) {
  const auto parts = parts_of(root, "pre_tokenizer", "pretokenizers", name);
  if (parts.empty()) return;
  const std::string type = type_of(parts[0]);
  CHECK(parts.size() == 1 && type == "Metaspace", kInput,
        "{}: pre_tokenizer {} is not supported; known in this layout: null, Metaspace", name,
        parts.size() == 1 ? type : "Sequence");
  CHECK(settings.prefix == Prefix::kNone && !makes_visible, kInput,
        "{}: Metaspace behind a normalizer that does the same is not supported", name);
  const std::string scheme = prepend_scheme(parts[0], name);
  settings.prefix = scheme == "always"  ? Prefix::kUnlessSpace
                    : scheme == "first" ? Prefix::kUnlessSpaceAtStart
                                        : Prefix::kNone;
  settings.split_words = get_or<bool>(parts[0], "split", true, name);
  makes_visible = true;
}

void parse_decoder(const Json& root, CharBpeSettings& settings, const std::string& name) {
  bool shows_spaces = false, joins_bytes = false;
  const auto parts = parts_of(root, "decoder", "decoders", name);
  for (const Json& part : parts) {
    const std::string type = type_of(part);
    if (type == "Replace" && replaces(part, kVisibleSpaceText, " ", name)) {
      shows_spaces = true;
    } else if (type == "ByteFallback") {
      joins_bytes = true;
    } else if (type == "Strip" && get<std::string>(part, "content", name) == " " &&
               get<int64_t>(part, "start", name) <= 1 && get<int64_t>(part, "stop", name) == 0) {
      settings.strips_space = get<int64_t>(part, "start", name) == 1;
    } else if (type == "Metaspace") {
      shows_spaces = true;
      settings.strips_space = prepend_scheme(part, name) != "never";
    } else {
      CHECK(type == "Fuse", kInput,
            "{}: decoder {} is not supported; known in this layout: Replace, ByteFallback, Fuse, "
            "Strip, Metaspace",
            name, type);
    }
  }
  CHECK(shows_spaces && joins_bytes == settings.byte_fallback, kInput,
        "{}: decoder {}: expected one that shows spaces and joins the bytes of byte_fallback", name,
        absent(root, "decoder") ? "null" : type_of(root["decoder"]));
}

bool keep_spelling(std::string_view written, std::string& bytes) {
  bytes = written;
  return true;
}

IdsByToken parse_vocabulary(const Json& root, const Json& model, const CharBpeSettings& settings,
                            BpeVocabulary& vocabulary, const std::string& name) {
  CHECK(model.contains("vocab") && model["vocab"].is_object(), kInput,
        "{}: model.vocab: expected an object", name);
  const Json& entries = model["vocab"];
  parse_added_tokens(root, entries, false, vocabulary, name);
  vocabulary.byte_ids.fill(BpeVocabulary::kNoId);
  IdsByToken ids;
  ids.reserve(entries.size());
  for (const auto& [written, value] : entries.items()) {
    if (vocabulary.specials.contains(written)) continue;
    CHECK(value.is_number_integer(), kInput, "{}: token \"{}\": expected an integer id", name,
          written);
    const int byte = settings.byte_fallback ? byte_of(written) : -1;
    const auto id = value.get<int64_t>();
    put_token(vocabulary, id,
              byte >= 0 ? std::string(1, static_cast<char>(byte)) : with_spaces(written), false,
              name);
    if (byte >= 0) vocabulary.byte_ids[static_cast<size_t>(byte)] = static_cast<uint32_t>(id);
    ids.emplace(written, static_cast<uint32_t>(id));
  }
  return ids;
}

std::unordered_map<uint32_t, uint32_t> single_characters(const IdsByToken& ids) {
  std::unordered_map<uint32_t, uint32_t> out;
  for (const auto& [written, id] : ids) {
    utf8proc_int32_t point = 0;
    const auto size = static_cast<utf8proc_ssize_t>(written.size());
    const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(written.data());
    if (size <= 4 && utf8proc_iterate(p, size, &point) == size)
      out.emplace(static_cast<uint32_t>(point), id);
  }
  return out;
}

int64_t parse_unk(const Json& model, const BpeVocabulary& vocabulary, const IdsByToken& ids,
                  const std::string& name) {
  if (absent(model, "unk_token")) return -1;
  const auto token = get<std::string>(model, "unk_token", name);
  const auto special = vocabulary.specials.find(token);
  if (special != vocabulary.specials.end()) return special->second.id;
  const auto found = ids.find(token);
  CHECK(found != ids.end(), kInput, "{}: unk_token \"{}\" is not in the vocabulary", name, token);
  return found->second;
}

}  // namespace

std::unique_ptr<CharBpeTokenizer> read_char_bpe(const Json& root, std::string_view config,
                                                const std::string& name) {
  const Json& model = checked_model(root, "BPE", name);
  check_model_settings(root, model, name);
  CHECK(!get_or<bool>(model, "ignore_merges", false, name), kInput,
        "{}: ignore_merges does not go with BPE over characters", name);
  CharBpeSettings settings;
  settings.byte_fallback = get_or<bool>(model, "byte_fallback", false, name);
  settings.fuse_unk = get_or<bool>(model, "fuse_unk", false, name);
  bool makes_visible = false;
  parse_normalizer(root, settings, makes_visible, name);
  parse_pre_tokenizer(root, settings, makes_visible, name);
  CHECK(makes_visible, kInput,
        "{}: pre_tokenizer {} with normalizer {} is not supported; expected byte-level BPE or one "
        "that makes spaces visible",
        name, root.contains("pre_tokenizer") ? type_of(root["pre_tokenizer"]) : "null",
        root.contains("normalizer") ? type_of(root["normalizer"]) : "null");
  parse_decoder(root, settings, name);
  BpeVocabulary vocabulary;
  const IdsByToken ids = parse_vocabulary(root, model, settings, vocabulary, name);
  parse_merges(model, ids, keep_spelling, vocabulary, name);
  vocabulary.eos_id = parse_eos(config, vocabulary.specials, name);
  settings.unk_id = parse_unk(model, vocabulary, ids, name);
  return std::make_unique<CharBpeTokenizer>(std::move(vocabulary), single_characters(ids),
                                            settings);
}

}  // namespace etrlrec
