#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "text/bpe_json.h"
#include "text/gguf_tokens.h"
#include "text/split_patterns.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

// Finding the merges of a piece takes time that grows with the square of its length.
constexpr size_t kMaxTokenBytes = 4096, kMaxPieceBytes = 512;

// What the metadata says about tokens, checked.
struct Tokens {
  std::vector<std::string_view> texts;
  std::vector<int64_t> types;
  std::map<std::string, int64_t> named;  // "bos", "eos", "eot", "eom", "padding", "unknown"
  bool is_llama = false;
};

Tokens read_tokens(const GgufFile& file) {
  Tokens tokens;
  const std::string_view kind = file.text("tokenizer.ggml.model");
  CHECK(kind == "gpt2" || kind == "llama", kInput,
        "{}: tokenizer.ggml.model \"{}\" is not supported; known: gpt2, llama", file.name(), kind);
  tokens.is_llama = kind == "llama";
  tokens.texts = file.texts("tokenizer.ggml.tokens");
  CHECK(!tokens.texts.empty(), kInput, "{}: tokenizer.ggml.tokens is empty", file.name());
  tokens.types.assign(tokens.texts.size(), kOrdinaryToken);
  if (file.has("tokenizer.ggml.token_type"))
    tokens.types = file.integers("tokenizer.ggml.token_type");
  CHECK(tokens.types.size() == tokens.texts.size(), kInput,
        "{}: tokenizer.ggml.token_type: expected {} entries, found {}", file.name(),
        tokens.texts.size(), tokens.types.size());
  std::set<std::string_view> seen;
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    const std::string_view text = tokens.texts[id];
    CHECK(tokens.types[id] >= kOrdinaryToken && tokens.types[id] <= kByteToken, kInput,
          "{}: token {}: unknown type {}; known: 1 to 6", file.name(), id, tokens.types[id]);
    if (tokens.types[id] == kUnusedToken) continue;
    CHECK(!text.empty() && valid_utf8_length(text) == text.size(), kInput,
          "{}: token {}: expected a text of UTF-8 that is not empty", file.name(), id);
    CHECK(text.size() <= (tokens.is_llama ? kMaxPieceBytes : kMaxTokenBytes), kInput,
          "{}: token {}: {} bytes are too many", file.name(), id, text.size());
    CHECK(seen.insert(text).second, kInput, "{}: token {} (\"{}\") occurs twice", file.name(), id,
          text);
  }
  for (const char* name : {"bos", "eos", "eot", "eom", "padding", "unknown"}) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    if (!file.has(key)) continue;
    const int64_t id = file.integer(key);
    CHECK(id >= 0 && id < std::ssize(tokens.texts), kInput, "{}: {}: {} is not one of {} tokens",
          file.name(), key, id, tokens.texts.size());
    tokens.named[name] = id;
  }
  return tokens;
}

const GgufPre& find_pre(const GgufFile& file, const Tokens& tokens) {
  std::string_view name = file.text_or("tokenizer.ggml.pre", "default");
  if (name == "default") {
    const std::string_view architecture = file.text("general.architecture");
    const auto has = [&](std::string_view text) {
      return std::find(tokens.texts.begin(), tokens.texts.end(), text) != tokens.texts.end();
    };
    name = architecture.starts_with("qwen") ? "qwen2"
           : has("<|begin_of_text|>")       ? "llama-bpe"
                                            : "gpt-2";
    log_warning("{}: does not say how its tokenizer splits texts; taken: as {}", file.name(), name);
  }
  std::string known;
  for (const GgufPre& pre : gguf_pre_tokenizers()) {
    if (name == pre.name) return pre;
    known += std::string(pre.name) + ", ";
  }
  fail(ExitCode::kInput, "{}: tokenizer.ggml.pre \"{}\" is not supported; known: {}default",
       file.name(), name, known);
}

OrderedJson pre_tokenizer_json(PatternKind kind) {
  const auto byte_level = [](bool use_regex) { return byte_level_step({true, use_regex}); };
  if (kind == PatternKind::kGpt2) return byte_level(true);
  const bool digits = kind == PatternKind::kDigits;
  OrderedJson first =
      digits ? OrderedJson{{"type", "Digits"}, {"individual_digits", true}} : split_step(kind);
  OrderedJson steps = OrderedJson::array({std::move(first), byte_level(digits)});
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

bool is_added(const Tokens& tokens, size_t id) {
  const int64_t type = tokens.types[id];
  if (type == kControlToken || type == kUserDefinedToken) return true;
  if (type == kUnknownToken && tokens.is_llama) return true;
  for (const auto& [name, named] : tokens.named)
    if (named == static_cast<int64_t>(id) && (name != "unknown" || tokens.is_llama)) return true;
  // Old converters call added tokens ordinary.
  std::string bytes;
  return !tokens.is_llama && type == kOrdinaryToken &&
         !visible_to_bytes(std::string(tokens.texts[id]), bytes);
}

OrderedJson added_tokens_json(const Tokens& tokens) {
  OrderedJson list = OrderedJson::array();
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    if (tokens.types[id] == kUnusedToken || !is_added(tokens, id)) continue;
    const bool special = tokens.types[id] != kUserDefinedToken &&
                         (tokens.types[id] != kOrdinaryToken || is_marker(tokens.texts[id]));
    list.push_back(added_token_json(id, tokens.texts[id], special));
  }
  return list;
}

// Every token that is used, by text. Appended: inserting by key would search all of them each time.
OrderedJson vocabulary_json(const Tokens& tokens) {
  OrderedJson vocabulary = OrderedJson::object();
  auto& entries = vocabulary.get_ref<OrderedJson::object_t&>();
  entries.reserve(tokens.texts.size());
  for (size_t id = 0; id < tokens.texts.size(); ++id)
    if (tokens.types[id] != kUnusedToken) entries.emplace_back(std::string(tokens.texts[id]), id);
  return vocabulary;
}

// A begin token in front of every text; null where there is none.
OrderedJson post_processor_json(const GgufFile& file, const Tokens& tokens, bool begins) {
  if (file.flag_or("tokenizer.ggml.add_eos_token", false))
    log_warning("{}: its end token behind every text is not written", file.name());
  const auto found = tokens.named.find("bos");
  if (!file.flag_or("tokenizer.ggml.add_bos_token", begins) || found == tokens.named.end())
    return nullptr;
  const std::string bos(tokens.texts[static_cast<size_t>(found->second)]);
  const auto special = [&](int type) -> OrderedJson {
    return {{"SpecialToken", {{"id", bos}, {"type_id", type}}}};
  };
  const auto sequence = [&](const char* id, int type) -> OrderedJson {
    return {{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  return {
      {"type", "TemplateProcessing"},
      {"single", OrderedJson::array({special(0), sequence("A", 0)})},
      {"pair", OrderedJson::array({special(0), sequence("A", 0), special(1), sequence("B", 1)})},
      {"special_tokens",
       {{bos,
         {{"id", bos},
          {"ids", OrderedJson::array({found->second})},
          {"tokens", OrderedJson::array({bos})}}}}}};
}

OrderedJson byte_level_json(const GgufFile& file, const Tokens& tokens) {
  const GgufPre& pre = find_pre(file, tokens);
  OrderedJson root{{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  root["added_tokens"] = added_tokens_json(tokens);
  root["normalizer"] = pre.normalizes ? OrderedJson{{"type", "NFC"}} : OrderedJson();
  root["pre_tokenizer"] = pre_tokenizer_json(pre.pattern);
  root["post_processor"] = post_processor_json(file, tokens, pre.begins);
  root["decoder"] = byte_level_step({true, true});
  root["model"] = bpe_model_json({.ignore_merges = pre.ignores_merges});
  root["model"]["vocab"] = vocabulary_json(tokens);
  root["model"]["merges"] = file.texts("tokenizer.ggml.merges");
  return root;
}

OrderedJson character_json(const GgufFile& file, const Tokens& tokens) {
  const std::vector<double> scores = file.numbers("tokenizer.ggml.scores");
  CHECK(scores.size() == tokens.texts.size(), kInput,
        "{}: tokenizer.ggml.scores: expected {} entries, found {}", file.name(),
        tokens.texts.size(), scores.size());
  for (const double score : scores)
    CHECK(std::isfinite(score), kInput, "{}: tokenizer.ggml.scores: expected finite numbers",
          file.name());
  CHECK(!file.flag_or("tokenizer.ggml.remove_extra_whitespaces", false), kInput,
        "{}: tokenizer.ggml.remove_extra_whitespaces is not supported", file.name());
  const bool adds_space = file.flag_or("tokenizer.ggml.add_space_prefix", true);
  const std::string space = "\u2581";
  const auto replace = [](const std::string& from, const std::string& to) -> OrderedJson {
    return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  OrderedJson decoders =
      OrderedJson::array({replace(space, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (adds_space)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  std::optional<std::string> unknown;
  for (size_t id = 0; id < tokens.texts.size() && !unknown; ++id)
    if (tokens.types[id] == kUnknownToken) unknown = tokens.texts[id];
  const bool has_bytes =
      std::find(tokens.types.begin(), tokens.types.end(), kByteToken) != tokens.types.end();
  OrderedJson root{{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  root["added_tokens"] = added_tokens_json(tokens);
  root["normalizer"] = visible_space_normalizer(adds_space);
  root["pre_tokenizer"] = nullptr;
  root["post_processor"] = post_processor_json(file, tokens, true);
  root["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  root["model"] =
      bpe_model_json({.unk_token = unknown, .fuse_unk = true, .byte_fallback = has_bytes});
  root["model"]["vocab"] = vocabulary_json(tokens);
  root["model"]["merges"] = merges_of_scores(tokens.texts, tokens.types, scores);
  return root;
}

OrderedJson config_json(const GgufFile& file, const Tokens& tokens) {
  OrderedJson config{{"clean_up_tokenization_spaces", false}};
  const std::pair<const char*, const char*> keys[] = {{"bos", "bos_token"},
                                                      {"eos", "eos_token"},
                                                      {"padding", "pad_token"},
                                                      {"unknown", "unk_token"}};
  for (const auto& [name, key] : keys) {
    const auto found = tokens.named.find(name);
    const bool is_token = found != tokens.named.end() &&
                          tokens.types[static_cast<size_t>(found->second)] != kUnusedToken;
    if (is_token) config[key] = tokens.texts[static_cast<size_t>(found->second)];
  }
  const std::string length = fmt::format("{}.context_length", file.text("general.architecture"));
  if (file.has(length)) config["model_max_length"] = file.integer(length);
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  if (file.has("tokenizer.chat_template"))
    config["chat_template"] = file.text("tokenizer.chat_template");
  return config;
}

}  // namespace

void write_gguf_tokenizer(const GgufFile& file, const fs::path& folder) {
  const Tokens tokens = read_tokens(file);
  const OrderedJson root =
      tokens.is_llama ? character_json(file, tokens) : byte_level_json(file, tokens);
  write_json_atomic(folder / "tokenizer.json", root);
  write_json_atomic(folder / "tokenizer_config.json", config_json(file, tokens));
}

int64_t gguf_num_tokens(const GgufFile& file) {
  return std::ssize(file.texts("tokenizer.ggml.tokens"));
}

std::vector<int64_t> gguf_end_tokens(const GgufFile& file) {
  const Tokens tokens = read_tokens(file);
  std::vector<int64_t> ids;
  for (const char* name : {"eos", "eot", "eom"}) {
    const auto found = tokens.named.find(name);
    if (found != tokens.named.end() &&
        std::find(ids.begin(), ids.end(), found->second) == ids.end())
      ids.push_back(found->second);
  }
  return ids;
}

}  // namespace etrlrec
