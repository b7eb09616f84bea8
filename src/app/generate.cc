// etrlrec generate: continues a text, answers in a chat, or writes what an encoder-decoder makes of
// a text, streaming to stdout.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/beam.h"
#include "engine/engine.h"
#include "engine/prefix_cache.h"
#include "engine/text_stream.h"
#include "method/memory_estimate.h"
#include "method/text_model.h"
#include "text/chat.h"

namespace etrlrec {
namespace {

struct GenerateOptions {
  std::string model, adapter, prompt, chat_template, system, dtype = "float32";
  bool chat = false, dry_run = false;
  std::vector<std::string> stop;
  int64_t num_return_sequences = 1, num_beams = 1;
  int64_t max_new_tokens = 256, min_new_tokens = 0;
  int64_t prefix_cache_mb = 256;
  double length_penalty = 1;
  SamplingOptions sampling;

  bool is_conversation() const { return chat && prompt.empty(); }
};

struct Text {
  std::string text, finish_reason;  // stop: an end token or a stop string; length
  std::vector<int64_t> ids;
  std::vector<float> logprobs;
};

void write_out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

class Generator {
 public:
  Generator(const GenerateOptions& options, const CommonOptions& common)
      : options_(options), common_(common), model_(options.model, options.dtype, options.adapter) {
    eos_ids_ = model_.eos_ids();
    if (options.chat) {
      CHECK(!model_.is_t5(), kUsage,
            "--chat: {} is an encoder-decoder model (T5), which has no chats\nhint: etrlrec "
            "generate --model {} --prompt \"what it is to do: text\"",
            options.model, options.model);
      chat_ = chat_template_by_name(!options.chat_template.empty() ? options.chat_template
                                    : !model_.card().chat_template.empty()
                                        ? model_.card().chat_template
                                        : recognise_chat_template(options.model));
      if (!chat_.end_token.empty()) add_end_token(model_.tokenizer().special_id(chat_.end_token));
    }
    if (!model_.card().catalogue_hash.empty()) add_end_token(model_.tokenizer().eos_id());
    if (options.is_conversation()) prefixes_.emplace(options.prefix_cache_mb << 20);
  }

  std::vector<int64_t> encode(const std::string& text) const { return model_.encode(text); }
  std::vector<int64_t> encode(std::span<const ChatMessage> messages) const {
    return model_.behind_virtual_tokens(
        encode_chat(model_.tokenizer(), render_chat(chat_, messages, true)));
  }

  MemoryEstimate estimate(int64_t prompt_tokens) const {
    MemoryEstimate estimate;
    const int64_t rows = std::max(options_.num_return_sequences, options_.num_beams);
    model_.add_to({rows, rows, prompt_tokens, options_.max_new_tokens, rows}, estimate);
    if (prefixes_) estimate.parts.emplace_back("prefix cache", options_.prefix_cache_mb << 20);
    return estimate;
  }
  void load() { model_.load(); }
  // Prompt tokens of all runs that the prefix cache has saved.
  int64_t tokens_reused() const { return prefixes_ ? prefixes_->statistics().tokens_reused : 0; }

  // Prints what it generates; one text streams as it grows.
  std::vector<Text> run(const std::vector<int64_t>& prompt) {
    const Stopwatch watch;
    const bool streams =
        !common_.json && options_.num_return_sequences == 1 && options_.num_beams == 1;
    std::vector<Text> texts = options_.num_beams > 1 ? search(prompt) : sample(prompt, streams);
    int64_t tokens = 0;
    for (const Text& text : texts) tokens += static_cast<int64_t>(text.ids.size());
    for (size_t i = 0; !common_.json && !streams && i < texts.size(); ++i)
      write_out(fmt::format("[{}] {}\n", i + 1, texts[i].text));
    if (streams) write_out("\n");
    log_info("{} tokens, {}/s", tokens,
             format_count(static_cast<double>(tokens) / watch.seconds()));
    if (prefixes_)
      log_info("prefix cache: {} of {} prompt tokens so far",
               format_count(static_cast<double>(tokens_reused())),
               format_count(static_cast<double>(prefixes_->statistics().tokens)));
    return texts;
  }

 private:
  void add_end_token(int64_t id) {
    if (!is_end(id)) eos_ids_.push_back(id);
  }
  bool is_end(int64_t id) const {
    return std::find(eos_ids_.begin(), eos_ids_.end(), id) != eos_ids_.end();
  }

  Text text_of(std::vector<int64_t> ids, std::vector<float> logprobs) const {
    Text text;
    text.text = completion_text(model_.tokenizer(), ids, options_.stop, eos_ids_);
    const bool stopped =
        !ids.empty() && (is_end(ids.back()) || stops_at(model_.tokenizer(), options_.stop)(ids));
    text.finish_reason = stopped ? "stop" : "length";
    text.ids = std::move(ids);
    text.logprobs = std::move(logprobs);
    return text;
  }

  std::vector<Text> sample(const std::vector<int64_t>& prompt, bool streams) {
    GenerationOptions generation;
    generation.sampling = options_.sampling;
    generation.sampling.seed = common_.seed;
    generation.completions_per_prompt = options_.num_return_sequences;
    generation.max_new_tokens = options_.max_new_tokens;
    generation.min_new_tokens = options_.min_new_tokens;
    generation.eos_ids = eos_ids_;
    generation.max_batch = options_.num_return_sequences;
    generation.prefix_cache = prefixes_ ? &*prefixes_ : nullptr;
    if (!options_.stop.empty())
      generation.is_complete = stops_at(model_.tokenizer(), options_.stop);
    TextStream stream(model_.tokenizer(), options_.stop, eos_ids_);
    if (streams) generation.on_token = [&](int64_t, int64_t id) { write_out(stream.push(id)); };
    const GenerationRequest request{prompt, {}};
    std::vector<Text> texts;
    for (Completion& completion : generate(model_.steps(), std::span(&request, 1), generation))
      texts.push_back(text_of(std::move(completion.ids), std::move(completion.logprobs)));
    if (streams) write_out(stream.finish());
    return texts;
  }

  std::vector<Text> search(const std::vector<int64_t>& prompt) {
    BeamOptions beams;
    beams.num_beams = options_.num_beams;
    beams.num_return_sequences = options_.num_return_sequences;
    beams.max_new_tokens = options_.max_new_tokens;
    beams.length_penalty = options_.length_penalty;
    beams.eos_ids = eos_ids_;
    beams.prefix_cache = prefixes_ ? &*prefixes_ : nullptr;
    const BeamRequest request{prompt, nullptr};
    std::vector<Text> texts;
    auto found_by_prompt = beam_search(model_.steps(), std::span(&request, 1), beams);
    for (Hypothesis& found : found_by_prompt[0])
      texts.push_back(text_of(std::move(found.ids), std::move(found.logprobs)));
    return texts;
  }

  const GenerateOptions& options_;
  const CommonOptions& common_;
  TextModel model_;
  ChatTemplate chat_;
  std::vector<int64_t> eos_ids_;
  std::optional<PrefixCache> prefixes_;  // of a conversation
};

// What was read for a prompt, and how much of it the prefix cache had.
struct PromptTokens {
  size_t all = 0;
  int64_t reused = 0;
};

void print_json(const std::string& prompt, const PromptTokens& tokens,
                const std::vector<Text>& texts) {
  OrderedJson completions = OrderedJson::array();
  for (const Text& text : texts)
    completions.push_back(
        {{"text", text.text},
         {"finish_reason", text.finish_reason},
         {"logprob", std::accumulate(text.logprobs.begin(), text.logprobs.end(), 0.0)},
         {"ids", text.ids},
         {"logprobs", text.logprobs}});
  const OrderedJson result{{"schema_version", 1},
                           {"prompt", prompt},
                           {"prompt_tokens", tokens.all},
                           {"reused_tokens", tokens.reused},
                           {"completions", completions}};
  write_out(result.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

// One question from --prompt, or a conversation: a line of standard input each.
void run_chat(Generator& generator, const GenerateOptions& options, const CommonOptions& common) {
  std::vector<ChatMessage> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  std::string line = options.prompt;
  while (!options.prompt.empty() || std::getline(std::cin, line)) {
    messages.push_back({"user", line});
    const std::vector<int64_t> prompt = generator.encode(messages);
    const int64_t reused = generator.tokens_reused();
    const std::vector<Text> texts = generator.run(prompt);
    if (common.json) print_json(line, {prompt.size(), generator.tokens_reused() - reused}, texts);
    if (!options.prompt.empty()) break;
    messages.push_back({"assistant", texts[0].text});
  }
}

void check_options(const GenerateOptions& options, const Command& command) {
  CHECK(options.chat || !options.prompt.empty(), kUsage, "expected --prompt TEXT or --chat");
  for (const char* name : {"--chat-template", "--system"})
    CHECK(options.chat || !command.is_given(name), kUsage, "{}: only with --chat", name);
  CHECK(options.is_conversation() || !command.is_given("--prefix-cache-mb"), kUsage,
        "--prefix-cache-mb: only with --chat and without --prompt: it keeps what the next message "
        "of a conversation begins with");
  CHECK(options.min_new_tokens <= options.max_new_tokens, kUsage,
        "--min-new-tokens: expected at most the {} of --max-new-tokens, found {}",
        options.max_new_tokens, options.min_new_tokens);
  CHECK(options.num_return_sequences == 1 || !options.chat || !options.prompt.empty(), kUsage,
        "--num-return-sequences: a conversation goes on with one answer");
  check_sampling(options.sampling);
  if (options.num_beams == 1) {
    CHECK(!command.is_given("--length-penalty"), kUsage, "--length-penalty: only with --num-beams");
    return;
  }
  for (const char* name :
       {"--temperature", "--top-k", "--top-p", "--min-p", "--typical-p", "--repetition-penalty",
        "--no-repeat-ngram-size", "--min-new-tokens", "--stop"})
    CHECK(!command.is_changed(name), kUsage, "{}: not with --num-beams", name);
}

void run_generate(const GenerateOptions& options, const Command& command,
                  const CommonOptions& common) {
  check_options(options, command);
  Generator generator(options, common);
  std::vector<ChatMessage> first{{"user", options.prompt}};
  if (!options.system.empty()) first.insert(first.begin(), {"system", options.system});
  const std::vector<int64_t> prompt =
      options.chat ? generator.encode(first) : generator.encode(options.prompt);
  const MemoryEstimate estimate = generator.estimate(static_cast<int64_t>(prompt.size()));
  const int64_t available = available_memory();
  if (options.dry_run) print_estimate(estimate, available, common.json);
  check_memory(estimate, available, "generate",
               "fewer --num-return-sequences or --max-new-tokens, or a smaller --prefix-cache-mb");
  if (options.dry_run) return;
  generator.load();
  if (options.chat) {
    run_chat(generator, options, common);
    return;
  }
  const std::vector<Text> texts = generator.run(prompt);
  if (common.json) print_json(options.prompt, {prompt.size(), 0}, texts);
}

void add_sampling_options(Command& command, SamplingOptions& options) {
  const std::string group = "Sampling";
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(group);
  };
  add("--temperature", options.temperature, "0: always the most likely token");
  add("--top-k", options.top_k, "sample among the k most likely tokens, 0: all");
  add("--top-p", options.top_p, "sample among the most likely tokens of this total probability");
  add("--min-p", options.min_p, "no token below this share of the highest probability");
  add("--typical-p", options.typical_p,
      "sample among the tokens of this total probability whose surprise is nearest to the entropy");
  add("--repetition-penalty", options.repetition_penalty,
      "above 1: tokens that occurred become less likely");
  add("--no-repeat-ngram-size", options.no_repeat_ngram_size, "no such n-gram twice, 0: off");
}

}  // namespace

void add_generate(CommandLine& app, CommonOptions& common) {
  auto options = std::make_shared<GenerateOptions>();
  Command command = app.add_command("generate", "continue a text, or chat, with a language model");
  command.add_option("--model,-m", options->model, "model folder (decoder or T5)")
      .required()
      .existing_folder();
  add_dtype(command, options->dtype);
  command.add_option("--adapter", options->adapter, "PEFT adapter folder").existing_folder();
  command.add_option("--prompt,-p", options->prompt,
                     "text to continue; with --chat the user's message");
  command.add_flag(
      "--chat", options->chat,
      "render messages with the chat template; without --prompt a conversation, a line "
      "of standard input each");
  command.add_option("--chat-template", options->chat_template, "instead of the folder's own one")
      .one_of(chat_template_names());
  command.add_option("--system", options->system, "with --chat: system message");
  command
      .add_option(
          "--prefix-cache-mb", options->prefix_cache_mb,
          "conversations: MiB of keys and values kept, so that a message computes only what "
          "is new; 0: none")
      .range(0, 1 << 20);
  command.add_option("--stop", options->stop, "text that ends the completion; repeatable")
      .repeatable();
  command.add_option("--max-new-tokens,-n", options->max_new_tokens, "longest continuation")
      .at_least(1);
  command.add_option("--min-new-tokens", options->min_new_tokens, "no end token before")
      .at_least(0);
  command
      .add_option("--num-return-sequences", options->num_return_sequences,
                  "completions, with streams of their own")
      .at_least(1);
  command.add_option("--num-beams", options->num_beams, "beam search, 1: sampling").at_least(1);
  command.add_option("--length-penalty", options->length_penalty,
                     "with --num-beams: log-likelihoods are divided by length to this power");
  add_sampling_options(command, options->sampling);
  add_dry_run(command, options->dry_run);
  command.on_run([options, command, &common] { run_generate(*options, command, common); });
}

}  // namespace etrlrec
