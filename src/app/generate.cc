// etrlrec generate: continues a text, answers in a chat, or writes what an encoder-decoder makes of
// a text, streaming to stdout.
#include <cstdio>
#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "method/text_generation.h"

namespace etrlrec {
namespace {

struct GenerateOptions {
  TextGenerationOptions text;
  std::string prompt, system;
  bool dry_run = false;
};

void write_out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Generates and prints; one sampled text streams as it grows. Returns the first text.
std::string answer(TextGenerator& generator, const GenerateOptions& options,
                   const CommonOptions& common, const std::string& shown_prompt,
                   const std::vector<int64_t>& prompt) {
  const Stopwatch watch;
  const int64_t reused = generator.tokens_reused();
  const bool streams =
      !common.json && options.text.num_return_sequences == 1 && options.text.num_beams == 1;
  const auto texts = streams ? generator.run(prompt, write_out) : generator.run(prompt);
  int64_t tokens = 0;
  for (const GeneratedText& text : texts) tokens += std::ssize(text.ids);
  for (size_t i = 0; !common.json && !streams && i < texts.size(); ++i)
    write_out(fmt::format("[{}] {}\n", i + 1, texts[i].text));
  if (streams) write_out("\n");
  log_info("{} tokens, {}/s", tokens, format_count(static_cast<double>(tokens) / watch.seconds()));
  if (options.text.conversation)
    log_info("prefix cache: {} of {} prompt tokens so far",
             format_count(static_cast<double>(generator.tokens_reused())),
             format_count(static_cast<double>(generator.prompt_tokens())));
  if (common.json) {
    const GeneratedTexts generated{shown_prompt, std::ssize(prompt),
                                   generator.tokens_reused() - reused, texts};
    write_out(to_json(generated).dump(-1, ' ', false, OrderedJson::error_handler_t::replace) +
              "\n");
  }
  return texts[0].text;
}

// One question from --prompt, or a conversation: a line of standard input each.
void run_chat(TextGenerator& generator, const GenerateOptions& options,
              const CommonOptions& common) {
  std::vector<ChatMessage> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  std::string line = options.prompt;
  while (!options.prompt.empty() || std::getline(std::cin, line)) {
    messages.push_back({"user", line});
    const std::string text = answer(generator, options, common, line, generator.encode(messages));
    if (!options.prompt.empty()) break;
    messages.push_back({"assistant", text});
  }
}

void check_options(const GenerateOptions& options, const Command& command) {
  CHECK(options.text.chat || !options.prompt.empty(), kUsage, "expected --prompt TEXT or --chat");
  for (const char* name : {"--chat-template", "--system"})
    CHECK(options.text.chat || !command.is_given(name), kUsage, "{}: only with --chat", name);
  CHECK(options.text.conversation || !command.is_given("--prefix-cache-mb"), kUsage,
        "--prefix-cache-mb: only with --chat and without --prompt: it keeps what the next message "
        "of a conversation begins with");
  if (options.text.num_beams == 1) {
    for (const char* name : {"--length-penalty", "--choices"})
      CHECK(!command.is_given(name), kUsage, "{}: only with --num-beams", name);
    return;
  }
  for (const char* name :
       {"--temperature", "--top-k", "--top-p", "--min-p", "--typical-p", "--repetition-penalty",
        "--no-repeat-ngram-size", "--min-new-tokens", "--stop"})
    CHECK(!command.is_changed(name), kUsage, "{}: not with --num-beams", name);
}

void run_generate(GenerateOptions options, const Command& command, const CommonOptions& common) {
  options.text.sampling.seed = common.seed;
  options.text.numerics = common.numerics();
  options.text.conversation = options.text.chat && options.prompt.empty();
  check_options(options, command);
  TextGenerator generator(options.text);
  std::vector<ChatMessage> first{{"user", options.prompt}};
  if (!options.system.empty()) first.insert(first.begin(), {"system", options.system});
  const std::vector<int64_t> prompt =
      options.text.chat ? generator.encode(first) : generator.encode(options.prompt);
  const MemoryEstimate estimate = generator.estimate(static_cast<int64_t>(prompt.size()));
  const int64_t available = available_memory();
  if (options.dry_run) print_estimate(estimate, available, common.json);
  check_memory(estimate, available, "generate",
               "fewer --num-return-sequences or --max-new-tokens, or a smaller --prefix-cache-mb");
  if (options.dry_run) return;
  generator.load();
  if (options.text.chat) {
    run_chat(generator, options, common);
  } else {
    answer(generator, options, common, options.prompt, prompt);
  }
}

void add_sampling_options(Command& command, SamplingOptions& options) {
  const std::string group = "Sampling";
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(group);
  };
  add("--temperature", options.temperature, "0: always the most likely token");
  const auto add_drawing = [&](const char* names, auto& value, const char* text) {
    add(names, value, text).only_with("--temperature above 0", [&options] {
      return options.temperature > 0;
    });
  };
  add_drawing("--top-k", options.top_k, "sample among the k most likely tokens, 0: all");
  add_drawing("--top-p", options.top_p,
              "sample among the most likely tokens of this total probability");
  add_drawing("--min-p", options.min_p, "no token below this share of the highest probability");
  add_drawing(
      "--typical-p", options.typical_p,
      "sample among the tokens of this total probability whose surprise is nearest to the entropy");
  add("--repetition-penalty", options.repetition_penalty,
      "above 1: tokens that occurred become less likely");
  add("--no-repeat-ngram-size", options.no_repeat_ngram_size, "no such n-gram twice, 0: off");
}

}  // namespace

void add_generate(CommandLine& app, CommonOptions& common) {
  auto options = std::make_shared<GenerateOptions>();
  Command command = app.add_command("generate", "continue a text, or chat, with a language model");
  command.example(
      "generate --model Qwen2.5-0.5B-Instruct --dtype bfloat16 --chat --prompt \"Recommend a "
      "film.\"");
  command.add_option("--model,-m", options->text.model, "model folder (decoder or T5)")
      .required()
      .existing_folder();
  add_dtype(command, options->text.dtype);
  add_adapters(command, options->text.adapters);
  command.add_option("--prompt,-p", options->prompt,
                     "text to continue; with --chat the user's message");
  command
      .add_flag("--parse-special", options->text.parse_special,
                "special tokens that are written in --prompt are tokens, not text")
      .only_with("a text to continue, not with --chat", [=] { return !options->text.chat; });
  command.add_flag(
      "--chat", options->text.chat,
      "render messages with the chat template; without --prompt a conversation, a line "
      "of standard input each");
  command
      .add_option("--chat-template", options->text.chat_template, "instead of the folder's own one")
      .one_of(chat_template_names());
  command.add_option("--system", options->system, "with --chat: system message");
  command
      .add_option(
          "--prefix-cache-mb", options->text.prefix_cache_mb,
          "conversations: MiB of keys and values kept, so that a message computes only what "
          "is new; 0: none")
      .range(0, 1 << 20);
  command.add_option("--stop", options->text.stop, "text that ends the completion; repeatable")
      .repeatable();
  command.add_option("--max-new-tokens,-n", options->text.max_new_tokens, "longest continuation")
      .at_least(1);
  command.add_option("--min-new-tokens", options->text.min_new_tokens, "no end token before")
      .at_least(0);
  command
      .add_option("--num-return-sequences", options->text.num_return_sequences,
                  "completions, with streams of their own")
      .at_least(1);
  command.add_option("--num-beams", options->text.num_beams, "beam search, 1: sampling")
      .at_least(1);
  command.add_option("--length-penalty", options->text.length_penalty,
                     "with --num-beams: log-likelihoods are divided by length to this power");
  command
      .add_option("--choices", options->text.choices,
                  "with --num-beams: file with the texts that may be written, one a line")
      .existing_file();
  add_sampling_options(command, options->text.sampling);
  add_dry_run(command, options->dry_run);
  command.on_run([options, command, &common] { run_generate(*options, command, common); });
}

}  // namespace etrlrec
