#include "method/import_model.h"

#include "base/check.h"
#include "base/gguf_file.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "models/gguf_model.h"
#include "text/chat_recognition.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

void write_generation_config(const GgufFile& file, const LlmConfig& config,
                             const fs::path& folder) {
  OrderedJson json;
  for (const char* name : {"bos", "padding"}) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    if (file.has(key))
      json[name == std::string("bos") ? "bos_token_id" : "pad_token_id"] = file.integer(key);
  }
  json["eos_token_id"] = config.eos_token_ids;
  write_json_atomic(folder / "generation_config.json", json);
}

}  // namespace

ImportResult import_model(const ImportOptions& options) {
  CHECK(options.dtype == "bfloat16" || options.dtype == "float32", kUsage,
        "--dtype: expected bfloat16 or float32, found {}", options.dtype);
  const GgufFile file(options.file);
  LlmConfig config = read_gguf_config(file);
  const int64_t tokens = gguf_num_tokens(file);
  CHECK(tokens <= config.vocab_size, kModel, "{}: {} tokens for an embedding of {} rows",
        file.name(), tokens, config.vocab_size);
  config.eos_token_ids = gguf_end_tokens(file);
  CHECK(!config.eos_token_ids.empty(), kInput, "{}: tokenizer.ggml.eos_token_id is missing",
        file.name());
  FolderWriter writer(options.out);
  const fs::path& folder = writer.path();
  write_gguf_tokenizer(file, folder);
  write_llm_config(config, folder, options.dtype);
  write_generation_config(file, config, folder);
  read_llm_config(folder);  // what cannot be used is refused before the weights are written
  const auto tokenizer = load_tokenizer(folder);
  const auto chat = folder_chat_template(folder, *tokenizer);
  ImportResult result{config.model_type, 0, tokens, chat ? chat->name : ""};
  ProgressBar bar("import", 100);
  write_gguf_weights(file, config, options.dtype == "float32" ? at::kFloat : at::kBFloat16,
                     folder / "model.safetensors", [&](int64_t done, int64_t total) {
                       result.parameters = total;
                       bar.update(done * 100 / total);
                     });
  writer.commit();
  return result;
}

}  // namespace etrlrec
