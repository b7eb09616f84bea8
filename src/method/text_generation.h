// Texts of one language model, as `generate` writes them: a continuation, an answer in a chat, or
// what an encoder-decoder makes of a text.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/item_trie.h"
#include "engine/prefix_cache.h"
#include "engine/sampling.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "text/chat.h"

namespace etrlrec {

struct TextGenerationOptions {
  std::string model;                  // folder
  std::vector<std::string> adapters;  // PEFT folders: one LoRA or AdaLoRA at most, soft prompts
  std::string dtype = "float32";      // of the weights
  Numerics numerics;
  bool parse_special = false;     // special tokens in a prompt that is no message are tokens
  bool chat = false;              // prompts are messages
  std::string chat_template;      // by name; empty: the folder's own one
  bool conversation = false;      // the next prompt begins with this one: its keys are kept
  int64_t prefix_cache_mb = 256;  // conversations: MiB of keys and values kept
  std::vector<std::string> stop;  // texts that end a completion
  int64_t num_return_sequences = 1;
  int64_t num_beams = 1;  // 1: sampling
  int64_t max_new_tokens = 256, min_new_tokens = 0;
  double length_penalty = 1;  // beams: log-likelihoods are divided by length to this power
  // Beams: a file with the texts that may be written, one a line; empty: any text.
  std::string choices;
  SamplingOptions sampling;
};

struct GeneratedText {
  std::string text;
  std::string finish_reason;  // stop: an end token or a stop string; length
  std::vector<int64_t> ids;
  std::vector<float> logprobs;  // of each id
};

// The answers to one prompt.
struct GeneratedTexts {
  std::string prompt;
  int64_t prompt_tokens = 0, reused_tokens = 0;  // of these, saved by the prefix cache
  std::vector<GeneratedText> texts;
};
// The texts may hold bytes that are no UTF-8.
nlohmann::ordered_json to_json(const GeneratedTexts& generated);

// Not thread-safe: one call at a time.
class TextGenerator {
 public:
  // Opens everything but the weights. Errors (kUsage): a chat with an encoder-decoder model, more
  // min_new_tokens than max_new_tokens, several answers in a conversation, sampling that makes no
  // sense.
  explicit TextGenerator(TextGenerationOptions options);

  std::vector<int64_t> encode(const std::string& text) const {
    return model_.encode_raw(text, options_.parse_special);
  }
  std::vector<int64_t> encode(std::span<const ChatMessage> messages) const;
  MemoryEstimate estimate(int64_t prompt_tokens) const;

  void load();  // the weights; `run` needs them
  // num_return_sequences texts, fewer where there are fewer choices. `on_text` gets a single
  // sampled text as it grows.
  std::vector<GeneratedText> run(const std::vector<int64_t>& prompt,
                                 const std::function<void(const std::string&)>& on_text = {});

  // Prompt tokens of all runs, and how many of them the prefix cache has saved.
  int64_t prompt_tokens() const { return prefixes_ ? prefixes_->statistics().tokens : 0; }
  int64_t tokens_reused() const { return prefixes_ ? prefixes_->statistics().tokens_reused : 0; }

 private:
  ItemTrie read_choices() const;
  void add_end_token(int64_t id);
  bool is_end(int64_t id) const;
  GeneratedText text_of(std::vector<int64_t> ids, std::vector<float> logprobs) const;
  std::vector<GeneratedText> sample(const std::vector<int64_t>& prompt,
                                    const std::function<void(const std::string&)>& on_text);
  std::vector<GeneratedText> search(const std::vector<int64_t>& prompt);

  TextGenerationOptions options_;
  LoadedModel model_;
  ChatTemplate chat_;
  std::vector<int64_t> eos_ids_;
  std::optional<PrefixCache> prefixes_;  // of a conversation
  std::optional<ItemTrie> choices_;      // once loaded
};

}  // namespace etrlrec
