// etrlrec import: a GGUF file becomes a model folder.
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"
#include "base/log.h"
#include "method/import_model.h"

namespace etrlrec {

void add_import(CommandLine& app, CommonOptions& common) {
  auto options = std::make_shared<ImportOptions>();
  Command command =
      app.add_command("import", "a GGUF file (llama, qwen2, qwen3) becomes a model folder");
  command.example("import SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2");
  command.add_option("file", options->file, "GGUF file").required().existing_file();
  command.add_option("-o,--out", options->out, "new folder in Hugging Face's layout").required();
  command
      .add_option("--dtype", options->dtype,
                  "weights in the folder; float32 keeps exactly what the file says")
      .one_of({"bfloat16", "float32"});
  command.on_run([options, command, &common] {
    const Stopwatch watch;
    const ImportResult result = import_model(*options);
    write_run_record(options->out, command, common, {{"file", options->file}}, watch.seconds());
    const std::string chat = result.chat_template.empty() ? "none" : result.chat_template;
    if (common.json) {
      const OrderedJson report{{"schema_version", 1},
                               {"model_type", result.model_type},
                               {"parameters", result.parameters},
                               {"tokens", result.tokens},
                               {"chat_template", result.chat_template},
                               {"out", options->out}};
      fmt::print("{}\n", report.dump(2));
      return;
    }
    fmt::print("{}: {} of {} parameters, {} tokens, chat template {}\n", options->out,
               result.model_type, format_count(static_cast<double>(result.parameters)),
               result.tokens, chat);
    fmt::print("next: etrlrec generate --model {} --prompt \"The capital of France is\"\n",
               options->out);
  });
}

}  // namespace etrlrec
