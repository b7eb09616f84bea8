#include "method/export_adapter.h"

#include <ATen/ATen.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "method/model_folder.h"
#include "models/model_adapters.h"
#include "models/model_files.h"

namespace etrlrec {
namespace {

// What a model folder holds besides configuration and weights.
constexpr const char* kCompanions[] = {"tokenizer.json",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "merges.txt",
                                       "spiece.model",
                                       "tokenizer.model",
                                       "chat_template.jinja",
                                       "generation_config.json",
                                       "etrlrec.json"};

void copy_companions(const fs::path& from, const fs::path& to) {
  for (const char* name : kCompanions) {
    if (fs::exists(from / name)) fs::copy_file(from / name, to / name);
  }
}

// The adapter has been read against the model; it is written again.
void write_peft(const LanguageModel& model, const LoadedAdapter& adapter,
                const ExportOptions& options, const fs::path& folder) {
  std::string base = options.base_model;
  if (base.empty()) {
    const std::string name = (fs::path(options.adapter) / "adapter_config.json").string();
    base = get_or<std::string>(read_json(name), "base_model_name_or_path", options.model, name);
  }
  if (adapter.virtual_tokens.empty()) {
    save_adapter(model, base, folder);
  } else {
    save_prompt(model, adapter.name, base, folder);
  }
}

}  // namespace

ExportResult export_adapter(ExportOptions options) {
  if (options.adapter.empty()) options.adapter = (fs::path(options.model) / "adapter").string();
  const fs::path config = fs::path(options.adapter) / "adapter_config.json";
  CHECK(fs::exists(config), kInput,
        "{}: expected an adapter folder\nhint: --adapter names it, training with --lora-r writes "
        "one",
        options.adapter);
  CHECK(
      options.what != "merge" || read_prompt_config(options.adapter).num_virtual_tokens == 0,
      kUsage,
      "{}: a prompt cannot be merged into weights\nhint: etrlrec export peft; an adapter that was "
      "trained beside it is in lora/ and in the weights already",
      options.adapter);
  // A trained folder holds merged weights: its adapter belongs to the model it was trained from.
  for (const char* name : {"adapter", "lora"}) {
    const fs::path own = fs::path(options.model) / name;
    CHECK(options.what != "merge" || !fs::exists(own) || !fs::equivalent(options.adapter, own),
          kUsage, "{}: its weights hold this adapter already\nhint: --model names the base model",
          options.model);
  }
  CHECK(options.what != "merge" || prompts_of_folder(options.model).empty(), kUsage,
        "{}: has a trained prompt, which merging would lose\nhint: --model names its base model",
        options.model);
  const auto model = load_language_model(options.model, Storage::kFloat, options.numerics);
  const LoadedAdapter adapter = load_adapter(*model, options.adapter);
  ExportResult result{adapter.peft_type, -1};
  FolderWriter writer(options.out);
  if (options.what == "merge") {
    result.logit_difference = merge_adapter(*model);
    model->save(writer.path());
    copy_companions(options.model, writer.path());
  } else {
    write_peft(*model, adapter, options, writer.path());
  }
  writer.commit();
  return result;
}

}  // namespace etrlrec
