// Estimates of memory: counts equal to those of real models, refusals with the largest part.
#include <gtest/gtest.h>

#include "base/check.h"
#include "method/memory_estimate.h"
#include "models/t5.h"
#include "models_fixture.h"

namespace etrlrec {
namespace {

LlmConfig qwen_half_billion() {
  LlmConfig config;
  config.vocab_size = 151936;
  config.hidden_size = 896;
  config.num_hidden_layers = 24;
  config.num_attention_heads = 14;
  config.num_key_value_heads = 2;
  config.head_dim = 64;
  config.intermediate_size = 4864;
  return config;
}

// A model without memory for its weights.
Decoder shapes_of(const LlmConfig& config, Storage storage = Storage::kFloat) {
  return Decoder(config, storage, Decoder::Memory::kShapesOnly);
}

LoraConfig lora_of_rank(int64_t r) {
  LoraConfig config;
  config.r = r;
  return config;
}

int64_t bytes_of(const MemoryEstimate& estimate, const std::string& part) {
  for (const auto& [name, bytes] : estimate.parts)
    if (name == part) return bytes;
  return -1;
}

TEST(MemoryEstimate, counts_the_parameters_of_models_and_adapters) {
  EXPECT_EQ(shapes_of(qwen_half_billion()).num_parameters(), 494'032'768);  // Qwen2.5-0.5B
  for (const LlmConfig& config : small_families()) {
    const auto model = new_decoder(config, 1);
    int64_t count = 0;
    for (const auto& [name, tensor] : model->parameters()) count += tensor.numel();
    EXPECT_EQ(shapes_of(config).num_parameters(), count) << config.model_type;
    LoraConfig all = lora_of_rank(4), some = lora_of_rank(2), ada = lora_of_rank(3);
    some.target_modules = {"q_proj", "v_proj"};
    some.rank_pattern = {{"layers.0.self_attn.q_proj", 5}};
    ada.adalora.emplace().total_step = 10;
    ada.adalora->target_r = 2;
    for (const LoraConfig& lora : {all, some, ada}) {
      const auto adapted = new_decoder(config, 1);
      adapted->adapters().attach(lora, 1);
      int64_t pairs = 0;
      for (const auto& [name, tensor] : adapted->parameters())
        if (is_adapter_parameter(name)) pairs += tensor.numel();
      EXPECT_EQ(num_adapter_parameters(shapes_of(config), lora), pairs) << config.model_type;
    }
  }
}

TEST(MemoryEstimate, counts_encoder_decoders) {
  T5Config config;
  config.d_model = 48;
  config.d_kv = 10;
  config.d_ff = 80;
  config.num_heads = 4;
  config.num_layers = 3;
  config.num_decoder_layers = 2;
  config.vocab_size = 61;
  for (const bool tied : {true, false}) {
    config.tie_word_embeddings = tied;
    const auto model = new_t5(config, 1);
    int64_t count = 0;
    for (const auto& [name, tensor] : model->parameters()) count += tensor.numel();
    EXPECT_EQ(T5(config, T5::Memory::kShapesOnly).num_parameters(), count);
  }
  const T5 model(config, T5::Memory::kShapesOnly);
  MemoryEstimate one, many;
  add_rollouts(model, {1, 1, 100, 20, 1}, one);
  add_rollouts(model, {5, 5, 100, 20, 5}, many);
  constexpr int64_t kToken = 2 * 2 * 4 * 10 * 4;
  EXPECT_EQ(bytes_of(one, "keys and values"), (100 + 21) * kToken);
  EXPECT_EQ(bytes_of(many, "keys and values"), (100 + 5 * 21) * kToken);
  EXPECT_EQ(bytes_of(one, "activations of prompts"), bytes_of(many, "activations of prompts"));
  EXPECT_EQ(one.tokens, 120);
  EXPECT_EQ(many.tokens, 200);
  EXPECT_GT(many.flops, one.flops);
}

TEST(MemoryEstimate, holds_as_many_keys_and_values_as_rows_grow_together) {
  const Decoder model = shapes_of(qwen_half_billion());
  constexpr int64_t kToken = 2 * 24 * 2 * 64 * 4;
  MemoryEstimate few, many;
  add_rollouts(model, {4, 2, 100, 50, 0}, few);
  EXPECT_EQ(bytes_of(few, "keys and values"), (4 * 50 + 2 * 100) * kToken);
  EXPECT_EQ(few.tokens, 4 * 50 + 2 * 100);
  if (supports_bfloat16()) {  // frozen weights: kept in two bytes
    MemoryEstimate frozen;
    add_rollouts(shapes_of(qwen_half_billion(), Storage::kInt8), {4, 2, 100, 50, 0}, frozen);
    EXPECT_EQ(bytes_of(frozen, "keys and values"), (4 * 50 + 2 * 100) * kToken / 2);
  }
  add_rollouts(model, {1'000'000, 1, 100, 50, 64}, many);
  EXPECT_EQ(bytes_of(many, "keys and values"), 64 * 150 * kToken);
  EXPECT_NEAR(many.flops, 150e6 * 2 * 494'032'768.0, 1e6);
}

TEST(MemoryEstimate, trains_adapters_in_less_than_all_weights) {
  const Decoder model = shapes_of(qwen_half_billion());
  const std::vector<RowTokens> rows{{4, 6}, {30, 10}, {15, 5}, {20, 10}};
  TrainerOptions trainer;
  trainer.train_batch_size = 2;
  trainer.num_train_epochs = 3;
  const MemoryEstimate full = estimate_training(model, {}, trainer, rows);
  const MemoryEstimate lora = estimate_training(model, {lora_of_rank(8)}, trainer, rows);
  EXPECT_EQ(bytes_of(full, "weights"), model.num_parameters() * 4);
  EXPECT_EQ(bytes_of(full, "optimiser"), model.num_parameters() * 8);
  EXPECT_EQ(bytes_of(lora, "optimiser"), num_adapter_parameters(model, lora_of_rank(8)) * 8);
  EXPECT_LT(lora.total(), full.total() / 3);
  EXPECT_EQ(bytes_of(full, "activations"), bytes_of(lora, "activations"));
  EXPECT_EQ(full.tokens, 300);
  EXPECT_GT(full.flops, lora.flops);
  const MemoryEstimate prompt =
      estimate_training(shapes_of(qwen_half_billion(), Storage::kInt8), {{}, 7}, trainer, rows);
  EXPECT_EQ(bytes_of(prompt, "weights"), model.num_parameters());
  EXPECT_EQ(bytes_of(prompt, "adapter"), 7 * model.hidden_size() * 4);
  EXPECT_EQ(bytes_of(prompt, "optimiser"), 7 * model.hidden_size() * 8);
  EXPECT_EQ(prompt.flops, lora.flops);
  trainer.ema_decay = 0.9;
  const MemoryEstimate averaged = estimate_training(model, {lora_of_rank(8)}, trainer, rows);
  EXPECT_EQ(averaged.total() - lora.total(), bytes_of(lora, "adapter"));
  trainer.max_steps = 10;
  EXPECT_EQ(estimate_training(model, {}, trainer, rows).tokens, 500);
  const auto activations = [&](int64_t tokens_per_pass) {
    return bytes_of(estimate_training(model, {}, trainer, rows, tokens_per_pass), "activations");
  };
  EXPECT_EQ(activations(0), 70 * (activations(1) / 40));  // the two longest rows, or one
  EXPECT_EQ(activations(50), 50 * (activations(1) / 40));
}

TEST(MemoryEstimate, refuses_what_does_not_fit) {
  MemoryEstimate estimate;
  estimate.parts = {{"weights", int64_t{3} << 30}, {"logits", int64_t{1} << 30}};
  EXPECT_NO_THROW(check_memory(estimate, int64_t{4} << 30, "generate", "a smaller model"));
  try {
    check_memory(estimate, int64_t{2} << 30, "generate", "a smaller model");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kMemory);
    EXPECT_STREQ(error.what(),
                 "generate: needs about 4.0 GiB of memory, 2.0 GiB are available; the largest part "
                 "are its weights (3.0 GiB)\nhint: a smaller model");
  }
  EXPECT_GT(available_memory(), 0);
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(12), "12 B");
}

}  // namespace
}  // namespace etrlrec
