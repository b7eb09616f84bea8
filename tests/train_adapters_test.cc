// Training of adapters through the one loop: AdaLoRA prunes, noise and ranks resume bit for bit.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "models/model_adapters.h"
#include "models_fixture.h"
#include "nn/safetensors.h"
#include "train/checkpoint.h"
#include "train/sft.h"
#include "tuning/adalora.h"

namespace etrlrec {
namespace {

std::vector<SftRow> some_rows() {
  std::vector<SftRow> rows;
  Rng rng(3, "rows");
  for (int64_t r = 0; r < 12; ++r) {
    SftRow row;
    for (int64_t t = 0; t < 4 + r % 3; ++t)
      row.prompt.push_back(static_cast<int64_t>(rng.below(61)));
    for (int64_t t = 0; t < 3; ++t) row.completion.push_back(static_cast<int64_t>(rng.below(61)));
    rows.push_back(row);
  }
  return rows;
}

LoraConfig adalora_config() {
  LoraConfig config{4, 8, {"q_proj", "down_proj"}};
  config.lora_dropout = 0.1;
  config.adalora = AdaLoraConfig{.target_r = 2, .tinit = 3, .tfinal = 3, .total_step = 18};
  return config;
}

TrainerOptions small_options(const std::string& optim) {
  TrainerOptions options;
  options.optim = optim;
  options.learning_rate = optim == "lion" ? 1e-3 : 1e-2;
  options.train_batch_size = 2;
  options.gradient_accumulation_steps = 2;
  options.num_train_epochs = 6;  // 3 steps each
  options.save_steps = 4;
  options.save_total_limit = 20;
  options.metric_for_best_model = "score";
  options.eval_steps = 5;
  return options;
}

class Interrupted : public SftObjective {
 public:
  using SftObjective::SftObjective;
  LossOutput loss_in_parts(std::span<const int64_t> rows, int64_t step, Rng& rng,
                           const Backward& backward) override {
    if (step == fail_at) throw std::runtime_error("power cut");
    return SftObjective::loss_in_parts(rows, step, rng, backward);
  }
  int64_t fail_at = -1;
};

constexpr int64_t kVirtual = 4;

struct AdapterRun {
  explicit AdapterRun(const LoraConfig& lora, SftOptions sft)
      : model(new_decoder(small_config(), 1)) {
    std::vector<SftRow> rows = some_rows();
    if (lora.r > 0) {
      model->adapters().attach(lora, 2);
    } else {  // a prompt
      attach_prompt(*model, {kVirtual}, 2);
      const auto front = virtual_token_ids(61, {kVirtual});
      for (SftRow& row : rows) row.prompt.insert(row.prompt.begin(), front.begin(), front.end());
    }
    if (lora.adalora) ranks.emplace(model->parameters(), model->lora());
    objective.emplace(*model, std::move(rows), std::move(sft));
  }
  TrainingResult train(const TrainerOptions& options, const fs::path& folder) {
    return etrlrec::train(*objective, options, folder, validation, ranks ? &*ranks : nullptr);
  }
  static std::map<std::string, double> validation(int64_t step) {
    return {{"score", step == 15 ? 2.0 : 1.0 / static_cast<double>(step)}};
  }
  std::unique_ptr<LanguageModel> model;
  std::optional<RankAllocator> ranks;
  std::optional<Interrupted> objective;
};

fs::path empty_folder(const std::string& name) {
  const fs::path folder =
      fs::temp_directory_path() / fmt::format("etrlrec-{}-{}", name, ::getpid());
  fs::remove_all(folder);
  return folder;
}

void expect_same_files(const fs::path& first, const fs::path& second, bool with_ranks) {
  const std::vector<int64_t> steps = CheckpointFolder(first).steps();
  ASSERT_EQ(steps, CheckpointFolder(second).steps());
  ASSERT_GE(steps.size(), 4u);
  for (int64_t step : steps) {
    for (const char* part : {"model", "optimizer", "adalora"}) {
      if (!with_ranks && part == std::string("adalora")) continue;
      EXPECT_EQ(read_file(CheckpointFolder(first).part(step, part)),
                read_file(CheckpointFolder(second).part(step, part)))
          << part << " " << step;
    }
  }
  EXPECT_EQ(read_file(first / "metrics.jsonl"), read_file(second / "metrics.jsonl"));
}

void expect_resumes(const LoraConfig& lora, const SftOptions& sft, const std::string& optim) {
  const fs::path whole = empty_folder("whole"), parts = empty_folder("parts");
  AdapterRun uninterrupted(lora, sft), first(lora, sft), second(lora, sft);
  uninterrupted.train(small_options(optim), whole);
  first.objective->fail_at = 10;
  EXPECT_THROW(first.train(small_options(optim), parts), std::runtime_error);
  EXPECT_EQ(second.train(small_options(optim), parts).steps, 18);
  expect_same_files(whole, parts, lora.adalora.has_value());
  for (const auto& [name, tensor] : uninterrupted.model->parameters())
    EXPECT_TRUE(at::equal(tensor, second.model->parameters().at(name))) << name;
  fs::remove_all(whole);
  fs::remove_all(parts);
}

TEST(AdapterTraining, adalora_with_dropout_and_noise_resumes_bit_for_bit) {
  SftOptions sft;
  sft.neftune_noise_alpha = 5;
  expect_resumes(adalora_config(), sft, "adamw");
}

TEST(AdapterTraining, lion_with_dropout_resumes_bit_for_bit) {
  LoraConfig config{4, 8, {}};
  config.lora_dropout = 0.2;
  expect_resumes(config, {}, "lion");
}

TEST(AdapterTraining, a_prompt_resumes_bit_for_bit) { expect_resumes({}, {}, "adamw"); }

TEST(AdapterTraining, a_prompt_learns_and_nothing_else_moves) {
  const fs::path folder = empty_folder("prompt");
  AdapterRun run({}, {});
  ParameterMap before;
  for (const auto& [name, tensor] : run.model->parameters()) before[name] = tensor.detach().clone();
  std::vector<int64_t> all(12);
  for (int64_t i = 0; i < 12; ++i) all[static_cast<size_t>(i)] = i;
  const auto loss = [&] {
    Rng rng(1, "unused");
    const at::NoGradGuard no_grad;
    return run.objective->loss(all, 1, rng).loss.item<double>();
  };
  const double first = loss();
  TrainerOptions options = small_options("adamw");
  options.learning_rate = 0.1;
  options.num_train_epochs = 40;
  options.eval_steps = 0;
  run.train(options, folder);
  EXPECT_LT(loss(), first - 0.5);
  for (const auto& [name, tensor] : run.model->parameters())
    EXPECT_EQ(at::equal(tensor, before.at(name)), name != "prompt_embeddings") << name;
  const ParameterMap saved = load_safetensors(CheckpointFolder(folder).part(120, "model"));
  EXPECT_EQ(saved.size(), 1u);
  fs::remove_all(folder);
}

TEST(AdapterTraining, every_adapter_tensor_moves_and_the_ranks_reach_their_target) {
  const fs::path folder = empty_folder("moves");
  AdapterRun run(adalora_config(), {});
  ParameterMap before;
  for (const auto& [name, tensor] : run.model->parameters()) before[name] = tensor.detach().clone();
  const TrainingResult result = run.train(small_options("adamw"), folder);
  EXPECT_EQ(result.best_step, 15);
  int64_t kept = 0, modules = 0;
  for (const auto& [module, pattern] : run.ranks->rank_pattern()) {
    kept += std::count(pattern.begin(), pattern.end(), true);
    ++modules;
    for (size_t i = 0; i < pattern.size(); ++i)
      EXPECT_EQ(
          run.model->parameters().at(module + ".lora_E")[static_cast<int64_t>(i)].item<float>() !=
              0,
          pattern[i]);
  }
  EXPECT_EQ(modules, 4);
  EXPECT_EQ(kept, 2 * modules);
  for (const auto& [name, tensor] : run.model->parameters()) {
    bool stays = !is_adapter_parameter(name);
    if (name.ends_with(".lora_E")) {  // a module without ranks is back at the 0 it came from
      const std::vector<bool>& pattern =
          run.ranks->rank_pattern().at(name.substr(0, name.rfind('.')));
      stays = std::count(pattern.begin(), pattern.end(), true) == 0;
    }
    EXPECT_EQ(at::equal(tensor, before.at(name)), stays) << name;
  }
  fs::remove_all(folder);
}

TEST(AdapterTraining, another_rank_schedule_does_not_continue_a_run) {
  const fs::path folder = empty_folder("schedule");
  AdapterRun first(adalora_config(), {});
  first.train(small_options("adamw"), folder);
  LoraConfig other = adalora_config();
  other.adalora->target_r = 1;
  AdapterRun second(other, {});
  EXPECT_THROW(second.train(small_options("adamw"), folder), Error);
  EXPECT_THROW(AdapterRun(adalora_config(), {}).train(small_options("lion"), folder), Error);
  TrainerOptions averaging = small_options("adamw");
  averaging.ema_decay = 0.9;
  EXPECT_THROW(AdapterRun(adalora_config(), {}).train(averaging, empty_folder("average")), Error);
  fs::remove_all(folder);
}

TEST(AdapterTraining, noise_of_embeddings_changes_the_loss_but_not_its_mean) {
  const auto model = new_decoder(small_config(), 1);
  SftOptions noisy;
  noisy.neftune_noise_alpha = 5;
  noisy.accuracy_steps = 0;
  SftObjective plain(*model, some_rows(), {}), with_noise(*model, some_rows(), noisy);
  Rng unused(1, "unused");
  const std::vector<int64_t> rows{0, 1, 2};
  const double expected = plain.loss(rows, 1, unused).loss.item<double>();
  double mean = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    Rng rng(1, "noise", i), same(1, "noise", i);
    const double found = with_noise.loss(rows, 1, rng).loss.item<double>();
    EXPECT_EQ(found, with_noise.loss(rows, 1, same).loss.item<double>());
    EXPECT_NE(found, expected);
    mean += found / 40;
  }
  EXPECT_NEAR(mean, expected, 0.2 * expected);
  EXPECT_EQ(plain.loss(rows, 1, unused).loss.item<double>(), expected);  // the noise is gone
  SftOptions bad;
  bad.neftune_noise_alpha = -1;
  EXPECT_THROW(SftObjective(*model, some_rows(), bad), Error);
}

}  // namespace
}  // namespace etrlrec
