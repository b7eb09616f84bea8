// Adapters, prompts and noise of a decoder: golden files of PEFT, named adapters, verified merging,
// AdaLoRA against its formula.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "golden_batch.h"
#include "models/decoder.h"
#include "models/model_adapters.h"
#include "models_fixture.h"
#include "nn/embedding.h"
#include "nn/layers.h"
#include "nn/safetensors.h"
#include "nn/weight.h"
#include "tuning/adalora.h"
#include "tuning/adapter_files.h"
#include "tuning/optim.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {
namespace {

TokenForest some_rows() {
  Rng rng(5, "adapter-test");
  TokenForest forest;
  for (const int64_t length : {9, 14}) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int64_t>(rng.below(61)));
    forest.add(-1, ids);
  }
  return forest;
}

// Values away from zero for all adapter tensors.
void fill_adapter(ParameterMap& parameters, uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : parameters) {
    if (!is_adapter_parameter(name)) continue;
    Rng rng(seed, name);
    for (int64_t i = 0; i < tensor.numel(); ++i)
      tensor.data_ptr<float>()[i] = static_cast<float>(0.2 * rng.normal());
  }
}

// Records and checks the largest difference.
void expect_close(const at::Tensor& found, const at::Tensor& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  const double difference = largest_difference(found.detach(), expected);
  EXPECT_LT(difference, tolerance) << what;
  testing::Test::RecordProperty(what, fmt::format("{:.2g}", difference));
}

double largest_relative_gradient_difference(const ParameterMap& parameters,
                                            const ParameterMap& golden) {
  double largest = 0;
  int compared = 0;
  for (const auto& [key, tensor] : parameters) {
    const auto expected = golden.find("grad.base_model.model." + key);
    if (expected == golden.end()) continue;
    largest = std::max(largest, largest_difference(tensor.grad(), expected->second) /
                                    expected->second.abs().max().item<double>());
    ++compared;
  }
  EXPECT_GE(compared, 8);
  return largest;
}

// Logits with, without and merged; gradients.
void expect_golden_adapter(const std::string& name) {
  const fs::path folder = kGolden / "peft" / name;
  const std::unique_ptr<LanguageModel> model = load_decoder(kGolden / "decoders/qwen2");
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const GoldenBatch batch(golden, "");
  std::vector<at::Tensor> off, merged;
  for (int64_t row = 0; row < static_cast<int64_t>(batch.logits.size()); ++row) {
    const int64_t length = batch.logits[row].size(0);
    off.push_back(golden.at("logits_adapter_off")[row].narrow(0, 0, length));
    merged.push_back(golden.at("logits_merged")[row].narrow(0, 0, length));
  }
  model->adapters().load(folder);
  EXPECT_NEAR(model->lora().scale(), read_json(folder / "golden.json")["scaling"].get<double>(),
              1e-12);
  expect_close(logits_of(*model, batch.forest), batch.expected_logits(), 2e-4, "logits");
  model->adapters().set_enabled(false);
  expect_close(logits_of(*model, batch.forest), at::cat(off, 0), 2e-4, "logits_adapter_off");
  model->adapters().set_enabled(true);
  const at::Tensor loss = batch.loss(*model);
  EXPECT_NEAR(loss.item<double>(), golden.at("loss").item<double>(), 5e-5);
  loss.backward();
  for (auto& [key, tensor] : model->parameters())
    ASSERT_EQ(tensor.grad().defined(), is_adapter_parameter(key)) << key;
  const double gradient = largest_relative_gradient_difference(model->parameters(), golden);
  EXPECT_LT(gradient, 1e-4);
  testing::Test::RecordProperty("gradients", fmt::format("{:.2g}", gradient));
  const double difference =
      model->adapters().merge_verified([&] { return logits_of(*model, batch.forest); });
  EXPECT_LT(difference, 2e-4);
  expect_close(logits_of(*model, batch.forest), at::cat(merged, 0), 2e-4, "logits_merged");
  int compared = 0;
  for (const auto& [key, expected] : golden) {
    if (!key.starts_with("merged.")) continue;
    EXPECT_LT(largest_difference(model->parameters().at(key.substr(7)), expected), 1e-5) << key;
    ++compared;
  }
  EXPECT_EQ(compared, 2);
}

// Five steps of AdamW with clipping.
void expect_golden_training(const std::string& name) {
  const fs::path folder = kGolden / "peft" / name;
  const std::unique_ptr<LanguageModel> model = load_decoder(kGolden / "decoders/qwen2");
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const GoldenBatch batch(golden, "");
  model->adapters().load(folder);
  const Json training = read_json(folder / "golden.json")["training"];
  const Json& losses = training["loss_before_each_step_then_after_last"];
  Optimizer optimizer(trainable_parameters(model->parameters()),
                      {.weight_decay = training["weight_decay"].get<double>()});
  double largest = 0;
  for (size_t step = 0; step + 1 < losses.size(); ++step) {
    const at::Tensor loss = batch.loss(*model);
    largest = std::max(largest, std::abs(loss.item<double>() - losses[step].get<double>()));
    loss.backward();
    const double norm =
        clip_grad_norm(optimizer.parameters(), training["max_grad_norm"].get<double>());
    const double expected = training["grad_norm_before_clipping"][step].get<double>();
    EXPECT_NEAR(norm, expected, 1e-4 * expected);
    optimizer.step(training["lr"].get<double>());
    optimizer.zero_grad();
  }
  largest =
      std::max(largest, std::abs(batch.loss(*model).item<double>() - losses.back().get<double>()));
  EXPECT_LT(largest, 5e-5);
  testing::Test::RecordProperty("losses", fmt::format("{:.2g}", largest));
  double tensors = 0;
  for (const auto& [key, tensor] : optimizer.parameters()) {
    tensors = std::max(
        tensors,
        largest_difference(tensor.detach(), golden.at("after_training.base_model.model." + key)));
  }
  EXPECT_LT(tensors, 2e-5);
  testing::Test::RecordProperty("tensors_after_training", fmt::format("{:.2g}", tensors));
}

TEST(PeftGolden, lora_qv) { expect_golden_adapter("lora-qv"); }
TEST(PeftGolden, lora_qv_trained) { expect_golden_training("lora-qv"); }
TEST(PeftGolden, lora_all_linear) { expect_golden_adapter("lora-all-linear"); }
TEST(PeftGolden, lora_all_linear_trained) { expect_golden_training("lora-all-linear"); }
TEST(PeftGolden, lora_all_linear_rslora) { expect_golden_adapter("lora-all-linear-rslora"); }
TEST(PeftGolden, lora_all_linear_rslora_trained) {
  expect_golden_training("lora-all-linear-rslora");
}

TEST(PeftGolden, written_folders_hold_what_peft_wrote) {
  for (const char* name : {"lora-qv", "lora-all-linear", "lora-all-linear-rslora"}) {
    SCOPED_TRACE(name);
    const fs::path original = kGolden / "peft" / name,
                   folder = fs::path(testing::TempDir()) / "written-adapter";
    const std::unique_ptr<LanguageModel> model = load_decoder(kGolden / "decoders/qwen2");
    model->adapters().load(original);
    save_lora(model->parameters(), model->lora(), "../../decoders/qwen2", folder);
    const ParameterMap before = load_safetensors(original / "adapter_model.safetensors"),
                       after = load_safetensors(folder / "adapter_model.safetensors");
    ASSERT_EQ(before.size(), after.size());
    for (const auto& [key, tensor] : before) EXPECT_TRUE(at::equal(tensor, after.at(key))) << key;
    const Json theirs = read_json(original / "adapter_config.json"),
               ours = read_json(folder / "adapter_config.json");
    for (const auto& [key, value] : ours.items()) {
      // full names of all modules, or their last components: the same modules
      if (key != "target_modules") {
        EXPECT_EQ(value, theirs[key]) << key;
      }
    }
  }
}

TEST(PeftGolden, prompt_tuning) {
  const fs::path folder = kGolden / "peft/prompt-qwen2";
  const std::unique_ptr<LanguageModel> model = load_decoder(kGolden / "decoders/qwen2");
  ParameterMap& parameters = model->parameters();
  model->prompts().load(model->embed_tokens(), folder);
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const GoldenBatch batch(golden, "", model->prompts().ids(model->vocab_size()));
  expect_close(logits_of(*model, batch.forest), batch.expected_logits(), 2e-4, "logits");
  const at::Tensor loss = batch.loss(*model);
  EXPECT_NEAR(loss.item<double>(), golden.at("loss").item<double>(), 2e-4);
  loss.backward();
  expect_close(parameters.at("prompt_embeddings").grad(), golden.at("grad.prompt_embeddings"), 2e-4,
               "gradient");
  for (auto& [key, tensor] : parameters)
    EXPECT_EQ(tensor.grad().defined(), key == "prompt_embeddings") << key;
  const fs::path written = fs::path(testing::TempDir()) / "written-prompt";
  save_prompt(*model, "default", "../../decoders/qwen2", written);
  EXPECT_TRUE(
      at::equal(load_safetensors(written / "adapter_model.safetensors").at("prompt_embeddings"),
                load_safetensors(folder / "adapter_model.safetensors").at("prompt_embeddings")));
  const Json theirs = read_json(folder / "adapter_config.json"),
             ours = read_json(written / "adapter_config.json");
  for (const auto& [key, value] : ours.items()) EXPECT_EQ(value, theirs[key]) << key;
}

TEST(Prompt, virtual_tokens_equal_real_ones_of_the_same_embedding) {
  const auto model = new_decoder(small_config(), 1);
  attach_prompt(*model, {3, 1, "TEXT", {7, 11, 13}}, 1);
  TokenForest with_virtual, real;
  with_virtual.add(with_virtual.add(-1, std::vector<int64_t>{61, 62, 63, 4}),
                   std::vector<int64_t>{5, 62});  // a virtual token inside a text, too
  real.add(real.add(-1, std::vector<int64_t>{7, 11, 13, 4}), std::vector<int64_t>{5, 11});
  EXPECT_TRUE(at::equal(logits_of(*model, with_virtual), logits_of(*model, real)));
  TokenForest outside;
  outside.add(-1, std::vector<int64_t>{64});
  EXPECT_THROW(model->hidden_states(outside), Error);
  // the cache sees the prompt of a prefill
  TokenForest prompts;
  prompts.add(-1, std::vector<int64_t>{61, 62, 63, 4});
  at::Tensor last;
  const auto cache = model->prefill(prompts, std::vector<int64_t>{0}, 2, last);
  EXPECT_LT(largest_difference(last[0], model->hidden_states(real)[3].detach()), 1e-4);
  const at::Tensor next = model->decode(*cache, std::vector<int64_t>{5});
  EXPECT_LT(largest_difference(next[0], model->hidden_states(real)[4].detach()), 1e-4);
}

TEST(Prompt, starts_from_the_vocabulary_or_at_random) {
  const at::Tensor table = at::arange(20, at::kFloat).view({5, 4});
  EXPECT_TRUE(at::equal(new_prompt(table, {4, 1, "TEXT", {2, 0, 1}}, 1),
                        table.index_select(0, at::tensor({2, 0, 1, 2}))));
  const at::Tensor sample = new_prompt(table, {6, 1, "SAMPLE_VOCAB"}, 1);
  for (int64_t row = 0; row < 6; ++row)
    EXPECT_EQ(std::fmod(sample[row][0].item<double>(), 4.0), 0.0);
  const at::Tensor values = new_prompt(table, {500, 1}, 1);
  EXPECT_NEAR(values.mean().item<double>(), 0, 0.05);
  EXPECT_NEAR(values.std().item<double>(), 1, 0.05);
  EXPECT_FALSE(at::equal(values, new_prompt(table, {500, 1}, 1, "other")));
  EXPECT_THROW(new_prompt(table, {}, 1), Error);
  EXPECT_THROW(new_prompt(table, {2, 1, "OTHER"}, 1), Error);
  EXPECT_THROW(new_prompt(table, {2, 1, "TEXT"}, 1), Error);
}

TEST(Prompt, is_not_part_of_the_saved_base_model_and_is_frozen_by_an_adapter) {
  const auto model = new_decoder(small_config(), 1);
  ParameterMap& parameters = model->parameters();
  attach_prompt(*model, {3}, 1);
  EXPECT_EQ(trainable_parameters(parameters).size(), 1u);
  model->adapters().attach({2, 4, {"q_proj"}}, 1);
  EXPECT_FALSE(parameters.at("prompt_embeddings").requires_grad());
  const fs::path folder = fs::path(testing::TempDir()) / "base-of-prompt";
  model->save(folder);
  const ParameterMap saved = load_safetensors(folder / "model.safetensors");
  for (const auto& [name, tensor] : saved) EXPECT_FALSE(is_adapter_parameter(name)) << name;
}

TEST(NamedAdapters, are_switched_and_keep_their_values) {
  const auto model = new_decoder(small_config(), 1);
  const TokenForest forest = some_rows();
  const at::Tensor base = logits_of(*model, forest);
  AdapterSet& adapters = model->adapters();
  adapters.attach({4, 8, {"q_proj"}}, 3, "first");
  fill_adapter(model->parameters(), 1);
  const at::Tensor first = logits_of(*model, forest);
  adapters.attach({2, 8, {}}, 4, "second");
  EXPECT_TRUE(at::equal(logits_of(*model, forest), base));  // a fresh one changes nothing
  fill_adapter(model->parameters(), 2);
  const at::Tensor second = logits_of(*model, forest);
  EXPECT_FALSE(at::equal(first, second));
  adapters.select("first");
  EXPECT_TRUE(at::equal(logits_of(*model, forest), first));
  EXPECT_EQ(model->lora().r, 4);
  EXPECT_EQ(trainable_parameters(model->parameters()).size(), 4u);
  model->adapters().set_enabled(false);
  EXPECT_TRUE(at::equal(logits_of(*model, forest), base));
  model->adapters().set_enabled(true);
  adapters.select("");
  EXPECT_TRUE(at::equal(logits_of(*model, forest), base));
  EXPECT_EQ(model->lora().r, 0);
  adapters.select("second");
  EXPECT_TRUE(at::equal(logits_of(*model, forest), second));
  EXPECT_EQ(adapters.names(), (std::vector<std::string>{"first", "second"}));
  EXPECT_THROW(adapters.select("third"), Error);
  EXPECT_THROW(adapters.attach({2, 8, {}}, 4, "first"), Error);
  EXPECT_THROW(adapters.attach({2, 8, {"no such module"}}, 4, "third"), Error);
  EXPECT_TRUE(at::equal(logits_of(*model, forest), second));  // still selected after the failure
  EXPECT_THROW(model->adapters().merge(), Error);             // two adapters
}

TEST(MergeVerified, refuses_weights_that_are_not_finite) {
  const auto model = new_decoder(small_config(), 1);
  model->adapters().attach({2, 8, {"down_proj"}}, 3);
  const TokenForest forest = some_rows();
  const auto logits = [&] { return logits_of(*model, forest); };
  fill_adapter(model->parameters(), 1);
  EXPECT_LT(model->adapters().merge_verified(logits), 1e-4);
  EXPECT_THROW(model->adapters().merge_verified(logits), Error);  // nothing left to merge
  model->adapters().attach({2, 8, {"down_proj"}}, 3);
  const at::NoGradGuard no_grad;
  model->parameters().at("model.layers.0.mlp.down_proj.lora_B.weight").fill_(INFINITY);
  EXPECT_THROW(model->adapters().merge_verified(logits), Error);
}

TEST(MergeVerified, judges_the_merge_and_not_the_rounding_of_stored_weights) {
  const auto model = load_decoder(kGolden / "decoders/qwen2", Storage::kBFloat16);
  const at::Tensor exact = widened(model->parameters().at("model.layers.0.mlp.down_proj.weight"));
  model->adapters().attach({2, 8, {"down_proj"}}, 3);
  fill_adapter(model->parameters(), 1);
  const AdapterTensors adapter =
      adapter_tensors(model->parameters(), "model.layers.0.mlp.down_proj");
  const at::Tensor expected = exact + 4 * at::mm(adapter.B, adapter.A).detach();
  EXPECT_LT(merge_adapter(*model), 1e-4);
  const at::Tensor& merged = model->parameters().at("model.layers.0.mlp.down_proj.weight");
  ASSERT_EQ(merged.scalar_type(), at::kFloat);  // nothing is rounded a second time
  EXPECT_LT(largest_difference(merged, expected), 1e-6);
}

TEST(AdapterDropout, is_repeatable_and_only_where_training) {
  const auto model = new_decoder(small_config(), 1);
  const TokenForest forest = some_rows();
  LoraConfig config{4, 8, {"q_proj", "v_proj", "down_proj"}};
  config.lora_dropout = 0.5;
  model->adapters().attach(config, 3);
  fill_adapter(model->parameters(), 1);
  const at::Tensor plain = logits_of(*model, forest);
  const auto noisy = [&](uint64_t seed) {
    const NoiseScope scope(*model, {true, seed});
    return logits_of(*model, forest);
  };
  EXPECT_TRUE(at::equal(noisy(1), noisy(1)));
  EXPECT_FALSE(at::equal(noisy(1), noisy(2)));
  EXPECT_FALSE(at::equal(noisy(1), plain));
  EXPECT_TRUE(at::equal(logits_of(*model, forest), plain));
  {  // rollouts see no noise
    const NoiseScope scope(*model, {true, 1});
    at::Tensor last;
    TokenForest prompt;
    prompt.add(-1, std::vector<int64_t>(forest.ids.begin(), forest.ids.begin() + 9));
    model->prefill(prompt, std::vector<int64_t>{0}, 1, last);
    EXPECT_LT(largest_difference(at::mm(last, model->head_weight().t())[0], plain[8]), 1e-4);
  }
}

// The mean over masks approaches the pass without dropout, and gradients follow the masks: a
// numeric derivative along a direction.
TEST(AdapterDropout, scales_what_it_keeps_and_has_the_gradient_of_its_masks) {
  Rng rng(3, "x");
  const auto random = [&](std::vector<int64_t> shape) {
    at::Tensor out = at::empty(shape, at::kFloat);
    for (int64_t i = 0; i < out.numel(); ++i)
      out.data_ptr<float>()[i] = static_cast<float>(rng.normal());
    return out;
  };
  const at::Tensor x = random({7, 12}).requires_grad_(), a = random({3, 12}).requires_grad_(),
                   b = random({5, 3}).requires_grad_(), u = random({7, 9});
  const std::vector<LinearPart> plain{{random({5, 12}), {}, a, b, 2.0},
                                      {random({4, 12}), random({4}), {}, {}, 0}};
  std::vector<LinearPart> parts = plain;
  at::Tensor mean = at::zeros({7, 9});
  const int64_t draws = 4000;
  for (int64_t i = 0; i < draws; ++i) {
    const at::NoGradGuard no_grad;
    parts[0].lora_dropout = {0.3, rng.next()};
    mean += linear(x, parts) / draws;
  }
  const at::Tensor expected = linear(x, plain).detach();
  EXPECT_LT(largest_difference(mean, expected), 0.03 * expected.abs().max().item<double>());
  EXPECT_TRUE(at::allclose(mean.narrow(1, 5, 4), expected.narrow(1, 5, 4), 1e-4, 1e-4));

  (linear(x, parts) * u).sum().backward();
  for (const at::Tensor& tensor : {x, a, b}) {
    const at::NoGradGuard no_grad;
    const at::Tensor direction = random(tensor.sizes().vec());
    const auto value = [&](double shift) {
      const at::Tensor kept = tensor.clone();
      tensor.add_(direction, shift);
      const double out = (linear(x, parts) * u).sum().item<double>();
      tensor.copy_(kept);
      return out;
    };
    const double slope = (value(1e-2) - value(-1e-2)) / 2e-2;
    EXPECT_NEAR((tensor.grad() * direction).sum().item<double>(), slope,
                2e-2 + 2e-3 * std::abs(slope));
  }
}

TEST(Neftune, adds_noise_to_embeddings_only_while_training) {
  const auto model = new_decoder(small_config(), 1);
  const TokenForest forest = some_rows();
  const at::Tensor plain = logits_of(*model, forest);
  const auto noisy = [&](uint64_t seed) {
    const NoiseScope scope(*model, {true, seed, 5.0});
    return logits_of(*model, forest);
  };
  EXPECT_TRUE(at::equal(noisy(1), noisy(1)));
  EXPECT_FALSE(at::equal(noisy(1), noisy(2)));
  EXPECT_TRUE(at::equal(logits_of(*model, forest), plain));
  const at::Tensor& table = model->parameters().at("model.embed_tokens.weight");
  const at::Tensor clean = embed_forest(table, {}, forest),
                   shifted = embed_forest(table, {}, forest, {true, 1, 5.0});
  const at::Tensor unit =
      ((shifted - clean) / neftune_magnitudes(forest, table.size(1), 5.0)).detach();
  EXPECT_TRUE(at::allclose(unit, uniform_noise(forest.num_tokens(), table.size(1), 1), 0, 1e-4));
}

// W x + alpha / (r + 1e-5) P diag(E) Q x by changing the weights themselves.
TEST(AdaLora, forward_and_gradients_follow_the_singular_value_form) {
  LoraConfig config{6, 8, {"q_proj", "v_proj", "down_proj"}};
  config.adalora = AdaLoraConfig{};
  const auto model = new_decoder(small_config(), 1);
  const TokenForest forest = some_rows();
  const at::Tensor base = logits_of(*model, forest);
  model->adapters().attach(config, 3);
  EXPECT_TRUE(at::equal(logits_of(*model, forest), base));  // E starts at 0
  fill_adapter(model->parameters(), 1);
  const at::Tensor adapted = logits_of(*model, forest);
  const auto changed = new_decoder(small_config(), 1);
  for (const std::string& module : adapted_modules(model->parameters())) {
    const at::NoGradGuard no_grad;
    const AdapterTensors t = adapter_tensors(model->parameters(), module);
    changed->parameters()
        .at(module + ".weight")
        .add_(at::mm(at::mm(t.B, at::diag(t.E.view(-1))), t.A), 8 / (6 + 1e-5));
  }
  EXPECT_LT(largest_difference(adapted, logits_of(*changed, forest)), 2e-4);

  const at::Tensor u = at::sin(at::arange(adapted.numel(), at::kFloat)).view(adapted.sizes());
  (at::mm(model->hidden_states(forest), model->head_weight().t()) * u).sum().backward();
  (at::mm(changed->hidden_states(forest), changed->head_weight().t()) * u).sum().backward();
  for (const std::string& module : adapted_modules(model->parameters())) {
    const at::NoGradGuard no_grad;
    const AdapterTensors t = adapter_tensors(model->parameters(), module);
    const at::Tensor g = changed->parameters().at(module + ".weight").grad() * (8 / (6 + 1e-5));
    const auto expect_gradient = [&](const at::Tensor& tensor, const at::Tensor& expected) {
      EXPECT_LT(largest_difference(tensor.grad(), expected),
                1e-3 * expected.abs().max().item<double>())
          << module;
    };
    expect_gradient(t.A, t.E * at::mm(t.B.t(), g));
    expect_gradient(t.B, at::mm(g, (t.A * t.E).t()));
    expect_gradient(t.E, (at::mm(t.B.t(), g) * t.A).sum(1, true));
  }
  EXPECT_LT(model->adapters().merge_verified([&] { return logits_of(*model, forest); }), 2e-4);
}

TEST(AdaLora, folders_hold_the_kept_ranks_and_load_to_the_same_model) {
  LoraConfig config{4, 8, {"q_proj", "o_proj"}};
  config.adalora = AdaLoraConfig{.target_r = 2, .total_step = 10};
  const auto model = new_decoder(small_config(), 1), loaded = new_decoder(small_config(), 1);
  model->adapters().attach(config, 3);
  fill_adapter(model->parameters(), 1);
  RankPattern pattern;
  for (const std::string& module : adapted_modules(model->parameters()))
    pattern[module] = {true, false, true, false};
  pattern.begin()->second = {false, false, false, false};  // a module may lose all of them
  {
    const at::NoGradGuard no_grad;
    for (const auto& [module, kept] : pattern)
      for (int64_t i = 0; i < 4; ++i)
        if (!kept[i]) model->parameters().at(module + ".lora_E")[i].zero_();
  }
  model->adapters().set_rank_pattern(pattern);
  const fs::path folder = fs::path(testing::TempDir()) / "adalora-folder",
                 again = fs::path(testing::TempDir()) / "adalora-again";
  save_lora(model->parameters(), model->lora(), "base", folder);
  const ParameterMap saved = load_safetensors(folder / "adapter_model.safetensors");
  const std::string first = "base_model.model." + pattern.begin()->first;
  EXPECT_EQ(saved.at(first + ".lora_A").size(0), 0);
  EXPECT_EQ(saved.at(first + ".lora_B").size(1), 0);
  loaded->adapters().load(folder);
  EXPECT_DOUBLE_EQ(loaded->lora().scale(), config.scale());
  EXPECT_EQ(loaded->lora().adalora->rank_pattern, pattern);
  const TokenForest forest = some_rows();
  EXPECT_LT(largest_difference(logits_of(*model, forest), logits_of(*loaded, forest)), 1e-4);
  save_lora(loaded->parameters(), loaded->lora(), "base", again);
  EXPECT_EQ(read_file(folder / "adapter_config.json"), read_file(again / "adapter_config.json"));
  EXPECT_EQ(read_file(folder / "adapter_model.safetensors"),
            read_file(again / "adapter_model.safetensors"));
  EXPECT_LT(loaded->adapters().merge_verified([&] { return logits_of(*loaded, forest); }), 1e-4);
}

}  // namespace
}  // namespace etrlrec
