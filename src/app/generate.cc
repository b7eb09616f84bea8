// etrlrec generate: continues a text with a language model, streaming to stdout.
#include <cstdio>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/model_folder.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/engine.h"

namespace etrlrec {
namespace {

struct GenerateOptions {
  std::string model, prompt;
  int64_t max_new_tokens = 256;
  SamplingOptions sampling;
};

void write_out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void run_generate(const GenerateOptions& options, const CommonOptions& common) {
  const LoadedModel loaded = load_model_folder(options.model, "");
  const Tokenizer& tokenizer = *loaded.tokenizer;
  GenerationOptions generation;
  generation.sampling = options.sampling;
  generation.sampling.seed = common.seed;
  generation.max_new_tokens = options.max_new_tokens;
  generation.eos_ids = {tokenizer.eos_id()};
  std::string text;
  generation.on_token = [&](int64_t, int64_t id) {
    if (id == tokenizer.eos_id()) return;
    const std::string piece = tokenizer.token_text(id);
    text += piece;
    if (!common.json) write_out(piece);
  };
  const Stopwatch watch;
  const GenerationRequest request{tokenizer.encode(options.prompt), {}};
  const auto completions = generate(*loaded.llm, std::span(&request, 1), generation);
  const auto tokens = static_cast<int64_t>(completions[0].ids.size());
  if (common.json) {
    const OrderedJson result{{"prompt", options.prompt},
                             {"text", text},
                             {"tokens", tokens},
                             {"finished", completions[0].ids.back() == tokenizer.eos_id()}};
    write_out(result.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
  }
  write_out("\n");
  log_info("{} tokens, {}/s", tokens, format_count(static_cast<double>(tokens) / watch.seconds()));
}

}  // namespace

void add_generate(CommandLine& app, CommonOptions& common) {
  auto options = std::make_shared<GenerateOptions>();
  Command command = app.add_command("generate", "continue a text with a language model");
  command.add_option("--model,-m", options->model, "model folder").required();
  command.add_option("--prompt,-p", options->prompt, "text to continue").required();
  command.add_option("--max-new-tokens,-n", options->max_new_tokens, "longest continuation")
      .at_least(1);
  command.add_option("--temperature", options->sampling.temperature,
                     "0: always the most likely token");
  command.add_option("--top-k", options->sampling.top_k,
                     "sample among the k most likely tokens, 0: all");
  command.add_option("--top-p", options->sampling.top_p,
                     "sample among the most likely tokens of this total probability");
  command.on_run([options, &common] { run_generate(*options, common); });
}

}  // namespace etrlrec
