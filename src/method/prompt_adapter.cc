#include "method/prompt_adapter.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "models/model_adapters.h"
#include "text/begin_tokens.h"

namespace etrlrec {
namespace {

constexpr int64_t kMostVirtualTokens = 1 << 16;

// A prompt was trained in front of texts of one way of writing, which a trained model reads, too.
void check_same_texts(const std::filesystem::path& folder, const ModelCard& card,
                      const LoadedModel& model) {
  const PromptOptions& own = model.card.prompt;
  const PromptOptions& other = card.prompt;
  const auto check = [&](const char* what, const auto& found, const auto& expected) {
    CHECK(found == expected, kModel,
          "--init-prompt: {}: trained with {} {}, but {} reads texts with {} {}\n"
          "hint: soft-prompt on a model that reads as this one does",
          folder.string(), what, found, model.folder.string(), what, expected);
  };
  check("style", other.style, own.style);
  check("answers by", std::string(answer_kind_name(other.answer)),
        std::string(answer_kind_name(own.answer)));
  check("list_candidates", other.list_candidates, own.list_candidates);
  check("with_attributes", other.with_attributes, own.with_attributes);
  check("with_times", other.with_times, own.with_times);
}

// What the folder of a soft prompt says about the model that it was trained for.
void check_init_prompt(const std::filesystem::path& folder, const std::string& catalogue_hash,
                       const LoadedModel& model) {
  if (!std::filesystem::exists(folder / "etrlrec.json")) return;
  const ModelCard card = open_model_folder(folder, catalogue_hash).card;
  // A model that has not been trained has no way of writing yet: options of its training say it.
  if (!model.card.catalogue_hash.empty()) check_same_texts(folder, card, model);
  if (last_name(card.parent) != last_name(model.folder))  // a card may say a relative path
    log_warning("--init-prompt: {}: trained in front of {}, not of {}", folder.string(),
                card.parent, model.folder.string());
}

std::string start_name(const std::string& start) {  // PEFT's spelling
  return start == "text" ? "TEXT" : start == "sample_vocab" ? "SAMPLE_VOCAB" : "RANDOM";
}

}  // namespace

PromptPlan plan_prompt(const std::filesystem::path& folder,
                       const std::optional<PromptTuningOptions>& options, LoadedModel& model,
                       const LoraConfig& lora) {
  std::vector<SoftPrompt>& present = model.card.soft_prompts;
  PromptPlan plan;
  if (!options) {
    CHECK(present.empty() || lora.r > 0, kUsage,
          "{}: has a trained prompt, for which the model's own weights must not change\nhint: "
          "--lora-r 8 trains an adapter beside it, --adapter prompt trains it further; or start "
          "from its parent, {}",
          folder.string(), model.card.parent);
    return plan;
  }
  plan.name = options->prompt_name;
  plan.num_trained_tokens = options->num_virtual_tokens;
  for (const SoftPrompt& prompt : present) {
    if (prompt.name != plan.name) continue;
    CHECK((options->num_virtual_tokens == 0 ||
           options->num_virtual_tokens == prompt.num_virtual_tokens) &&
              options->prompt_tuning_init == PromptTuningOptions{}.prompt_tuning_init &&
              options->prompt_tuning_init_text.empty(),
          kUsage,
          "{}: has a trained prompt \"{}\" of {} virtual tokens, which is trained further\nhint: "
          "leave out --num-virtual-tokens and --prompt-tuning-init, or --prompt-name another one",
          folder.string(), prompt.name, prompt.num_virtual_tokens);
    plan.num_trained_tokens = prompt.num_virtual_tokens;
    return plan;
  }
  const int64_t count = options->num_virtual_tokens;
  CHECK(count > 0 && count <= kMostVirtualTokens, kUsage,
        "--num-virtual-tokens: expected a number in [1, {}], found {}", kMostVirtualTokens, count);
  const bool from_text = options->prompt_tuning_init == "text";
  CHECK(from_text != options->prompt_tuning_init_text.empty(), kUsage,
        "--prompt-tuning-init-text: expected together with --prompt-tuning-init text");
  plan.config.num_virtual_tokens = count;
  plan.config.prompt_tuning_init = start_name(options->prompt_tuning_init);
  if (from_text) {
    if (!model.model->has_encoder()) plan.config.init_ids = begin_tokens(folder, *model.tokenizer);
    const auto text = model.tokenizer->encode(options->prompt_tuning_init_text);
    plan.config.init_ids.insert(plan.config.init_ids.end(), text.begin(), text.end());
  }
  int64_t first = model.model->vocab_size();
  for (const NamedAdapter& adapter : model.adapters) first += adapter.prompt.num_rows();
  const auto ids = virtual_token_ids(first, plan.config);
  model.virtual_tokens.insert(model.virtual_tokens.end(), ids.begin(), ids.end());
  present.push_back({plan.name, count});
  return plan;
}

void attach_planned_prompt(LanguageModel& model, const PromptPlan& plan, uint64_t seed) {
  if (plan.name.empty()) return;
  if (plan.config.num_virtual_tokens > 0) {
    attach_prompt(model, plan.config, seed, plan.name);
    return;
  }
  for (const std::string& name : model.prompts().names())
    model.prompts().set_trainable(name, name == plan.name);
}

std::optional<TrainedTensors> trained_tensors(const LanguageModel& model, const PromptPlan& plan) {
  if (plan.name.empty() && model.lora().r == 0) return std::nullopt;
  const std::vector<std::string> prompts = model.prompts().names();
  const auto is_prompt = [&](const std::string& name) {
    return std::any_of(prompts.begin(), prompts.end(),
                       [&](const std::string& prompt) { return name == prompt_parameter(prompt); });
  };
  const bool trains_prompt = !plan.name.empty();
  return TrainedTensors(model.parameters(), [&](const std::string& name) {
    return trains_prompt ? name == prompt_parameter(plan.name)
                         : is_adapter_parameter(name) && !is_prompt(name);
  });
}

std::filesystem::path init_prompt_folder(const std::filesystem::path& folder) {
  std::filesystem::path place = folder;
  if (std::filesystem::exists(folder / "etrlrec.json")) {
    const std::vector<NamedAdapter> prompts = prompts_of_folder(folder);
    CHECK(prompts.size() == 1, kModel,
          "--init-prompt: {}: expected a model folder with one soft prompt, found {}\n"
          "hint: etrlrec soft-prompt makes one; of several name one, {}",
          folder.string(), prompts.size(), prompt_folder(folder, "NAME").string());
    place = prompts.front().folder;
  }
  CHECK(std::filesystem::exists(place / "adapter_config.json") &&
            read_prompt_config(place).num_virtual_tokens > 0,
        kModel, "--init-prompt: {}: holds no soft prompt\nhint: etrlrec soft-prompt makes one",
        folder.string());
  return place;
}

LoadedModel open_with_prompt(const std::filesystem::path& folder, const std::string& catalogue_hash,
                             const std::string& dtype, const Numerics& numerics,
                             const std::string& init_prompt) {
  if (init_prompt.empty()) return open_model_folder(folder, catalogue_hash, dtype, numerics);
  const std::filesystem::path place = init_prompt_folder(init_prompt);
  CHECK(!std::filesystem::exists(folder / "etrlrec.json") || prompts_of_folder(folder).empty(),
        kUsage, "--init-prompt: {}: has a soft prompt of its own\nhint: leave out --init-prompt",
        folder.string());
  LoadedModel model = open_model_folder(folder, catalogue_hash, dtype, numerics, {place.string()});
  check_init_prompt(init_prompt, catalogue_hash, model);
  const NamedAdapter& added = model.adapters.back();
  model.card.soft_prompts.push_back({added.name, added.prompt.num_virtual_tokens});
  return model;
}

}  // namespace etrlrec
