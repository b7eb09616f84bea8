#include "text/tokenizer_folder.h"

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/bpe_file.h"
#include "text/char_bpe_file.h"
#include "text/pipeline_file.h"
#include "text/sentencepiece.h"
#include "text/sentencepiece_file.h"
#include "text/tokenizer_file.h"
#include "text/wordpiece.h"

namespace etrlrec {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

// The configuration of a folder: tokenizer_config.json or, where that names no end token,
// special_tokens_map.json; "" if there is none.
std::string read_config(const fs::path& folder) {
  std::string last;
  for (const char* file : {"special_tokens_map.json", "tokenizer_config.json"}) {
    if (!fs::exists(folder / file)) continue;
    std::string config = read_file(folder / file, kMaxFileBytes);
    const Json root = parse_json(config, (folder / file).string());
    CHECK(root.is_object(), kInput, "{}: expected an object", (folder / file).string());
    if (last.empty() || !absent(root, "eos_token")) last = std::move(config);
  }
  return last;
}

// Added tokens of the files next to a SentencePiece model: tokenizer.json (`root`, or null), else
// tokenizer_config.json, else added_tokens.json.
AddedTokens read_added_tokens(const fs::path& folder, const Json& root, const Json& config) {
  AddedTokens out;
  const auto add = [&](const std::string& content, int64_t id, const Json& flags,
                       const std::string& name) {
    AddedToken token = parse_added_token(flags, content, name);
    CHECK(!token.is_phrase, kInput,
          "{}: added token \"{}\" is neither special nor written like <this> or [this]; beside a "
          "SentencePiece model no words of ordinary text are supported as added tokens",
          name, content);
    token.id = id;
    CHECK(!content.empty() && out.emplace(content, token).second, kInput,
          "{}: added token \"{}\" is empty or occurs twice", name, content);
  };
  const fs::path list = folder / "added_tokens.json";
  if (root.is_object()) {
    const std::string name = (folder / "tokenizer.json").string();
    for (const Json& token : get_or<Json>(root, "added_tokens", Json::array(), name))
      add(get<std::string>(token, "content", name), get<int64_t>(token, "id", name), token, name);
  } else if (!absent(config, "added_tokens_decoder")) {
    const std::string name = (folder / "tokenizer_config.json").string();
    for (const auto& [id, token] : config["added_tokens_decoder"].items()) {
      CHECK(!id.empty() && id.size() <= 7 && id.find_first_not_of("0123456789") == id.npos, kInput,
            "{}: added_tokens_decoder: expected an id, found \"{}\"", name, id);
      add(get<std::string>(token, "content", name), std::stoll(id), token, name);
    }
  } else if (fs::exists(list)) {
    const Json ids = read_json(list);
    for (const auto& [content, id] : ids.items())
      add(content, id.get<int64_t>(), Json::object(), list.string());
  }
  return out;
}

// T5 keeps its sentinels out of the model: after the pieces, the last one first.
void add_sentinels(const Json& config, bool is_t5_file, int64_t pieces, AddedTokens& added) {
  const std::string name = "tokenizer_config.json";
  const auto type = get_or<std::string>(config, "tokenizer_class", "T5", name);
  const int64_t standard = is_t5_file && type.starts_with("T5") ? 100 : 0;
  const auto count = get_or<int64_t>(config, "extra_ids", standard, name);
  CHECK(count >= 0 && count <= 10000, kInput, "{}: extra_ids: expected 0 to 10000, found {}", name,
        count);
  if (added.contains("<extra_id_0>")) return;
  for (int64_t i = 0; i < count; ++i)
    added.emplace(fmt::format("<extra_id_{}>", i), AddedToken{pieces + count - 1 - i});
}

// The pieces of a Unigram tokenizer.json must be those of the model that serves it.
void check_same_pieces(const Json& root, const SentencePieceFile& file, const std::string& name) {
  const Json& vocab = root["model"].contains("vocab") ? root["model"]["vocab"] : root;
  CHECK(vocab.is_array() && vocab.size() >= file.pieces.size(), kModel,
        "{}: model.vocab: expected at least the {} pieces of the SentencePiece model beside it",
        name, file.pieces.size());
  for (size_t id = 0; id < file.pieces.size(); ++id)
    CHECK(vocab[id].is_array() && !vocab[id].empty() && vocab[id][0] == file.pieces[id].text,
          kModel, "{}: piece {} is not \"{}\" as in the SentencePiece model beside it", name, id,
          file.pieces[id].text);
}

// The SentencePiece file of a folder, "" if there is none.
fs::path find_sentencepiece(const fs::path& folder) {
  for (const char* file : {"spiece.model", "tokenizer.model"})
    if (fs::exists(folder / file)) return folder / file;
  return {};
}

// `root`: the tokenizer.json that the model serves, or null.
std::unique_ptr<Tokenizer> load_sentencepiece(const fs::path& folder, const fs::path& path,
                                              const Json& root) {
  const std::string bytes = read_file(path, kMaxFileBytes);
  const SentencePieceFile file = read_sentencepiece_file(bytes, path.string());
  if (root.is_object()) check_same_pieces(root, file, (folder / "tokenizer.json").string());
  const std::string text = read_config(folder);
  const Json config = text.empty() ? Json::object() : parse_json(text, "tokenizer_config.json");
  SentencePieceExtras extras;
  extras.added = read_added_tokens(folder, root, config);
  add_sentinels(config, path.filename() == "spiece.model", static_cast<int64_t>(file.pieces.size()),
                extras.added);
  extras.legacy = get_or<bool>(config, "legacy", true, "tokenizer_config.json");
  if (!absent(config, "eos_token")) {
    const Json& eos = config["eos_token"];
    extras.eos_token =
        (eos.is_object() ? get<Json>(eos, "content", "eos_token") : eos).get<std::string>();
  }
  return parse_sentencepiece(bytes, std::move(extras), path.string());
}

std::unique_ptr<Tokenizer> read_tokenizer(const Json& root, std::string_view config,
                                          const std::string& name) {
  CHECK(root.is_object(), kInput, "{}: expected an object", name);
  if (is_byte_level_bpe(root, name)) return read_byte_level(root, config, name);
  if (is_char_bpe(root, name)) return read_char_bpe(root, config, name);
  if (is_bert_word_piece(root, name)) return read_wordpiece(root, config, name);
  return read_pipeline(root, config, name);
}

}  // namespace

std::unique_ptr<Tokenizer> parse_tokenizer(std::string_view json, std::string_view config,
                                           const std::string& name) {
  const Json root = parse_json(json, name);
  try {
    return read_tokenizer(root, config, name);
  } catch (const nlohmann::json::exception& error) {
    fail(ExitCode::kInput, "{}: {}", name, error.what());
  }
}

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& folder) {
  const fs::path path = folder / "tokenizer.json", pieces = find_sentencepiece(folder);
  try {
    if (!fs::exists(path)) {
      CHECK(!pieces.empty(), kInput,
            "{}: no tokenizer: expected tokenizer.json, spiece.model or tokenizer.model",
            folder.string());
      return load_sentencepiece(folder, pieces, Json());
    }
    const Json root = parse_json(read_file(path, kMaxFileBytes), path.string());
    if (model_type(root, path.string()) == "Unigram" && !pieces.empty())
      return load_sentencepiece(folder, pieces, root);
    return read_tokenizer(root, read_config(folder), path.string());
  } catch (const nlohmann::json::exception& error) {
    fail(ExitCode::kInput, "{}: {}", folder.string(), error.what());
  }
}

}  // namespace etrlrec
