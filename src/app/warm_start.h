// Warm start: a short pre-training on meaningless sequences that teaches a new model the habit of looking things up, and
// no facts. Two kinds of text, made of ids drawn at random for every sequence: slices of a random passage that come back
// at random places (copying by content, not by distance), and lists of keys with values that are asked for again. Only
// tokens that follow from the context carry loss. In-context lookup: Olsson et al. 2022 ("induction heads").
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rng.h"
#include "models/llm.h"
#include "train/trainer.h"

namespace etrlrec {

struct WarmStartOptions {
  int64_t tokens = 0;                           // 0: none
  int64_t sequence_tokens = 192;
  int64_t first_id = 0, end_id = 0;             // ids [first_id, end_id) are drawn
  TrainerOptions trainer{.learning_rate = 3e-3, .train_batch_size = 16, .logging_steps = 50,
                         .metric_for_best_model = "", .label = "warm start"};
};

struct WarmStartText {
  std::vector<int64_t> ids;
  std::vector<uint8_t> is_known;                // token follows from what stands before it
  std::vector<uint8_t> is_lookup;               // among them: the value of a key
};
// One sequence of `length` tokens.
WarmStartText warm_start_text(int64_t length, int64_t first_id, int64_t end_id, Rng& rng);

// Trains all parameters; checkpoints go to `folder`, which can be removed afterwards. Returns the share of keys whose value
// was the most likely token in the last steps.
double warm_start(Llm& model, const WarmStartOptions& options, const std::filesystem::path& folder);

}  // namespace etrlrec
