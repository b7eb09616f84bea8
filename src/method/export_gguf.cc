#include "method/export_gguf.h"

#include "base/check.h"
#include "base/gguf_writer.h"
#include "base/io.h"
#include "base/log.h"
#include "method/model_folder.h"
#include "models/gguf_model.h"
#include "models/model_files.h"
#include "text/gguf_tokenizer_writer.h"

namespace etrlrec {
namespace {

GgufTensorType type_by_name(const std::string& name) {
  using enum GgufTensorType;
  const std::pair<const char*, GgufTensorType> types[] = {
      {"f32", kF32}, {"f16", kF16}, {"bf16", kBF16}, {"q8_0", kQ8_0}};
  for (const auto& [known, type] : types)
    if (name == known) return type;
  fail(ExitCode::kUsage, "--type: expected f32, f16, bf16 or q8_0, found {}", name);
}

}  // namespace

ExportGgufResult export_gguf(const ExportGgufOptions& options) {
  const GgufTensorType type = type_by_name(options.type);
  const fs::path folder = options.model;
  CHECK(!fs::exists(options.out), kUsage,
        "{}: exists already\nhint: choose another --out, or remove it", options.out);
  CHECK(fs::exists(folder / "config.json"), kInput, "{}: expected a model folder, with config.json",
        options.model);
  CHECK(prompts_of_folder(folder).empty(), kUsage,
        "{}: has a trained prompt, which GGUF would lose", options.model);
  open_language_model(folder);  // names the families where it is none
  const LlmConfig config = read_llm_config(folder);
  if (fs::path(options.out).has_parent_path())
    fs::create_directories(fs::path(options.out).parent_path());
  GgufWriter writer(options.out);
  put_gguf_config(config, type, writer);
  put_gguf_tokenizer(folder, config.vocab_size, config.eos_token_ids, writer);
  ProgressBar bar("export", 100);
  write_gguf_tensors(folder, config, type, writer,
                     [&](int64_t done, int64_t total) { bar.update(done * 100 / total); });
  writer.commit();
  return {config.model_type, fs::file_size(options.out)};
}

}  // namespace etrlrec
