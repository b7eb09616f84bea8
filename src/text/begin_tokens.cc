#include "text/begin_tokens.h"

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

Json read_object(const fs::path& path) {
  if (!fs::exists(path)) return Json::object();
  Json root = parse_json(read_file(path, kMaxFileBytes), path.string());
  CHECK(root.is_object(), kInput, "{}: expected an object", path.string());
  return root;
}

std::vector<int64_t> bos_token(const Json& config, const Tokenizer& tokenizer,
                               const std::string& name) {
  CHECK(!absent(config, "bos_token"), kInput, "{}: add_bos_token without a bos_token", name);
  const Json& bos = config["bos_token"];
  const auto content = bos.is_object() ? get<std::string>(bos, "content", name)
                                       : get<std::string>(config, "bos_token", name);
  return {tokenizer.special_id(content)};
}

// Special tokens in front of sequence A of a TemplateProcessing, alone or in a Sequence.
std::vector<int64_t> of_post_processor(const Json& processor, int64_t vocab_size,
                                       const std::string& name) {
  const std::string type = type_of(processor);
  if (type == "null" || type == "ByteLevel") return {};
  std::vector<int64_t> ids;
  if (type == "Sequence") {
    for (const Json& part : get<Json>(processor, "processors", name))
      for (int64_t id : of_post_processor(part, vocab_size, name)) ids.push_back(id);
    return ids;
  }
  const auto checked = [&](int64_t id) {
    CHECK(id >= 0 && id < vocab_size, kInput,
          "{}: post_processor: token id {} is not in the vocabulary of {}", name, id, vocab_size);
    return id;
  };
  if (type == "BertProcessing" || type == "RobertaProcessing")
    return {checked(get<std::pair<std::string, int64_t>>(processor, "cls", name).second)};
  CHECK(type == "TemplateProcessing", kInput,
        "{}: post_processor {} is not supported; known: ByteLevel, TemplateProcessing, "
        "BertProcessing, RobertaProcessing, Sequence",
        name, type);
  const Json tokens = get_or<Json>(processor, "special_tokens", Json::object(), name);
  const Json single = get<Json>(processor, "single", name);
  CHECK(single.is_array(), kInput, "{}: post_processor: single: expected a list", name);
  for (const Json& piece : single) {
    if (!piece.is_object() || !piece.contains("SpecialToken")) break;
    const Json token = get<Json>(tokens, get<std::string>(piece["SpecialToken"], "id", name), name);
    for (int64_t id : get<std::vector<int64_t>>(token, "ids", name)) ids.push_back(checked(id));
  }
  return ids;
}

}  // namespace

std::vector<int64_t> begin_tokens(const fs::path& folder, const Tokenizer& tokenizer) {
  const fs::path path = folder / "tokenizer_config.json", json = folder / "tokenizer.json";
  const std::string name = path.string();
  try {
    const Json config = read_object(path);
    if (!absent(config, "add_bos_token"))
      return get<bool>(config, "add_bos_token", name) ? bos_token(config, tokenizer, name)
                                                      : std::vector<int64_t>{};
    if (fs::exists(json)) {
      const Json root = read_object(json);
      return absent(root, "post_processor")
                 ? std::vector<int64_t>{}
                 : of_post_processor(root["post_processor"], tokenizer.vocab_size(), json.string());
    }
    const bool is_llama =
        get_or<std::string>(config, "tokenizer_class", "", name).starts_with("LlamaTokenizer");
    return is_llama && !absent(config, "bos_token") ? bos_token(config, tokenizer, name)
                                                    : std::vector<int64_t>{};
  } catch (const nlohmann::json::exception& error) {
    fail(ExitCode::kInput, "{}: {}", folder.string(), error.what());
  }
}

}  // namespace etrlrec
