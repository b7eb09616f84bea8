#include "method/text_generation.h"

#include <algorithm>
#include <numeric>
#include <sstream>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "engine/beam.h"
#include "engine/engine.h"
#include "engine/text_stream.h"
#include "text/chat_recognition.h"

namespace etrlrec {
namespace {

TextGenerationOptions checked(TextGenerationOptions options) {
  CHECK(options.min_new_tokens <= options.max_new_tokens, kUsage,
        "--min-new-tokens: expected at most the {} of --max-new-tokens, found {}",
        options.max_new_tokens, options.min_new_tokens);
  CHECK(options.num_return_sequences == 1 || !options.conversation, kUsage,
        "--num-return-sequences: a conversation goes on with one answer");
  check_sampling(options.sampling);
  return options;
}

}  // namespace

OrderedJson to_json(const GeneratedTexts& generated) {
  OrderedJson completions = OrderedJson::array();
  for (const GeneratedText& text : generated.texts)
    completions.push_back(
        {{"text", text.text},
         {"finish_reason", text.finish_reason},
         {"logprob", std::accumulate(text.logprobs.begin(), text.logprobs.end(), 0.0)},
         {"ids", text.ids},
         {"logprobs", text.logprobs}});
  return {{"schema_version", 1},
          {"prompt", generated.prompt},
          {"prompt_tokens", generated.prompt_tokens},
          {"reused_tokens", generated.reused_tokens},
          {"completions", completions}};
}

TextGenerator::TextGenerator(TextGenerationOptions options)
    : options_(checked(std::move(options))),
      model_(open_model_folder(options_.model, "", options_.dtype, options_.numerics,
                               options_.adapters)),
      eos_ids_(model_.model->eos_ids()) {
  if (options_.chat) {
    CHECK(!model_.model->has_encoder(), kUsage,
          "--chat: {} is an encoder-decoder model (T5), which has no chats\nhint: etrlrec "
          "generate --model {} --prompt \"what it is to do: text\"",
          options_.model, options_.model);
    const auto own = options_.chat_template.empty()
                         ? folder_chat_template(options_.model, *model_.tokenizer)
                         : chat_template_by_name(options_.chat_template);
    CHECK(own, kModel, "{}: no chat template\nhint: --chat-template one of: {}", options_.model,
          fmt::join(chat_template_names(), ", "));
    chat_ = *own;
    if (!chat_.end_token.empty()) add_end_token(model_.tokenizer->special_id(chat_.end_token));
  }
  if (!model_.card.catalogue_hash.empty()) add_end_token(model_.tokenizer->eos_id());
  if (options_.conversation) prefixes_.emplace(options_.prefix_cache_mb << 20);
}

std::vector<int64_t> TextGenerator::encode(std::span<const ChatMessage> messages) const {
  std::vector<int64_t> ids = model_.virtual_tokens;
  const auto chat = encode_chat(*model_.tokenizer, render_chat(chat_, messages, true));
  ids.insert(ids.end(), chat.begin(), chat.end());
  return ids;
}

MemoryEstimate TextGenerator::estimate(int64_t prompt_tokens) const {
  MemoryEstimate estimate;
  const int64_t rows = std::max(options_.num_return_sequences, options_.num_beams);
  add_weights(*model_.model, estimate);
  add_rollouts(*model_.model, {rows, rows, prompt_tokens, options_.max_new_tokens, rows}, estimate);
  if (prefixes_) estimate.parts.emplace_back("prefix cache", options_.prefix_cache_mb << 20);
  return estimate;
}

void TextGenerator::load() {
  load_weights_of(model_);
  if (!options_.choices.empty()) choices_ = read_choices();
}

// Every choice ends in the end token, so that none begins another one.
ItemTrie TextGenerator::read_choices() const {
  CHECK(!eos_ids_.empty(), kUsage, "--choices: {} has no end token", options_.model);
  std::istringstream lines(read_file(options_.choices));
  std::vector<std::vector<int64_t>> choices;
  for (std::string line; std::getline(lines, line);) {
    CHECK(!line.empty(), kInput, "{}:{}: expected a text, found an empty line", options_.choices,
          choices.size() + 1);
    choices.push_back(model_.tokenizer->encode(line));
    choices.back().push_back(eos_ids_[0]);
  }
  CHECK(!choices.empty(), kInput, "{}: expected a text a line, found none", options_.choices);
  return ItemTrie(choices, model_.model->vocab_size());
}

std::vector<GeneratedText> TextGenerator::run(
    const std::vector<int64_t>& prompt, const std::function<void(const std::string&)>& on_text) {
  return options_.num_beams > 1 ? search(prompt) : sample(prompt, on_text);
}

void TextGenerator::add_end_token(int64_t id) {
  if (!is_end(id)) eos_ids_.push_back(id);
}

bool TextGenerator::is_end(int64_t id) const {
  return std::find(eos_ids_.begin(), eos_ids_.end(), id) != eos_ids_.end();
}

GeneratedText TextGenerator::text_of(std::vector<int64_t> ids, std::vector<float> logprobs) const {
  GeneratedText text;
  text.text = completion_text(*model_.tokenizer, ids, options_.stop, eos_ids_);
  const bool stopped =
      !ids.empty() && (is_end(ids.back()) || stops_at(*model_.tokenizer, options_.stop)(ids));
  text.finish_reason = stopped ? "stop" : "length";
  text.ids = std::move(ids);
  text.logprobs = std::move(logprobs);
  return text;
}

std::vector<GeneratedText> TextGenerator::sample(
    const std::vector<int64_t>& prompt, const std::function<void(const std::string&)>& on_text) {
  GenerationOptions generation;
  generation.sampling = options_.sampling;
  generation.completions_per_prompt = options_.num_return_sequences;
  generation.max_new_tokens = options_.max_new_tokens;
  generation.min_new_tokens = options_.min_new_tokens;
  generation.eos_ids = eos_ids_;
  generation.max_batch = options_.num_return_sequences;
  generation.prefix_cache = prefixes_ ? &*prefixes_ : nullptr;
  if (!options_.stop.empty()) generation.is_complete = stops_at(*model_.tokenizer, options_.stop);
  const bool streams = on_text && options_.num_return_sequences == 1;
  TextStream stream(*model_.tokenizer, options_.stop, eos_ids_);
  if (streams) generation.on_token = [&](int64_t, int64_t id) { on_text(stream.push(id)); };
  const GenerationRequest request{prompt, {}};
  std::vector<GeneratedText> texts;
  for (Completion& completion : generate(*model_.model, std::span(&request, 1), generation))
    texts.push_back(text_of(std::move(completion.ids), std::move(completion.logprobs)));
  if (streams) on_text(stream.finish());
  return texts;
}

std::vector<GeneratedText> TextGenerator::search(const std::vector<int64_t>& prompt) {
  BeamOptions beams;
  beams.num_beams = options_.num_beams;
  beams.num_return_sequences = options_.num_return_sequences;
  beams.max_new_tokens = options_.max_new_tokens;
  beams.length_penalty = options_.length_penalty;
  beams.eos_ids = eos_ids_;
  beams.prefix_cache = prefixes_ ? &*prefixes_ : nullptr;
  const BeamRequest request{prompt, choices_ ? &*choices_ : nullptr};
  std::vector<GeneratedText> texts;
  auto found_by_prompt = beam_search(*model_.model, std::span(&request, 1), beams);
  for (Hypothesis& found : found_by_prompt[0])
    texts.push_back(text_of(std::move(found.ids), std::move(found.logprobs)));
  return texts;
}

}  // namespace etrlrec
