#include "models/tisasrec.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "models/config_fields.h"
#include "models/padded_rows.h"
#include "models/random_matrix.h"
#include "models/recommender_file.h"
#include "models/trained_options.h"

namespace etrlrec {
namespace {

using at::Tensor;
namespace fs = std::filesystem;

// Attention holds a score of every query and interval.
constexpr int64_t kMostTimeSpan = 4096;

void check_tisasrec(const TiSasrecConfig& config, const std::string& name,
                    ExitCode code = ExitCode::kModel) {
  check_item_transformer(config.layers, name, code);
  check_fixed_keys(config.layers, TiSasrecConfig{}.layers, name, code);
  require(config.time_span > 0 && config.time_span <= kMostTimeSpan, code,
          "{}: time_span: expected a value in [1, {}], found {}", name, kMostTimeSpan,
          config.time_span);
}

OrderedJson tisasrec_json(const TiSasrecConfig& config) {
  OrderedJson json = to_json(config.layers);
  json["time_span"] = config.time_span;
  return json;
}

constexpr RecommenderOption kTiSasrecOptions[] = {
    kHiddenSize,
    kNumHiddenLayers,
    kNumAttentionHeads,
    kIntermediateSize,
    {"--time-span", "time_span", int64_t{256},
     "greatest interval that is told apart, in smallest gaps of the user", "64, 256, 1024"},
    kDropout,
    kMaxLength,
};

TiSasrecConfig tisasrec_config(int64_t num_items, const OptionValues& given) {
  TiSasrecConfig config;
  config.layers.num_items = num_items;
  set_layers(given, config.layers);
  config.time_span = option_or(given, "time_span", config.time_span);
  return config;
}

// Intervals of a padded batch, int64 [S, 1, L, L].
Tensor padded_intervals(const ItemSequences& sequences, const PaddedRows& rows, int64_t time_span) {
  CHECK(std::ssize(sequences.times) == sequences.num_tokens(), kInput,
        "tisasrec: expected the time of each item, found {} of {}", sequences.times.size(),
        sequences.num_tokens());
  Tensor intervals = at::zeros({rows.sequences, 1, rows.length, rows.length}, at::kLong);
  int64_t* out = intervals.data_ptr<int64_t>();
  for (int64_t s = 0; s < rows.sequences; ++s) {
    const Segment& segment = sequences.segments[static_cast<size_t>(s)];
    const auto length = static_cast<size_t>(segment.end - segment.begin);
    const auto own = time_intervals(
        std::span(sequences.times).subspan(static_cast<size_t>(segment.begin), length), time_span);
    for (size_t i = 0; i < length; ++i)
      std::copy_n(own.data() + i * length, length,
                  out + (s * rows.length + static_cast<int64_t>(i)) * rows.length);
  }
  return intervals;
}

// [rows, H d] -> [H, rows, d]
Tensor table_heads(const Tensor& table, int64_t heads) {
  return table.view({table.size(0), heads, -1}).transpose(0, 1);
}

}  // namespace

std::vector<int64_t> time_intervals(std::span<const int64_t> times, int64_t time_span) {
  const size_t length = times.size();
  std::vector<int64_t> intervals(length * length, 0);
  int64_t unit = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < length; ++i) {
    if (i > 0 && times[i] > times[i - 1]) unit = std::min(unit, times[i] - times[i - 1]);
    for (size_t j = 0; j < i; ++j)
      intervals[i * length + j] = std::min(time_span, (times[i] - times[j]) / unit);
  }
  return intervals;
}

TiSasrec::TiSasrec(const TiSasrecConfig& config, uint64_t seed) : config_(config) {
  check_tisasrec(config, "tisasrec");
  const ItemTransformerConfig& layers = config_.layers;
  parameters_ = item_transformer_parameters(layers, seed);
  for (const char* side : {"key", "value"}) {
    const auto add_table = [&](const std::string& name, int64_t rows) {
      parameters_[name] =
          normal_matrix(rows, layers.hidden_size, layers.initializer_range, seed, name);
    };
    add_table(fmt::format("position_embeddings.{}.weight", side), layers.max_length);
    add_table(fmt::format("interval_embeddings.{}.weight", side), config.time_span + 1);
  }
  for (auto& [name, tensor] : parameters_) tensor.requires_grad_();
}

Tensor TiSasrec::states(const ItemSequences& sequences, Rng* rng, const Tensor& kept) const {
  const ItemTransformerConfig& layers = config_.layers;
  check_sequences(sequences, layers.num_items, layers.max_length, "tisasrec");
  const PaddedRows rows = pad_rows(sequences);
  const int64_t heads = layers.num_attention_heads;
  const double scale = 1 / std::sqrt(static_cast<double>(layers.hidden_size / heads));
  const Tensor intervals =
      padded_intervals(sequences, rows, config_.time_span).expand({-1, heads, -1, -1});
  const Tensor later =
      at::ones({rows.length, rows.length}, at::kBool).triu(1);  // no query looks ahead
  // The newest item stands at the end of the positions, as in models/sasrec.h.
  std::vector<int64_t> positions;
  for (const Segment& segment : sequences.segments)
    for (int64_t t = segment.begin; t < segment.end; ++t)
      positions.push_back(layers.max_length + t - segment.end);
  const Tensor places = at::tensor(positions);
  const auto position_rows = [&](const char* side) {
    const std::string name = fmt::format("position_embeddings.{}.weight", side);
    return at::embedding(parameters_.at(name), places);  // [T, C]
  };
  const auto interval_table = [&](const char* side) {
    return table_heads(parameters_.at(fmt::format("interval_embeddings.{}.weight", side)), heads);
  };
  const Tensor key_positions = position_rows("key"), value_positions = position_rows("value"),
               key_intervals = interval_table("key"), value_intervals = interval_table("value");
  const auto attend = [&](const Tensor& qkv, int64_t) {
    const auto parts = qkv.chunk(3, 1);
    const Tensor queries = to_heads(parts[0], rows, heads);  // [S, H, L, d]
    const Tensor keys = to_heads(parts[1] + key_positions, rows, heads);
    const Tensor values = to_heads(parts[2] + value_positions, rows, heads);
    const Tensor by_interval = at::matmul(queries, key_intervals.transpose(1, 2));
    const Tensor logits =
        (at::matmul(queries, keys.transpose(2, 3)) + by_interval.gather(3, intervals)) * scale;
    const Tensor shares = at::softmax(logits.masked_fill(later, -1e30), 3);  // [S, H, L, L]
    const Tensor of_interval =
        at::zeros_like(by_interval).scatter_add(3, intervals, shares);  // [S, H, L, time_span + 1]
    return from_heads(at::matmul(shares, values) + at::matmul(of_interval, value_intervals), rows);
  };
  DropoutDraws dropout(layers.dropout, rng);
  const Tensor embedded = masked_dropout(at::embedding(item_weight(), at::tensor(sequences.ids)),
                                         dropout.next(), numerics());
  return ItemTransformer(layers, parameters_, numerics()).run(embedded, attend, dropout, kept);
}

void TiSasrec::save(const fs::path& folder) const {
  save_recommender(folder, "tisasrec", num_items(), tisasrec_json(config_), parameters_);
}

std::unique_ptr<TiSasrec> TiSasrec::load(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const Json json = read_json(file);
  TiSasrecConfig config;
  config.layers = read_item_transformer(json, file.string());
  config.time_span = get<int64_t>(json, "time_span", file.string());
  check_tisasrec(config, file.string());
  auto model = std::make_unique<TiSasrec>(config, 0);
  load_parameters(folder, model->parameters_);
  return model;
}

const RecommenderType kTiSasrec = {
    .name = "tisasrec",
    .summary = "self-attention over the history and its time intervals",
    .paper = "Li et al. 2020",
    .loss = "ce",
    .heading = "TiSASRec",
    .options = kTiSasrecOptions,
    .configure =
        [](const OptionValues& given) {
          const TiSasrecConfig config = tisasrec_config(1, given);
          check_tisasrec(config, "tisasrec", ExitCode::kUsage);
          return tisasrec_json(config);
        },
    .create = [](const InteractionLog& log, const OptionValues& given,
                 uint64_t seed) -> std::unique_ptr<TrainableRecommender> {
      return std::make_unique<TiSasrec>(tisasrec_config(log.num_items, given), seed);
    },
    .load = [](const fs::path& folder) -> std::unique_ptr<Recommender> {
      return TiSasrec::load(folder);
    },
};

}  // namespace etrlrec
