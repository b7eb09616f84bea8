// etrlrec export: a trained adapter, merged or as a PEFT folder.
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"
#include "method/export_adapter.h"

namespace etrlrec {

void add_export(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("export", "an adapter, merged or as a PEFT folder");
  command.example("export merge --model Llama-3.2-1B --adapter my-lora --out merged");
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
