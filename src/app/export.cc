// etrlrec export: a trained adapter, merged or as a PEFT folder; a model as a GGUF file.
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "method/export_adapter.h"
#include "method/export_gguf.h"

namespace etrlrec {
namespace {

void run_export_gguf(const ExportOptions& given, const std::string& type, bool as_json) {
  const ExportGgufResult result = export_gguf({given.model, given.out, type});
  if (as_json) {
    const OrderedJson report{
        {"schema_version", 1}, {"form", "gguf"},        {"model_type", result.model_type},
        {"type", type},        {"bytes", result.bytes}, {"out", given.out}};
    fmt::print("{}\n", report.dump(2));
  } else {
    fmt::print("{}: {} with matrices in {}, {}B\n", given.out, result.model_type, type,
               format_count(static_cast<double>(result.bytes)));
  }
}

}  // namespace

void add_export(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("export", "an adapter, merged or as a PEFT folder; a model as GGUF");
  command.example("export merge --model Llama-3.2-1B --adapter my-lora --out merged");
  auto options = std::make_shared<ExportOptions>();
  auto type = std::make_shared<std::string>(ExportGgufOptions{}.type);
  command
      .add_option(
          "form", options->what,
          "merge: a complete model folder; peft: the adapter alone; gguf: a file for llama.cpp")
      .required()
      .one_of({"merge", "peft", "gguf"});
  command.add_option("-m,--model", options->model, "folder of the base model; gguf: of the model")
      .required()
      .existing_folder();
  command
      .add_option("--adapter", options->adapter,
                  "adapter folder; default MODEL/adapter, as training writes it (peft only)")
      .existing_folder()
      .only_with("merge and peft\nhint: etrlrec export merge writes the model folder to export",
                 [=] { return options->what != "gguf"; });
  command
      .add_option("--base-model", options->base_model,
                  "peft: base_model_name_or_path to write; default as in the adapter")
      .only_with("peft", [=] { return options->what == "peft"; });
  command.add_option("-o,--out", options->out, "new folder; gguf: new file").required();
  command.add_option("--type", *type, "gguf: of the matrices")
      .one_of({"f32", "f16", "bf16", "q8_0"})
      .only_with("gguf", [=] { return options->what == "gguf"; });
  command.on_run([options, type, &common] {
    if (options->what == "gguf") return run_export_gguf(*options, *type, common.json);
    options->numerics = common.numerics();
    const ExportResult result = export_adapter(*options);
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
