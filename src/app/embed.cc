// etrlrec embed: a sentence encoder describes the items of a data set.
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"
#include "base/log.h"
#include "method/item_embeddings.h"

namespace etrlrec {

void add_embed(CommandLine& app, CommonOptions& common) {
  auto options = std::make_shared<EmbedOptions>();
  Command command = app.add_command(
      "embed", "vectors of the items' titles by a sentence encoder (./run get minilm)");
  command.example("embed --data shop --model .cache/models/minilm --out shop-embeddings");
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-m,--model", options->model, "folder of a sentence encoder (BERT)")
      .required()
      .existing_folder();
  command.add_option("-o,--out", options->out, "folder for embeddings.safetensors").required();
  command.add_flag("--attributes", options->attributes,
                   "describe attributes behind the title, too");
  command.on_run([options, command, &common] {
    const Stopwatch watch;
    const EmbedSummary summary = embed(*options);
    write_run_record(options->out, command, common,
                     {{"data", options->data}, {"model", options->model}}, watch.seconds());
    if (common.json) {
      fmt::print("{}\n", OrderedJson{{"schema_version", 1},
                                     {"items", summary.items},
                                     {"dimensions", summary.dimensions},
                                     {"tokens", summary.tokens},
                                     {"seconds", watch.seconds()},
                                     {"out", options->out}}
                             .dump(2));
      return;
    }
    fmt::print(
        "{}: {} items, {} dimensions, {} tokens read\nnext: etrlrec fit --data {} --model "
        "content --embeddings {} --out FOLDER\n",
        options->out, summary.items, summary.dimensions, summary.tokens, options->data,
        options->out);
  });
}

}  // namespace etrlrec
