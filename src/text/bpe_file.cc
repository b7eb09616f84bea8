// tokenizer.json, read: byte-level BPE in the layout of Hugging Face `tokenizers`. What would
// change the ids and is not implemented is refused by name. The post-processor is not used: encode
// never adds special tokens.
#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/bpe.h"

namespace etrlrec {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;
constexpr size_t kMaxTokens = size_t{1} << 21, kMaxMerges = size_t{1} << 22, kMaxTokenBytes = 4096;

const std::array<std::string, 256>& visible_bytes() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> out;
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      const uint32_t point = printable ? byte : next++;
      if (point < 0x80) {
        out[byte] = static_cast<char>(point);
      } else {
        out[byte] = {static_cast<char>(0xC0 | point >> 6),
                     static_cast<char>(0x80 | (point & 0x3F))};
      }
    }
    return out;
  }();
  return table;
}

// Byte behind each code point of the alphabet, -1 elsewhere.
const std::array<int16_t, 512>& byte_of_point() {
  static const std::array<int16_t, 512> table = [] {
    std::array<int16_t, 512> out;
    out.fill(-1);
    for (int16_t byte = 0; byte < 256; ++byte) {
      const std::string& text = visible_bytes()[static_cast<size_t>(byte)];
      const auto first = static_cast<unsigned char>(text[0]);
      const uint32_t point = text.size() == 1 ? first : (first & 0x1Fu) << 6 | (text[1] & 0x3F);
      out[point] = byte;
    }
    return out;
  }();
  return table;
}

std::string type_of(const Json& value) {
  if (value.is_null()) return "null";
  if (!value.is_object() || !value.contains("type") || !value["type"].is_string()) return "no type";
  return value["type"].get<std::string>();
}

bool absent(const Json& object, const char* key) {
  return !object.contains(key) || object[key].is_null();
}

void check_settings(const Json& root, const Json& model, const std::string& name) {
  for (const char* key : {"truncation", "padding"})
    CHECK(absent(root, key), kInput, "{}: \"{}\" is not supported; expected null", name, key);
  CHECK(absent(model, "dropout") || model["dropout"] == 0, kInput,
        "{}: BPE dropout is not supported; expected null", name);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    CHECK(absent(model, key) || model[key] == "", kInput, "{}: \"{}\" is not supported", name, key);
  CHECK(!get_or<bool>(model, "byte_fallback", false, name), kInput,
        "{}: byte_fallback (SentencePiece layout) is not supported; expected byte-level BPE", name);
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

// ByteLevel alone (GPT-2's pattern is built in), or Sequence[Split(pattern), ByteLevel without
// pattern].
SplitKind parse_pre_tokenizer(const Json& root, const std::string& name) {
  const Json& pre = root.contains("pre_tokenizer") ? root["pre_tokenizer"] : root;
  const auto is_byte_level = [&](const Json& value, bool use_regex) {
    if (type_of(value) != "ByteLevel") return false;
    CHECK(!get_or<bool>(value, "add_prefix_space", true, name), kInput,
          "{}: ByteLevel with add_prefix_space is not supported", name);
    return get_or<bool>(value, "use_regex", true, name) == use_regex;
  };
  if (is_byte_level(pre, true)) return SplitKind::kGpt2;
  const std::string type = root.contains("pre_tokenizer") ? type_of(pre) : "null";
  CHECK(type == "Sequence", kInput,
        "{}: pre_tokenizer {} is not supported; known: ByteLevel, Sequence of Split and ByteLevel",
        name, type);
  CHECK(pre.contains("pretokenizers"), kInput, "{}: pre_tokenizer Sequence: no pretokenizers",
        name);
  const Json& parts = pre["pretokenizers"];
  CHECK(parts.is_array() && parts.size() == 2 && type_of(parts[0]) == "Split" &&
            is_byte_level(parts[1], false),
        kInput, "{}: pre_tokenizer Sequence: expected Split and ByteLevel with use_regex false",
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

using IdsByToken =
    std::unordered_map<std::string, uint32_t>;  // bytes -> id, special tokens left out

IdsByToken parse_vocabulary(const Json& root, const Json& model, BpeVocabulary& vocabulary,
                            const std::string& name) {
  const Json& entries = model.contains("vocab") ? model["vocab"] : model;
  CHECK(model.contains("vocab") && entries.is_object(), kInput,
        "{}: model.vocab: expected an object", name);
  const Json added = get_or<Json>(root, "added_tokens", Json::array(), name);
  CHECK(added.is_array() && added.size() + entries.size() <= kMaxTokens, kInput,
        "{}: expected at most {} tokens", name, kMaxTokens);
  for (const Json& token : added) {
    const auto content = get<std::string>(token, "content", name);
    CHECK(token.contains("id") && token["id"].is_number_integer(), kInput,
          "{}: added token \"{}\": expected an integer id", name, content);
    const auto id = token["id"].get<int64_t>();
    CHECK(!entries.contains(content) || entries[content] == id, kInput,
          "{}: added token \"{}\" has another id in model.vocab", name, content);
    CHECK(vocabulary.specials.emplace(content, id).second, kInput,
          "{}: added token \"{}\" occurs twice", name, content);
    put_token(vocabulary, id, content, true, name);
  }
  IdsByToken ids;
  ids.reserve(entries.size());
  std::string bytes;
  for (const auto& [visible, value] : entries.items()) {
    if (vocabulary.specials.contains(visible)) continue;
    CHECK(value.is_number_integer(), kInput, "{}: token \"{}\": expected an integer id", name,
          visible);
    CHECK(visible_to_bytes(visible, bytes), kInput,
          "{}: token \"{}\" is not written in the byte-level alphabet", name, visible);
    put_token(vocabulary, value.get<int64_t>(), bytes, false, name);
    ids.emplace(bytes, value.get<uint32_t>());
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(std::string(1, static_cast<char>(byte)));
    CHECK(found != ids.end(), kInput, "{}: byte {} has no token; expected a byte-level vocabulary",
          name, byte);
    vocabulary.byte_ids[byte] = found->second;
  }
  return ids;
}

void parse_merges(const Json& model, const IdsByToken& ids, BpeVocabulary& vocabulary,
                  const std::string& name) {
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
    CHECK(!first.empty() && !second.empty() && visible_to_bytes(first, left) &&
              visible_to_bytes(second, right),
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

int64_t parse_eos(std::string_view config, const BpeVocabulary& vocabulary,
                  const std::string& name) {
  if (config.empty()) return -1;
  const Json root = parse_json(config, name + " (end token)");
  if (!root.is_object() || absent(root, "eos_token")) return -1;
  const Json& eos = root["eos_token"];
  const auto content = eos.is_object() ? get<std::string>(eos, "content", name)
                                       : get<std::string>(root, "eos_token", name);
  const auto found = vocabulary.specials.find(content);
  CHECK(found != vocabulary.specials.end(), kInput, "{}: end token \"{}\" is not an added token",
        name, content);
  return found->second;
}

std::unique_ptr<BpeTokenizer> parse(std::string_view json, std::string_view config,
                                    const std::string& name) {
  const Json root = parse_json(json, name);
  CHECK(root.is_object() && root.contains("model") && root["model"].is_object(), kInput,
        "{}: model: expected an object", name);
  const Json& model = root["model"];
  const auto type =
      get_or<std::string>(model, "type", model.contains("merges") ? "BPE" : "none", name);
  CHECK(type == "BPE", kInput, "{}: tokenizer model {} is not supported; known: BPE", name, type);
  check_settings(root, model, name);
  const bool normalize_nfc = parse_normalizer(root, name);
  const SplitKind kind = parse_pre_tokenizer(root, name);
  BpeVocabulary vocabulary;
  vocabulary.ignore_merges = get_or<bool>(model, "ignore_merges", false, name);
  const IdsByToken ids = parse_vocabulary(root, model, vocabulary, name);
  parse_merges(model, ids, vocabulary, name);
  vocabulary.eos_id = parse_eos(config, vocabulary, name);
  return std::make_unique<BpeTokenizer>(std::move(vocabulary), kind, normalize_nfc);
}

}  // namespace

std::string bytes_to_visible(std::string_view bytes) {
  std::string out;
  for (unsigned char byte : bytes) out += visible_bytes()[byte];
  return out;
}

bool visible_to_bytes(std::string_view visible, std::string& bytes) {
  bytes.clear();
  for (size_t i = 0; i < visible.size(); ++i) {
    auto point = static_cast<uint32_t>(static_cast<unsigned char>(visible[i]));
    if (point >= 0x80) {
      if (point < 0xC2 || point > 0xC7 || i + 1 == visible.size()) return false;
      point = (point & 0x1F) << 6 | (static_cast<unsigned char>(visible[++i]) & 0x3F);
    }
    if (byte_of_point()[point] < 0) return false;
    bytes += static_cast<char>(byte_of_point()[point]);
  }
  return true;
}

std::unique_ptr<BpeTokenizer> parse_bpe_tokenizer(std::string_view json, std::string_view config,
                                                  const std::string& name) {
  try {
    return parse(json, config, name);
  } catch (const nlohmann::json::exception& error) {
    fail(ExitCode::kInput, "{}: {}", name, error.what());
  }
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  std::string config;
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!config.empty() || !fs::exists(folder / file)) continue;
    config = read_file(folder / file, kMaxFileBytes);
    const Json root = parse_json(config, (folder / file).string());
    if (!root.is_object() || absent(root, "eos_token")) config.clear();
  }
  const fs::path path = folder / "tokenizer.json";
  CHECK(fs::exists(path), kInput,
        "{}: no tokenizer.json\nhint: byte-level BPE tokenizers in this layout are read",
        folder.string());
  return parse_bpe_tokenizer(read_file(path, kMaxFileBytes), config, path.string());
}

}  // namespace etrlrec
