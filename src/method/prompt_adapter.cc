#include "method/prompt_adapter.h"

#include "base/check.h"
#include "text/begin_tokens.h"

namespace etrlrec {
namespace {

constexpr int64_t kMostVirtualTokens = 1 << 16;

std::string start_name(const std::string& start) {  // PEFT's spelling
  return start == "text" ? "TEXT" : start == "sample_vocab" ? "SAMPLE_VOCAB" : "RANDOM";
}

}  // namespace

PromptTuningConfig plan_prompt(const std::filesystem::path& folder,
                               const std::optional<PromptTuningOptions>& options,
                               LoadedModel& model) {
  const int64_t present = model.card.num_virtual_tokens;
  PromptTuningConfig config;
  if (!options) {
    CHECK(present == 0, kUsage,
          "{}: has a trained prompt, for which other weights must not change\nhint: --adapter "
          "prompt trains it further; or start from its parent, {}",
          folder.string(), model.card.parent);
    return config;
  }
  if (present > 0) {
    CHECK(
        (options->num_virtual_tokens == 0 || options->num_virtual_tokens == present) &&
            options->prompt_tuning_init == PromptTuningOptions{}.prompt_tuning_init &&
            options->prompt_tuning_init_text.empty(),
        kUsage,
        "{}: has a trained prompt of {} virtual tokens, which is trained further\nhint: leave out "
        "--num-virtual-tokens and --prompt-tuning-init",
        folder.string(), present);
    return config;
  }
  const int64_t count = options->num_virtual_tokens;
  CHECK(count > 0 && count <= kMostVirtualTokens, kUsage,
        "--num-virtual-tokens: expected a number in [1, {}], found {}", kMostVirtualTokens, count);
  const bool from_text = options->prompt_tuning_init == "text";
  CHECK(from_text != options->prompt_tuning_init_text.empty(), kUsage,
        "--prompt-tuning-init-text: expected together with --prompt-tuning-init text");
  config.num_virtual_tokens = count;
  config.prompt_tuning_init = start_name(options->prompt_tuning_init);
  if (from_text) {
    config.init_ids = begin_tokens(folder, *model.tokenizer);
    const auto text = model.tokenizer->encode(options->prompt_tuning_init_text);
    config.init_ids.insert(config.init_ids.end(), text.begin(), text.end());
  }
  model.virtual_tokens = virtual_token_ids(model.config.vocab_size, config);
  return config;
}

}  // namespace etrlrec
