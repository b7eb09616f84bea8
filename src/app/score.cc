// etrlrec score: log-probabilities (and logits) of given rows of token ids, so that any outside
// program can check a model against another implementation.
#include <ATen/ATen.h>

#include <algorithm>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "models/llm.h"
#include "nn/logprob.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

struct ScoreOptions {
  std::string model, adapter, ids, out;
  bool logits = false;
};

std::vector<std::vector<int64_t>> read_rows(const fs::path& path) {
  const Json json = read_json(path);
  CHECK(json.is_array() && !json.empty(), kInput,
        "{}: expected a list of lists of token ids, found {}", path.string(), json.type_name());
  std::vector<std::vector<int64_t>> rows;
  for (size_t r = 0; r < json.size(); ++r) {
    const bool good = json[r].is_array() && !json[r].empty() &&
                      std::all_of(json[r].begin(), json[r].end(),
                                  [](const Json& id) { return id.is_number_integer(); });
    CHECK(good, kInput, "{}: row {}: expected a list of at least one token id", path.string(), r);
    rows.push_back(json[r].get<std::vector<int64_t>>());
  }
  return rows;
}

void run_score(const ScoreOptions& options) {
  const at::NoGradGuard no_grad;
  const auto rows = read_rows(options.ids);
  const std::unique_ptr<Llm> model = load_llm(options.model);
  if (!options.adapter.empty()) model->load_lora(options.adapter);
  ParameterMap tensors;
  ProgressBar bar("score", static_cast<int64_t>(rows.size()));
  int64_t tokens = 0;
  for (size_t r = 0; r < rows.size(); ++r) {  // one row at a time: memory is that of the longest
    TokenForest forest;
    forest.add(-1, rows[r]);
    const at::Tensor hidden = model->hidden_states(forest);
    const auto length = static_cast<int64_t>(rows[r].size());
    if (length > 1) {
      const at::Tensor targets = at::tensor(rows[r]).slice(0, 1);
      tensors[fmt::format("logprobs.{}", r)] =
          linear_logprob(hidden.slice(0, 0, length - 1), model->head_weight(), targets).logprobs;
    } else {
      tensors[fmt::format("logprobs.{}", r)] = at::empty({0});
    }
    if (options.logits)
      tensors[fmt::format("logits.{}", r)] = at::mm(hidden, model->head_weight().t());
    tokens += length;
    bar.update(static_cast<int64_t>(r) + 1);
  }
  save_safetensors(tensors, options.out);
  log_info("{}: {} rows, {} tokens", options.out, rows.size(), tokens);
}

}  // namespace

void add_score(CommandLine& app, CommonOptions&) {
  Command command = app.add_command("score", "log-probabilities of given token ids");
  auto options = std::make_shared<ScoreOptions>();
  command.add_option("-m,--model", options->model, "language model folder")
      .required()
      .existing_folder();
  command.add_option("--adapter", options->adapter, "PEFT adapter folder").existing_folder();
  command.add_option("--ids", options->ids, "JSON: a list of lists of token ids")
      .required()
      .existing_file();
  command.add_flag("--logits", options->logits, "write logits.<row> [length, vocabulary], too");
  command
      .add_option("-o,--out", options->out,
                  "safetensors file: logprobs.<row> [length - 1] of each next token, fp32")
      .required();
  command.on_run([options] { run_score(*options); });
}

}  // namespace etrlrec
