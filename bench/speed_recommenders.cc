// Jobs of conventional recommenders and of soft prompts on random weights: ranks in the whole
// catalogue, a step of DELRec's stage 1.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

#include "models/model_adapters.h"
#include "models/ranking.h"
#include "models/sasrec.h"
#include "speed.h"
#include "train/sft.h"
#include "tuning/optim.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {

// MovieLens-100K's 943 users and 1,682 items, histories of 20 + 137 i mod 251 items, SASRec of the
// default size; ranked with and without the items of the history, as the peer's plain script does.
void catalogue_ranking() {
  constexpr int32_t kUsers = 943, kItems = 1682;
  Rng rng(7, "speed");
  std::vector<std::vector<int32_t>> histories(kUsers);
  std::vector<std::vector<int64_t>> times(kUsers);
  std::vector<RankingTask> tasks;
  for (int32_t u = 0; u < kUsers; ++u) {
    auto& items = histories[static_cast<size_t>(u)];
    for (int32_t i = 0; i < 20 + 137 * u % 251; ++i)
      items.push_back(static_cast<int32_t>(rng.below(kItems)));
    times[static_cast<size_t>(u)].resize(items.size());
    tasks.push_back(
        {{items, times[static_cast<size_t>(u)]}, static_cast<int32_t>(rng.below(kItems))});
  }
  const Sasrec model({.num_items = kItems}, 1);
  const at::NoGradGuard no_grad;
  std::vector<double> seconds;
  for (int turn = 0; turn < 6; ++turn)
    seconds.push_back(seconds_of([&] { full_ranks(model, tasks); }));
  seconds.erase(seconds.begin());  // the first one warms up
  print_job("ranking", fmt::format("\"users_per_s\": {:.0f}", kUsers / median(seconds)));
}

// 20 rows a step behind 100 virtual tokens, the only ones that learn; row i has 300 + 137 i mod 251
// tokens and a title of 8 (bench/peer_prompt.py has the same formulas). One step warms up.
void prompt_tuning(LanguageModel& model, int steps) {
  constexpr int64_t kRows = 20, kVirtual = 100, kTitle = 8;
  Rng rng(8, "speed");
  PromptTuningConfig config;
  config.num_virtual_tokens = kVirtual;
  config.prompt_tuning_init = "SAMPLE_VOCAB";
  const int64_t vocab = model.vocab_size();
  attach_prompt(model, config, 1, "default");
  std::vector<SftRow> rows;
  for (int64_t i = 0; i < kRows; ++i) {
    SftRow& row = rows.emplace_back();
    row.prompt = model.prompts().ids(vocab);
    const std::vector<int64_t> text = random_ids(rng, 300 + 137 * i % 251, vocab);
    row.prompt.insert(row.prompt.end(), text.begin(), text.end());
    row.completion = random_ids(rng, kTitle, vocab);
  }
  SftOptions options;
  options.loss_type = "token";
  options.accuracy_steps = 0;
  SftObjective objective(model, rows, options);
  OptimizerOptions lion;
  lion.optim = "lion";
  Optimizer optimizer(trainable_parameters(objective.parameters()), lion);
  std::vector<int64_t> all(kRows);
  std::iota(all.begin(), all.end(), 0);
  train_step(objective, optimizer, all, 0);
  std::vector<double> samples;
  for (int step = 1; step <= steps; ++step)
    samples.push_back(train_step(objective, optimizer, all, step));
  print_job("prompt", fmt::format("\"step_s\": {:.3f}, \"samples\": [{:.3f}]", median(samples),
                                  fmt::join(samples, ", ")));
}

}  // namespace etrlrec
