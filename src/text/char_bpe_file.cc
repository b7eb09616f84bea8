#include "text/char_bpe_file.h"

#include <utf8proc.h>

#include "base/check.h"
#include "base/json.h"
#include "text/pipeline_json.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

using Prefix = CharBpeSettings::Prefix;
constexpr std::string_view kVisibleSpaceText = "\u2581";

// A Replace of one string by another, and nothing else.
bool replaces(const Json& step, std::string_view from, std::string_view to) {
  return type_of(step) == "Replace" && step.contains("pattern") &&
         step["pattern"] == Json{{"String", std::string(from)}} &&
         is_set(step, "content", std::string(to), "");
}

// The visible space in place of spaces, and maybe one in front: by the normalizer or by Metaspace.
bool read_spaces(const Json& root, CharBpeSettings& settings, const std::string& name) {
  const auto normalizers = steps_of(root, "normalizer", "normalizers", name);
  const auto cutters = steps_of(root, "pre_tokenizer", "pretokenizers", name);
  if (normalizers.empty()) {
    if (cutters.size() != 1 || type_of(cutters[0]) != "Metaspace") return false;
    std::string scheme;
    if (read_metaspace(cutters[0], scheme, name) != kVisibleSpaceText) return false;
    settings.prefix = scheme == "always"  ? Prefix::kUnlessSpace
                      : scheme == "first" ? Prefix::kUnlessSpaceAtStart
                                          : Prefix::kNone;
    settings.split_words = get_or<bool>(cutters[0], "split", true, name);
    return true;
  }
  const bool prepends = type_of(normalizers[0]) == "Prepend" &&
                        is_set(normalizers[0], "prepend", std::string(kVisibleSpaceText), "");
  if (prepends) settings.prefix = Prefix::kPrepend;
  return cutters.empty() && normalizers.size() == (prepends ? 2u : 1u) &&
         replaces(normalizers.back(), " ", kVisibleSpaceText);
}

// Replace, ByteFallback with bytes, and maybe Fuse and Strip of one space.
bool read_decoder_steps(const Json& root, CharBpeSettings& settings, const std::string& name) {
  const auto steps = steps_of(root, "decoder", "decoders", name);
  size_t at = 0;
  const auto is = [&](const char* type) { return at < steps.size() && type_of(steps[at]) == type; };
  if (!is("Replace") || !replaces(steps[at++], kVisibleSpaceText, " ")) return false;
  if (is("ByteFallback") != settings.byte_fallback) return false;
  at += settings.byte_fallback;
  if (is("Fuse") && (++at, is("Strip"))) {
    const Json& strip = steps[at++];
    if (!is_set(strip, "content", " ", "") || !is_set(strip, "stop", 0, -1)) return false;
    settings.strips_space = is_set(strip, "start", 1, -1);
    if (!settings.strips_space && !is_set(strip, "start", 0, -1)) return false;
  }
  return at == steps.size();
}

// Every byte has a token, or no character needs one.
bool has_bytes_or_unknown(const Json& model, bool byte_fallback) {
  if (!byte_fallback) return !absent(model, "unk_token");
  if (absent(model, "vocab") || !model["vocab"].is_object()) return false;
  for (int byte = 0; byte < 256; ++byte)
    if (!model["vocab"].contains(fmt::format("<0x{:02X}>", byte))) return false;
  return true;
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
  parse_added_tokens(root, entries, vocabulary, name);
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

std::optional<CharBpeSettings> char_bpe_settings(const Json& root, const std::string& name) {
  if (model_type(root, name) != "BPE") return std::nullopt;
  const Json& model = root["model"];
  CharBpeSettings settings;
  settings.byte_fallback = is_set(model, "byte_fallback", true, false);
  settings.fuse_unk = is_set(model, "fuse_unk", true, false);
  const bool fits = merges_plainly(model) && is_set(model, "ignore_merges", false, false) &&
                    has_bytes_or_unknown(model, settings.byte_fallback) &&
                    read_spaces(root, settings, name) && read_decoder_steps(root, settings, name);
  return fits ? std::optional(settings) : std::nullopt;
}

bool is_char_bpe(const Json& root, const std::string& name) {
  return char_bpe_settings(root, name).has_value() &&
         has_plain_added_tokens(root, false, !absent(root, "normalizer"));
}

std::unique_ptr<CharBpeTokenizer> read_char_bpe(const Json& root, std::string_view config,
                                                const std::string& name) {
  const Json& model = checked_model(root, "BPE", name);
  auto found = char_bpe_settings(root, name);
  CHECK(found.has_value(), kInput, "{}: expected a tokenizer of BPE over characters", name);
  CharBpeSettings settings = *found;
  BpeVocabulary vocabulary;
  const IdsByToken ids = parse_vocabulary(root, model, settings, vocabulary, name);
  parse_merges(model, ids, keep_spelling, vocabulary, name);
  vocabulary.eos_id = parse_eos(config, vocabulary.specials, name);
  settings.unk_id = parse_unk(model, vocabulary, ids, name);
  return std::make_unique<CharBpeTokenizer>(std::move(vocabulary), single_characters(ids),
                                            settings);
}

}  // namespace etrlrec
