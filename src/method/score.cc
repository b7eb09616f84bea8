#include "method/score.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/model_folder.h"
#include "models/model_adapters.h"
#include "models/model_files.h"
#include "nn/logprob.h"
#include "nn/safetensors.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

std::vector<std::vector<int64_t>> read_rows(const fs::path& path) {
  const Json json = read_json(path);
  CHECK(json.is_array() && !json.empty(), kInput,
        "{}: expected a list of lists of token ids, found {}", path.string(), json.type_name());
  std::vector<std::vector<int64_t>> rows;
  for (size_t r = 0; r < json.size(); ++r) {
    const bool good = json[r].is_array() && !json[r].empty() &&
                      std::all_of(json[r].begin(), json[r].end(),
                                  [](const Json& id) { return id.is_number_integer(); });
    CHECK(good, kInput, "{}: row {}: expected a list of at least one token id", path.string(), r);
    rows.push_back(json[r].get<std::vector<int64_t>>());
  }
  return rows;
}

std::vector<int64_t> joined(std::vector<int64_t> front, const std::vector<int64_t>& ids) {
  front.insert(front.end(), ids.begin(), ids.end());
  return front;
}

// The rows of a model, with what stands before them and what an encoder reads.
struct ScoredRows {
  std::vector<std::vector<int64_t>> rows, sources;  // no sources without an encoder
  std::vector<int64_t> front;                       // virtual tokens, before the prompt of a row
};

ScoredRows read_rows_of(const LanguageModel& model, const ScoreOptions& options) {
  ScoredRows scored;
  scored.front = model.prompts().ids(model.vocab_size());
  if (!model.has_encoder()) {
    CHECK(options.decoder_ids.empty(), kUsage,
          "--decoder-ids: {} is not an encoder-decoder model; all ids belong in --ids",
          options.model);
    scored.rows = read_rows(options.ids);
    return scored;
  }
  CHECK(!options.decoder_ids.empty(), kUsage,
        "--decoder-ids: {} is an encoder-decoder model, which needs them", options.model);
  scored.sources = read_rows(options.ids);
  scored.rows = read_rows(options.decoder_ids);
  CHECK(scored.sources.size() == scored.rows.size(), kInput,
        "{}: expected {} rows as in {}, found {}", options.decoder_ids, scored.sources.size(),
        options.ids, scored.rows.size());
  return scored;
}

// States of the tokens of row r, [length, C].
at::Tensor states_of(const LanguageModel& model, const ScoredRows& scored, size_t r) {
  TokenForest forest;
  if (model.has_encoder()) {
    forest.add(-1, scored.rows[r], joined(scored.front, scored.sources[r]));
    return model.hidden_states(forest);
  }
  forest.add(-1, joined(scored.front, scored.rows[r]));
  return model.hidden_states(forest).slice(0, std::ssize(scored.front));
}

// Writes logprobs.<row> and logits.<row>; one row at a time: memory is that of the longest.
void score_rows(const LanguageModel& model, const ScoredRows& scored, const ScoreOptions& options) {
  const at::Tensor& head_weight = model.head_weight();
  ParameterMap tensors;
  ProgressBar bar("score", std::ssize(scored.rows));
  int64_t tokens = 0;
  for (size_t r = 0; r < scored.rows.size(); ++r) {
    const std::vector<int64_t>& row = scored.rows[r];
    const at::Tensor states = states_of(model, scored, r);
    const int64_t length = std::ssize(row);
    at::Tensor& logprobs = tensors[fmt::format("logprobs.{}", r)];
    if (length > 1) {
      const at::Tensor targets = at::tensor(row).slice(0, 1);
      logprobs = linear_logprob(states.slice(0, 0, length - 1), head_weight, targets, false,
                                options.numerics)
                     .logprobs;
    } else {
      logprobs = at::empty({0});
    }
    if (options.logits)
      tensors[fmt::format("logits.{}", r)] = weight_product(states, head_weight, options.numerics);
    tokens += length;
    bar.update(static_cast<int64_t>(r) + 1);
  }
  save_safetensors(tensors, options.out);
  log_info("{}: {} rows, {} tokens", options.out, scored.rows.size(), tokens);
}

}  // namespace

void score(const ScoreOptions& options) {
  const at::NoGradGuard no_grad;
  const auto model =
      load_language_model(options.model, parse_storage(options.dtype), options.numerics);
  std::vector<NamedAdapter> adapters = prompts_of_folder(options.model);
  for (NamedAdapter& adapter : name_adapters(adapters, options.adapters))
    adapters.push_back(std::move(adapter));
  for (const NamedAdapter& adapter : adapters) load_adapter(*model, adapter.folder, adapter.name);
  score_rows(*model, read_rows_of(*model, options), options);
}

}  // namespace etrlrec
