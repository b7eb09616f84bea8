// etrlrec score: log-probabilities of given token ids.
#include "method/score.h"

#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"

namespace etrlrec {

void add_score(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("score", "log-probabilities of given token ids");
  command.example("score --model shop-policy --ids rows.json --out scores.safetensors");
  auto options = std::make_shared<ScoreOptions>();
  command.add_option("-m,--model", options->model, "language model folder")
      .required()
      .existing_folder();
  add_dtype(command, options->dtype);
  add_adapters(command, options->adapters);
  command.add_option("--ids", options->ids, "JSON: a list of lists of token ids")
      .required()
      .existing_file();
  command
      .add_option("--decoder-ids", options->decoder_ids,
                  "encoder-decoder models (T5): the same of the decoder input, start token first; "
                  "these are scored, given the rows of --ids")
      .existing_file();
  command.add_flag("--logits", options->logits, "write logits.<row> [length, vocabulary], too");
  command
      .add_option("-o,--out", options->out,
                  "safetensors file: logprobs.<row> [length - 1] of each next token, fp32")
      .required();
  command.on_run([options, &common] {
    options->numerics = common.numerics();
    score(*options);
  });
}

}  // namespace etrlrec
