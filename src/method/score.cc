#include "method/score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/model_folder.h"
#include "models/llm_adapters.h"
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

// What the head multiplies for the tokens of row r, [length, hidden].
using StatesOfRow = std::function<at::Tensor(size_t row)>;

// Writes logprobs.<row> and logits.<row>; one row at a time: memory is that of the longest.
void score_rows(const std::vector<std::vector<int64_t>>& rows, const at::Tensor& head_weight,
                const StatesOfRow& states_of, const ScoreOptions& options) {
  ParameterMap tensors;
  ProgressBar bar("score", static_cast<int64_t>(rows.size()));
  int64_t tokens = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    const at::Tensor states = states_of(r);
    const auto length = static_cast<int64_t>(rows[r].size());
    at::Tensor& logprobs = tensors[fmt::format("logprobs.{}", r)];
    if (length > 1) {
      const at::Tensor targets = at::tensor(rows[r]).slice(0, 1);
      logprobs = linear_logprob(states.slice(0, 0, length - 1), head_weight, targets).logprobs;
    } else {
      logprobs = at::empty({0});
    }
    if (options.logits) tensors[fmt::format("logits.{}", r)] = weight_product(states, head_weight);
    tokens += length;
    bar.update(static_cast<int64_t>(r) + 1);
  }
  save_safetensors(tensors, options.out);
  log_info("{}: {} rows, {} tokens", options.out, rows.size(), tokens);
}

TokenForest one_row(std::vector<int64_t> front, const std::vector<int64_t>& ids) {
  front.insert(front.end(), ids.begin(), ids.end());
  TokenForest row;
  row.add(-1, front);
  return row;
}

void score_decoder(const ScoreOptions& options) {
  CHECK(options.decoder_ids.empty(), kUsage,
        "--decoder-ids: {} is not an encoder-decoder model; all ids belong in --ids",
        options.model);
  const auto rows = read_rows(options.ids);
  const std::unique_ptr<Llm> model = load_llm(options.model, parse_storage(options.dtype));
  std::vector<int64_t> front;
  const fs::path own = prompt_folder(options.model);  // of a folder that holds a trained prompt
  if (!own.empty()) front = load_adapter(*model, own).virtual_tokens;
  if (!options.adapter.empty()) {
    const LoadedAdapter adapter = load_adapter(*model, options.adapter);
    front.insert(front.end(), adapter.virtual_tokens.begin(), adapter.virtual_tokens.end());
  }
  score_rows(
      rows, model->head_weight(),
      [&](size_t r) {
        return model->hidden_states(one_row(front, rows[r])).slice(0, std::ssize(front));
      },
      options);
}

void score_t5(const ScoreOptions& options) {
  CHECK(options.dtype == "float32", kUsage,
        "--dtype {}: encoder-decoder models are computed in float32 only", options.dtype);
  CHECK(!options.decoder_ids.empty(), kUsage,
        "--decoder-ids: {} is an encoder-decoder model, which needs them", options.model);
  const auto sources = read_rows(options.ids), rows = read_rows(options.decoder_ids);
  CHECK(sources.size() == rows.size(), kInput, "{}: expected {} rows as in {}, found {}",
        options.decoder_ids, sources.size(), options.ids, rows.size());
  const std::unique_ptr<T5> model = load_t5(options.model);
  std::vector<int64_t> front;
  if (!options.adapter.empty()) front = load_adapter(*model, options.adapter).virtual_tokens;
  const std::vector<int64_t> source{0};
  score_rows(
      rows, model->head_weight(),
      [&](size_t r) {
        return model->decode(one_row({}, rows[r]), model->encode(one_row(front, sources[r])),
                             source);
      },
      options);
}

}  // namespace

void score(const ScoreOptions& options) {
  const at::NoGradGuard no_grad;
  if (is_t5_folder(options.model)) {
    score_t5(options);
  } else {
    score_decoder(options);
  }
}

}  // namespace etrlrec
