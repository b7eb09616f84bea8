#include "text/pipeline_file.h"

#include "base/check.h"
#include "base/json.h"
#include "text/bpe_model.h"
#include "text/pipeline_tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/unigram_model.h"
#include "text/word_models.h"

namespace etrlrec {
namespace {

constexpr int64_t kMaxAddedId = int64_t{1} << 21;
constexpr size_t kMaxAddedBytes = 4096;

std::unique_ptr<TokenModel> read_model(const Json& root, const std::string& name) {
  const std::string type = model_type(root, name);
  CHECK(root.contains("model") && root["model"].is_object(), kInput,
        "{}: model: expected an object", name);
  const Json& model = root["model"];
  if (type == "BPE") return read_bpe_model(model, name);
  if (type == "Unigram") return read_unigram_model(model, name);
  if (type == "WordPiece") return read_word_piece_model(model, name);
  if (type == "WordLevel") return read_word_level_model(model, name);
  fail(ExitCode::kInput,
       "{}: tokenizer model {} is not supported; known: BPE, Unigram, WordPiece, WordLevel", name,
       type);
}

AddedVocabulary::Tokens read_added(const Json& root, const ModelVocabulary& tokens,
                                   const std::string& name) {
  AddedVocabulary::Tokens out;
  const Json list = get_or<Json>(root, "added_tokens", Json::array(), name);
  CHECK(list.is_array(), kInput, "{}: added_tokens: expected an array", name);
  std::unordered_map<int64_t, std::string> content_of;
  for (const Json& entry : list) {
    const auto content = get<std::string>(entry, "content", name);
    AddedToken token = parse_added_token(entry, content, name);
    token.id = get<int64_t>(entry, "id", name);
    CHECK(token.id >= 0 && token.id < kMaxAddedId, kInput,
          "{}: added token \"{}\": id {} is out of range [0, {})", name, content, token.id,
          kMaxAddedId);
    CHECK(content.size() <= kMaxAddedBytes, kInput,
          "{}: added token {}: expected at most {} bytes, found {}", name, token.id, kMaxAddedBytes,
          content.size());
    const uint32_t known = tokens.find(content);
    CHECK(known == ModelVocabulary::kNone || known == token.id, kInput,
          "{}: added token \"{}\" has another id in model.vocab", name, content);
    const auto at = static_cast<size_t>(token.id);
    const bool is_taken = at < tokens.size() && known == ModelVocabulary::kNone &&
                          tokens.find(tokens.text(at)) == static_cast<uint32_t>(token.id);
    CHECK(!is_taken && content_of.emplace(token.id, content).second, kInput,
          "{}: token id {} occurs twice", name, token.id);
    out.emplace_back(content, token);
  }
  return out;
}

int64_t read_eos(const Json& root, std::string_view config, const AddedVocabulary::Tokens& added,
                 const ModelVocabulary& tokens, const std::string& name) {
  const std::string content = end_token_name(config, model_type(root, name) == "WordPiece", name);
  if (content.empty()) return -1;
  for (const auto& [known, token] : added)
    if (known == content) return token.id;
  const uint32_t id = tokens.find(content);
  CHECK(id != ModelVocabulary::kNone, kInput, "{}: end token \"{}\" is not an added token", name,
        content);
  return id;
}

}  // namespace

std::unique_ptr<Tokenizer> read_pipeline(const Json& root, std::string_view config,
                                         const std::string& name) {
  const auto part = [&](const char* key) { return absent(root, key) ? Json() : root[key]; };
  PipelineParts parts;
  parts.model = read_model(root, name);
  parts.added = read_added(root, parts.model->tokens(), name);
  parts.normalizer = read_normalizer(part("normalizer"), name);
  parts.pre_tokenizer = read_pre_tokenizer(part("pre_tokenizer"), name);
  parts.decoder = read_decoder(part("decoder"), name);
  parts.eos_id = read_eos(root, config, parts.added, parts.model->tokens(), name);
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace etrlrec
