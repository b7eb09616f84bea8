#include "method/adapter_options.h"

#include <tuple>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr int64_t kAdaLoraInitR = 12;  // PEFT's default

}  // namespace

LoraConfig AdapterOptions::config() const {
  LoraConfig config = lora;
  const auto values = [](const AdaLoraConfig& c) {
    return std::tie(c.target_r, c.tinit, c.tfinal, c.deltaT, c.beta1, c.beta2, c.orth_reg_weight,
                    c.total_step);
  };
  if (adapter == "adalora") {
    if (config.r == 0) config.r = kAdaLoraInitR;
    CHECK(!lora.use_rslora, kUsage, "--use-rslora: is an option of --adapter lora");
    config.adalora = adalora;
  } else {
    CHECK(values(adalora) == values(AdaLoraConfig{}), kUsage,
          "--target-r, --tinit, --tfinal, --delta-t, --beta1, --beta2, --orth-reg-weight and "
          "--total-step are options of --adapter adalora");
  }
  CHECK(adapter != "prompt" ||
            (lora.r == 0 && lora.lora_alpha == LoraConfig{}.lora_alpha && lora.lora_dropout == 0 &&
             !lora.use_rslora && lora.target_modules == LoraConfig{}.target_modules),
        kUsage,
        "--lora-r, --lora-alpha, --lora-dropout, --use-rslora and --target-modules are options of "
        "--adapter lora");
  return config;
}

std::optional<PromptTuningOptions> AdapterOptions::prompt() const {
  if (adapter == "prompt") return prompt_tuning;
  CHECK(prompt_tuning.num_virtual_tokens == 0 && prompt_tuning.prompt_tuning_init == "random" &&
            prompt_tuning.prompt_tuning_init_text.empty() && prompt_tuning.prompt_name == "default",
        kUsage,
        "--num-virtual-tokens, --prompt-name, --prompt-tuning-init and --prompt-tuning-init-text "
        "are options of --adapter prompt");
  return std::nullopt;
}

void check_trainable(const std::string& dtype, const AdapterOptions& adapter) {
  CHECK(dtype == "float32" || adapter.config().r > 0 || adapter.prompt(), kUsage,
        "--dtype {}: such weights are frozen\nhint: train an adapter, --lora-r 8", dtype);
}

}  // namespace etrlrec
