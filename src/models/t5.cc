// Forward pass. Linear layers and norms run over all tokens of all rows at once; attention runs
// over rows of equal length, and cross attention over all rows of one source, together.
#include "models/t5.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "models/t5_layers.h"
#include "nn/embedding.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr int64_t kIgnored = -100;

// Rows of equal length that follow each other.
std::vector<RowRun> equal_runs(const std::vector<int64_t>& lengths) {
  std::vector<RowRun> runs;
  for (size_t r = 0; r < lengths.size(); ++r) {
    if (r == 0 || lengths[r] != lengths[r - 1]) runs.emplace_back();
    runs.back().rows += 1;
    runs.back().tokens += lengths[r];
  }
  return runs;
}

// qkv [T, 3 H D] -> [T, H D]; bias [1, H, longest, longest]
Tensor self_attention(const Tensor& qkv, const std::vector<RowRun>& runs, const Tensor& bias) {
  const std::vector<Tensor> pieces = split_rows(qkv, runs);
  std::vector<Tensor> out;
  for (size_t i = 0; i < runs.size(); ++i) {
    const int64_t length = runs[i].tokens / runs[i].rows;
    const std::vector<Tensor> heads = split_heads(pieces[i], runs[i].rows, 3, bias.size(1));
    out.push_back(biased_attention(heads[0], heads[1], heads[2],
                                   bias.narrow(2, 0, length).narrow(3, 0, length)));
  }
  return at::cat(out, 0);
}

std::vector<int64_t> row_lengths(const TokenForest& rows) {
  CHECK(rows.num_tokens() > 0, kInput, "T5: expected at least one row of tokens");
  std::vector<int64_t> lengths;
  for (const Segment& segment : rows.segments) {
    CHECK(segment.parent == -1, kInput, "T5: expected rows, found a tree of segments");
    lengths.push_back(segment.end - segment.begin);
  }
  return lengths;
}

Tensor ids_tensor(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong); }

}  // namespace

T5::T5(const T5Config& config)
    : config_(config), parameters_(allocate_parameters(t5_parameter_groups(config))) {}

T5Weights T5::weights() const { return T5Weights(parameters_, config_, adapters_.pass(noise_)); }

void T5::check_ids(std::span<const int64_t> ids) const {
  for (int64_t id : ids) {
    CHECK(id >= 0 && id < config_.vocab_size, kInput, "T5: expected token ids in [0, {}), found {}",
          config_.vocab_size, id);
  }
}

StateRows T5::embed(const TokenForest& rows, const TrainingNoise& noise) const {
  std::vector<int64_t> lengths = row_lengths(rows);
  const auto prompt = parameters_.find("prompt_embeddings");
  return {embed_forest(parameters_.at("shared.weight"),
                       prompt == parameters_.end() ? Tensor() : prompt->second, rows, noise),
          std::move(lengths)};
}

StateRows T5::encode(const StateRows& inputs_embeds) const {
  check_rows(inputs_embeds, config_.d_model, "T5 encoder");
  const T5Weights weights = this->weights();
  const std::vector<RowRun> runs = equal_runs(inputs_embeds.lengths);
  const int64_t longest =
      *std::max_element(inputs_embeds.lengths.begin(), inputs_embeds.lengths.end());
  const Tensor bias = relative_position_bias(weights.encoder, config_, true, 0, longest, longest);
  ResidualStream x(inputs_embeds.states, config_.layer_norm_epsilon);
  for (const T5Block& block : weights.encoder.blocks) {
    const Tensor qkv = linear(x.normed(block.self_norm), block.qkv);
    x.add(linear(self_attention(qkv, runs, bias), block.o));
    x.add(feed_forward(block, x.normed(block.feed_forward_norm)));
  }
  return {x.normed(weights.encoder.final_layer_norm), inputs_embeds.lengths};
}

Tensor T5::decode(const TokenForest& decoder_rows, const StateRows& encoded,
                  std::span<const int64_t> source_of_row) const {
  check_rows(encoded, config_.d_model, "T5 decoder: encoder states");
  const StateRows inputs = embed(decoder_rows);
  CHECK(source_of_row.size() == inputs.lengths.size(), kInput,
        "T5 decoder: expected the encoder rows of {} rows, found {}", inputs.lengths.size(),
        source_of_row.size());
  check_sources(source_of_row, encoded);
  const T5Weights weights = this->weights();
  const std::vector<RowRun> runs = equal_runs(inputs.lengths),
                            cross_runs = source_runs(inputs.lengths, source_of_row);
  const int64_t longest = *std::max_element(inputs.lengths.begin(), inputs.lengths.end());
  const Tensor bias = relative_position_bias(weights.decoder, config_, false, 0, longest, longest);
  ResidualStream x(inputs.states, config_.layer_norm_epsilon);
  for (const T5Block& block : weights.decoder.blocks) {
    const Tensor qkv = linear(x.normed(block.self_norm), block.qkv);
    x.add(linear(self_attention(qkv, runs, bias), block.o));
    const auto sources =
        source_heads(linear(encoded.states, block.cross_kv), encoded.lengths, config_.num_heads);
    const Tensor q = linear(x.normed(block.cross_norm), block.cross_q);
    x.add(linear(cross_attention(q, cross_runs, sources), block.cross_o));
    x.add(feed_forward(block, x.normed(block.feed_forward_norm)));
  }
  return head_input(x, weights.decoder, config_);
}

const Tensor& T5::head_weight() const {
  return parameters_.at(config_.tie_word_embeddings ? "shared.weight" : "lm_head.weight");
}

StateRows prepend(const Tensor& prefix, const StateRows& rows) {
  std::vector<Tensor> parts;
  StateRows out;
  for (const Tensor& row : rows.states.split_with_sizes(rows.lengths, 0)) {
    parts.insert(parts.end(), {prefix, row});
    out.lengths.push_back(prefix.size(0) + row.size(0));
  }
  out.states = at::cat(parts, 0);
  return out;
}

TokenForest pack_rows(const Tensor& ids, const Tensor& attention_mask) {
  CHECK(ids.dim() == 2 && ids.sizes() == attention_mask.sizes(), kInput,
        "padded batch: expected token ids and attention_mask of the same two dimensions");
  const Tensor tokens = ids.to(at::kLong).contiguous();
  const Tensor mask = attention_mask.to(at::kBool).contiguous();
  const int64_t width = ids.size(1);
  TokenForest rows;
  for (int64_t r = 0; r < ids.size(0); ++r) {
    const bool* seen = mask.const_data_ptr<bool>() + r * width;
    const bool* begin = std::find(seen, seen + width, true);
    const bool* end = std::find(begin, seen + width, false);
    CHECK(begin != end && std::find(end, seen + width, true) == seen + width, kInput,
          "padded batch: row {}: expected one block of ones in attention_mask", r);
    rows.add(-1, {tokens.const_data_ptr<int64_t>() + r * width + (begin - seen),
                  static_cast<size_t>(end - begin)});
  }
  return rows;
}

TokenForest shift_right(std::span<const std::vector<int64_t>> labels, const T5Config& config) {
  TokenForest rows;
  for (const std::vector<int64_t>& row : labels) {
    std::vector<int64_t> ids{config.decoder_start_token_id};
    ids.insert(ids.end(), row.begin(), row.empty() ? row.end() : row.end() - 1);
    std::replace(ids.begin(), ids.end(), kIgnored, config.pad_token_id);
    rows.add(-1, ids);
  }
  return rows;
}

Tensor seq2seq_loss(const T5& model, const StateRows& encoded,
                    std::span<const std::vector<int64_t>> labels) {
  CHECK(labels.size() == encoded.lengths.size(), kInput,
        "T5 loss: expected labels of {} rows, found {}", encoded.lengths.size(), labels.size());
  const TokenForest rows = shift_right(labels, model.config());
  std::vector<int64_t> source(labels.size()), predicting, targets;
  std::iota(source.begin(), source.end(), 0);
  for (size_t r = 0; r < labels.size(); ++r) {
    for (size_t t = 0; t < labels[r].size(); ++t) {
      if (labels[r][t] == kIgnored) continue;
      predicting.push_back(rows.segments[r].begin + static_cast<int64_t>(t));
      targets.push_back(labels[r][t]);
    }
  }
  CHECK(!targets.empty(), kInput, "T5 loss: expected at least one label that is not {}", kIgnored);
  model.check_ids(targets);
  const auto count = static_cast<int64_t>(targets.size());
  const Tensor states = model.decode(rows, encoded, source).index_select(0, ids_tensor(predicting));
  return linear_nll(states, model.head_weight(), ids_tensor(targets),
                    at::full({count}, 1.0 / static_cast<double>(count)));
}

}  // namespace etrlrec
