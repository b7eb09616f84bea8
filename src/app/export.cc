// etrlrec export: a trained adapter for other programs, merged into its base model or as a PEFT
// folder.
#include <ATen/ATen.h>

#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/model_folder.h"
#include "models/llm_adapters.h"

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

struct ExportOptions {
  std::string what, model, adapter, out, base_model;
};

struct ExportResult {
  std::string peft_type;
  double logit_difference = -1;  // of merging
};

void copy_companions(const fs::path& from, const fs::path& to) {
  for (const char* name : kCompanions) {
    if (fs::exists(from / name)) fs::copy_file(from / name, to / name);
  }
}

void save_weights(const Llm& model, const fs::path& folder) { save_llm(model, folder); }
void save_weights(const T5& model, const fs::path& folder) { save_t5(model, folder); }
std::string task_type(const Llm&) { return "CAUSAL_LM"; }
std::string task_type(const T5&) { return "SEQ_2_SEQ_LM"; }

// The adapter is read against the model, then written again.
template <typename Model>
void write_peft(const Model& model, const LoadedAdapter& adapter, const ExportOptions& options,
                const fs::path& folder) {
  std::string base = options.base_model;
  if (base.empty()) {
    const std::string name = (fs::path(options.adapter) / "adapter_config.json").string();
    base = get_or<std::string>(read_json(name), "base_model_name_or_path", options.model, name);
  }
  if (adapter.peft_type == "PROMPT_TUNING") {
    save_prompt(model.parameters(), adapter.prompt, base, folder, task_type(model));
  } else {
    save_lora(model.parameters(), model.lora(), base, folder, task_type(model));
  }
}

template <typename Model>
ExportResult run(Model& model, const ExportOptions& options) {
  const LoadedAdapter adapter = load_adapter(model, options.adapter);
  ExportResult result{adapter.peft_type, -1};
  FolderWriter writer(options.out);
  if (options.what == "merge") {
    CHECK(adapter.virtual_tokens.empty(), kUsage,
          "{}: a prompt cannot be merged into weights\nhint: etrlrec export peft", options.adapter);
    result.logit_difference = merge_adapter(model);
    save_weights(model, writer.path());
    copy_companions(options.model, writer.path());
  } else {
    write_peft(model, adapter, options, writer.path());
  }
  writer.commit();
  return result;
}

ExportResult run_export(ExportOptions options) {
  if (options.adapter.empty()) options.adapter = (fs::path(options.model) / "adapter").string();
  const fs::path config = fs::path(options.adapter) / "adapter_config.json";
  CHECK(fs::exists(config), kInput,
        "{}: expected an adapter folder\nhint: --adapter names it, training with --lora-r writes "
        "one",
        options.adapter);
  // A trained folder holds merged weights: its adapter belongs to the model it was trained from.
  const fs::path own = fs::path(options.model) / "adapter";
  CHECK(options.what != "merge" || !fs::exists(own) || !fs::equivalent(options.adapter, own),
        kUsage, "{}: its weights hold this adapter already\nhint: --model names the base model",
        options.model);
  CHECK(options.what != "merge" || prompt_folder(options.model).empty(), kUsage,
        "{}: has a trained prompt, which merging would lose\nhint: --model names its base model",
        options.model);
  return is_t5_folder(options.model) ? run(*load_t5(options.model), options)
                                     : run(*load_llm(options.model), options);
}

}  // namespace

void add_export(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("export", "an adapter, merged or as a PEFT folder");
  auto options = std::make_shared<ExportOptions>();
  command
      .add_option("form", options->what, "merge: a complete model folder; peft: the adapter alone")
      .required()
      .one_of({"merge", "peft"});
  command.add_option("-m,--model", options->model, "folder of the base model")
      .required()
      .existing_folder();
  command
      .add_option("--adapter", options->adapter,
                  "adapter folder; default MODEL/adapter, as training writes it (peft only)")
      .existing_folder();
  command.add_option("--base-model", options->base_model,
                     "peft: base_model_name_or_path to write; default as in the adapter");
  command.add_option("-o,--out", options->out, "new folder").required();
  command.on_run([options, &common] {
    const ExportResult result = run_export(*options);
    if (common.json) {
      OrderedJson report = {{"schema_version", 1},
                            {"form", options->what},
                            {"peft_type", result.peft_type},
                            {"out", options->out}};
      if (result.logit_difference >= 0) report["logit_difference"] = result.logit_difference;
      fmt::print("{}\n", report.dump(2));
    } else if (result.logit_difference >= 0) {
      fmt::print("{}: merged model; logits differ from those with the adapter by at most {:.2g}\n",
                 options->out, result.logit_difference);
    } else {
      fmt::print("{}: {} adapter in PEFT's layout\n", options->out, result.peft_type);
    }
  });
}

}  // namespace etrlrec
