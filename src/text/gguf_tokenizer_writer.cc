#include "text/gguf_tokenizer_writer.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/begin_tokens.h"
#include "text/bpe_file.h"
#include "text/char_bpe_file.h"
#include "text/chat_recognition.h"
#include "text/gguf_tokens.h"
#include "text/pipeline_json.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

struct TokenTable {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
};

TokenTable token_table(const Json& root, int64_t vocab_size, bool is_byte_level,
                       const std::string& name) {
  const auto size = static_cast<size_t>(vocab_size);
  TokenTable table{std::vector<std::string>(size), std::vector<int32_t>(size, kUnusedToken)};
  const auto put = [&](int64_t id, const std::string& text, GgufTokenType type) {
    CHECK(id >= 0 && id < vocab_size, kModel, "{}: token {} for an embedding of {} rows", name, id,
          vocab_size);
    table.texts[static_cast<size_t>(id)] = text;
    table.types[static_cast<size_t>(id)] = static_cast<int32_t>(type);
  };
  const Json& model = root.at("model");
  const bool has_bytes = get_or<bool>(model, "byte_fallback", false, name);
  for (const auto& [text, id] : model.at("vocab").items())
    put(id.get<int64_t>(), text,
        !is_byte_level && has_bytes && byte_of(text) >= 0 ? kByteToken : kOrdinaryToken);
  for (const Json& token : get_or<Json>(root, "added_tokens", Json::array(), name))
    put(get<int64_t>(token, "id", name), get<std::string>(token, "content", name),
        get_or<bool>(token, "special", true, name) ? kControlToken : kUserDefinedToken);
  for (size_t id = 0; id < size; ++id)
    if (table.types[id] == kUnusedToken) table.texts[id] = fmt::format("[PAD{}]", id);
  return table;
}

std::vector<std::string> merge_texts(const Json& model) {
  std::vector<std::string> merges;
  for (const Json& merge : model.at("merges"))
    merges.push_back(merge.is_string()
                         ? merge.get<std::string>()
                         : merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  return merges;
}

void put_byte_level(const Json& root, const std::string& name, GgufWriter& writer) {
  CHECK(is_byte_level_bpe(root, name), kModel,
        "{}: GGUF has no way to say this composition of a byte-level tokenizer", name);
  const PatternKind pattern = *byte_level_pattern(root, name);
  // NFC: there is no other in this composition.
  const bool normalizes = !steps_of(root, "normalizer", "normalizers", name).empty();
  const bool whole = get_or<bool>(root.at("model"), "ignore_merges", false, name);
  const auto& rows = gguf_pre_tokenizers();
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const GgufPre& pre) {
    return pre.pattern == pattern && pre.normalizes == normalizes && pre.ignores_merges == whole;
  });
  CHECK(row != rows.end(), kModel,
        "{}: GGUF has no name for this pre-tokenizer (split pattern, NFC {}, ignore_merges {}); "
        "other programs would cut texts in another way",
        name, normalizes, whole);
  writer.put_text("tokenizer.ggml.model", "gpt2");
  writer.put_text("tokenizer.ggml.pre", row->name);
  writer.put_texts("tokenizer.ggml.merges", merge_texts(root.at("model")));
}

// Scores that fall along the merges; pieces whose merges lie among each other's have the same one.
// They must give the same merges again.
std::vector<float> scores_of_merges(const TokenTable& table, const std::vector<std::string>& merges,
                                    const std::string& name) {
  std::unordered_map<std::string, size_t> ids;
  for (size_t id = 0; id < table.texts.size(); ++id) ids.emplace(table.texts[id], id);
  std::vector<size_t> wholes;  // what each merge makes
  std::vector<size_t> last(table.texts.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    std::string whole = merges[rank];
    whole.erase(whole.find(' '), 1);
    wholes.push_back(ids.at(whole));
    last[wholes.back()] = rank;
  }
  std::vector<float> scores(table.texts.size(), 0);
  for (size_t id = 0; id < scores.size(); ++id)
    if (table.types[id] == kOrdinaryToken) scores[id] = -static_cast<float>(merges.size());
  size_t begin = 0, end = 0;  // merges of pieces of one score
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    if (rank > end) begin = rank;
    end = std::max(end, last[wholes[rank]]);
    scores[wholes[rank]] = -static_cast<float>(begin);
  }
  const std::vector<std::string_view> texts(table.texts.begin(), table.texts.end());
  const std::vector<int64_t> types(table.types.begin(), table.types.end());
  CHECK(merges_of_scores(texts, types, {scores.begin(), scores.end()}) == merges, kModel,
        "{}: model.merges: GGUF keeps scores instead, and none give these merges", name);
  return scores;
}

void put_characters(const Json& root, const std::string& name, TokenTable& table,
                    GgufWriter& writer) {
  const auto is = [&](bool adds_space) {
    return !absent(root, "normalizer") &&
           root.at("normalizer") == Json::parse(visible_space_normalizer(adds_space).dump());
  };
  CHECK((is(true) || is(false)) && char_bpe_settings(root, name).has_value(), kModel,
        "{}: GGUF has no name for this normalizer and pre-tokenizer; expected Prepend and Replace, "
        "or Replace alone",
        name);
  const Json& model = root.at("model");
  if (!absent(model, "unk_token")) {
    const auto unknown = get<std::string>(model, "unk_token", name);
    for (size_t id = 0; id < table.texts.size(); ++id)
      if (table.texts[id] == unknown) table.types[id] = kUnknownToken;
  }
  writer.put_text("tokenizer.ggml.model", "llama");
  writer.put_text("tokenizer.ggml.pre", "default");
  writer.put_float32s("tokenizer.ggml.scores", scores_of_merges(table, merge_texts(model), name));
  writer.put_bool("tokenizer.ggml.add_space_prefix", is(true));
}

// Ids of the tokens that tokenizer_config.json or special_tokens_map.json names.
std::map<std::string, int64_t> named_tokens(const fs::path& folder, const Tokenizer& tokenizer) {
  std::map<std::string, int64_t> named;
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!fs::exists(folder / file)) continue;
    const std::string name = (folder / file).string();
    const Json root = read_json(folder / file);
    for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
      if (absent(root, key) || named.contains(key)) continue;
      const Json& value = root.at(key);
      const auto content = value.is_object() ? get<std::string>(value, "content", name)
                                             : get<std::string>(root, key, name);
      named[key] = tokenizer.special_id(content);
    }
  }
  return named;
}

void put_special_tokens(const fs::path& folder, const Tokenizer& tokenizer,
                        const std::vector<int64_t>& end_tokens, GgufWriter& writer) {
  std::map<std::string, int64_t> named = named_tokens(folder, tokenizer);
  const std::vector<int64_t> begin = begin_tokens(folder, tokenizer);
  CHECK(begin.size() <= 1 &&
            (begin.empty() || !named.contains("bos_token") || named["bos_token"] == begin[0]),
        kModel, "{}: expected at most one begin token, that of the tokenizer", folder.string());
  if (!begin.empty()) named["bos_token"] = begin[0];
  writer.put_bool("tokenizer.ggml.add_bos_token", !begin.empty());
  std::vector<int64_t> ends;
  if (named.contains("eos_token")) ends.push_back(named["eos_token"]);
  for (const int64_t id : end_tokens)
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  constexpr const char* kEnds[] = {"eos", "eot", "eom"};
  CHECK(ends.size() <= std::size(kEnds), kModel, "{}: GGUF names three end tokens, found {}",
        folder.string(), ends.size());
  for (size_t i = 0; i < ends.size(); ++i)
    writer.put_uint32(fmt::format("tokenizer.ggml.{}_token_id", kEnds[i]), ends[i]);
  const std::pair<const char*, const char*> others[] = {
      {"bos_token", "bos"}, {"pad_token", "padding"}, {"unk_token", "unknown"}};
  for (const auto& [key, name] : others)
    if (named.contains(key))
      writer.put_uint32(fmt::format("tokenizer.ggml.{}_token_id", name), named[key]);
}

}  // namespace

void put_gguf_tokenizer(const fs::path& folder, int64_t vocab_size,
                        const std::vector<int64_t>& end_tokens, GgufWriter& writer) {
  const fs::path path = folder / "tokenizer.json";
  CHECK(fs::exists(path), kModel, "{}: is missing; GGUF is written of a BPE tokenizer.json only",
        path.string());
  const auto tokenizer = load_tokenizer(folder);  // which checks all that is read below
  const Json root = read_json(path);
  const std::string name = path.string();
  const bool is_byte_level = root.contains("decoder") && type_of(root.at("decoder")) == "ByteLevel";
  TokenTable table = token_table(root, vocab_size, is_byte_level, name);
  if (is_byte_level)
    put_byte_level(root, name, writer);
  else
    put_characters(root, name, table, writer);
  writer.put_texts("tokenizer.ggml.tokens", table.texts);
  writer.put_int32s("tokenizer.ggml.token_type", table.types);
  put_special_tokens(folder, *tokenizer, end_tokens, writer);
  const std::string chat = chat_template_text(folder);
  if (!chat.empty()) writer.put_text("tokenizer.chat_template", chat);
}

}  // namespace etrlrec
