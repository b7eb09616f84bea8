#include "models/t5_layers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "base/check.h"

namespace etrlrec {
namespace {

using at::Tensor;

std::string block_prefix(const char* stack, int64_t block) {
  return fmt::format("{}.block.{}.layer.", stack, block);
}

// Both stacks have the same blocks, except that the decoder's have cross attention as layer 1.
T5Stack read_stack(const ParameterMap& parameters, const T5Config& config, const AdapterPass& pass,
                   bool is_decoder) {
  const char* name = is_decoder ? "decoder" : "encoder";
  T5Stack stack;
  stack.final_layer_norm = parameters.at(fmt::format("{}.final_layer_norm.weight", name));
  stack.relative_attention_bias = parameters.at(
      fmt::format("{}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", name));
  const int64_t blocks = is_decoder ? config.num_decoder_layers : config.num_layers;
  for (int64_t b = 0; b < blocks; ++b) {
    const std::string prefix = block_prefix(name, b);
    const auto part = [&](const std::string& module) {
      return linear_part(parameters, prefix + module, pass);
    };
    const std::string last = is_decoder ? "2." : "1.", dense = last + "DenseReluDense.";
    T5Block block;
    block.self_norm = parameters.at(prefix + "0.layer_norm.weight");
    block.qkv = {part("0.SelfAttention.q"), part("0.SelfAttention.k"), part("0.SelfAttention.v")};
    block.o = {part("0.SelfAttention.o")};
    if (is_decoder) {
      block.cross_norm = parameters.at(prefix + "1.layer_norm.weight");
      block.cross_q = {part("1.EncDecAttention.q")};
      block.cross_kv = {part("1.EncDecAttention.k"), part("1.EncDecAttention.v")};
      block.cross_o = {part("1.EncDecAttention.o")};
    }
    block.feed_forward_norm = parameters.at(prefix + last + "layer_norm.weight");
    if (config.is_gated()) {
      block.wi = {part(dense + "wi_0"), part(dense + "wi_1")};
    } else {
      block.wi = {part(dense + "wi")};
    }
    block.wo = {part(dense + "wo")};
    stack.blocks.push_back(std::move(block));
  }
  return stack;
}

void add_stack_groups(const T5Config& config, bool is_decoder, ParameterGroups& groups) {
  const char* name = is_decoder ? "decoder" : "encoder";
  const int64_t hidden = config.d_model, inner = config.num_heads * config.d_kv;
  const auto weight = [](const std::string& module, int64_t out, int64_t in) {
    return std::pair(module + ".weight", std::vector<int64_t>{out, in});
  };
  const auto norm = [&](const std::string& module) {
    groups.push_back({{module + ".weight", {hidden}}});
  };
  const int64_t blocks = is_decoder ? config.num_decoder_layers : config.num_layers;
  for (int64_t b = 0; b < blocks; ++b) {
    const std::string p = block_prefix(name, b), self = p + "0.SelfAttention.",
                      cross = p + "1.EncDecAttention.", last = p + (is_decoder ? "2." : "1."),
                      dense = last + "DenseReluDense.";
    groups.push_back({weight(self + "q", inner, hidden), weight(self + "k", inner, hidden),
                      weight(self + "v", inner, hidden)});
    groups.push_back({weight(self + "o", hidden, inner)});
    if (b == 0) {
      groups.push_back({weight(self + "relative_attention_bias",
                               config.relative_attention_num_buckets, config.num_heads)});
    }
    norm(p + "0.layer_norm");
    if (is_decoder) {
      groups.push_back({weight(cross + "q", inner, hidden)});
      groups.push_back({weight(cross + "k", inner, hidden), weight(cross + "v", inner, hidden)});
      groups.push_back({weight(cross + "o", hidden, inner)});
      norm(p + "1.layer_norm");
    }
    if (config.is_gated()) {
      groups.push_back({weight(dense + "wi_0", config.d_ff, hidden),
                        weight(dense + "wi_1", config.d_ff, hidden)});
    } else {
      groups.push_back({weight(dense + "wi", config.d_ff, hidden)});
    }
    groups.push_back({weight(dense + "wo", hidden, config.d_ff)});
    norm(last + "layer_norm");
  }
  norm(fmt::format("{}.final_layer_norm", name));
}

}  // namespace

T5Weights::T5Weights(const ParameterMap& parameters, const T5Config& config,
                     const AdapterPass& pass, Tensor prompt_table)
    : shared(parameters.at("shared.weight")),
      prompt_embeddings(std::move(prompt_table)),
      encoder(read_stack(parameters, config, pass, false)),
      decoder(read_stack(parameters, config, pass, true)) {}

ParameterGroups t5_parameter_groups(const T5Config& config) {
  ParameterGroups groups;
  groups.push_back({{"shared.weight", {config.vocab_size, config.d_model}}});
  add_stack_groups(config, false, groups);
  add_stack_groups(config, true, groups);
  if (!config.tie_word_embeddings)
    groups.push_back({{"lm_head.weight", {config.vocab_size, config.d_model}}});
  return groups;
}

Tensor ResidualStream::normed(const Tensor& weight) {
  if (!delta_.defined()) return rms_norm(x_, weight, eps_, numerics_);
  Tensor out;
  std::tie(x_, out) = add_rms_norm(x_, delta_, weight, eps_, numerics_);
  return out;
}

// In fp32 and in this order of operations, so that distances on the border of two buckets fall as
// they do in the reference implementation.
Tensor relative_position_bucket(const Tensor& relative_position, bool bidirectional,
                                int64_t num_buckets, int64_t max_distance) {
  const int64_t side = bidirectional ? num_buckets / 2 : num_buckets, max_exact = side / 2;
  const Tensor distance =
      bidirectional ? relative_position.abs() : relative_position.neg().clamp_min(0);
  const Tensor logarithmic =
      at::log(distance.clamp_min(max_exact).to(at::kFloat) / static_cast<double>(max_exact)) /
      std::log(static_cast<double>(max_distance) / static_cast<double>(max_exact)) *
      static_cast<double>(side - max_exact);
  const Tensor large = (logarithmic.to(at::kLong) + max_exact).clamp_max(side - 1);
  const Tensor bucket = at::where(distance < max_exact, distance, large);
  return bidirectional ? bucket + (relative_position > 0).to(at::kLong) * side : bucket;
}

Tensor relative_bias(const T5Stack& stack, const T5Config& config, bool bidirectional,
                     const Tensor& relative_position) {
  const Tensor buckets = relative_position_bucket(relative_position, bidirectional,
                                                  config.relative_attention_num_buckets,
                                                  config.relative_attention_max_distance);
  return at::embedding(stack.relative_attention_bias, buckets)
      .permute({2, 0, 1})
      .unsqueeze(0)
      .contiguous();
}

Tensor relative_position_bias(const T5Stack& stack, const T5Config& config, bool bidirectional,
                              int64_t query_begin, int64_t queries, int64_t keys) {
  const Tensor relative = at::arange(keys, at::kLong).unsqueeze(0) -
                          at::arange(query_begin, query_begin + queries, at::kLong).unsqueeze(1);
  const Tensor bias = relative_bias(stack, config, bidirectional, relative);
  if (bidirectional) return bias;
  return bias.masked_fill(relative > 0, -std::numeric_limits<float>::infinity());
}

Tensor feed_forward(const T5Block& block, const Tensor& normed, const Numerics& numerics) {
  const Tensor inner = linear(normed, block.wi, numerics);
  if (block.wi.size() == 1) return linear(at::relu(inner), block.wo, numerics);
  const std::vector<Tensor> halves = inner.chunk(2, 1);
  return linear(at::gelu(halves[0], "tanh") * halves[1], block.wo, numerics);
}

std::vector<Tensor> split_heads(const Tensor& packed, int64_t rows, int64_t parts,
                                int64_t num_heads) {
  const int64_t length = packed.size(0) / rows, head_dim = packed.size(1) / (parts * num_heads);
  return packed.reshape({rows, length, parts, num_heads, head_dim})
      .permute({2, 0, 3, 1, 4})
      .unbind(0);
}

Tensor biased_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                        const Tensor& bias) {
  const std::optional<Tensor> mask = bias.defined() ? std::optional(bias) : std::nullopt;
  const Tensor out = at::scaled_dot_product_attention(query, key, value, mask, 0.0, false, 1.0);
  return out.transpose(1, 2).reshape({query.size(0) * query.size(2), -1});
}

std::vector<RowRun> equal_runs(const std::vector<int64_t>& lengths) {
  std::vector<RowRun> runs;
  for (size_t r = 0; r < lengths.size(); ++r) {
    if (r == 0 || lengths[r] != lengths[r - 1]) runs.emplace_back();
    runs.back().rows += 1;
    runs.back().tokens += lengths[r];
  }
  return runs;
}

std::vector<RowRun> source_runs(const std::vector<int64_t>& lengths,
                                std::span<const int64_t> source_of_row) {
  std::vector<RowRun> runs;
  for (size_t r = 0; r < lengths.size(); ++r) {
    if (r == 0 || source_of_row[r] != source_of_row[r - 1])
      runs.push_back({0, 0, source_of_row[r], {}});
    runs.back().rows += 1;
    runs.back().tokens += lengths[r];
  }
  return runs;
}

std::vector<Tensor> split_rows(const Tensor& x, const std::vector<RowRun>& runs) {
  std::vector<int64_t> sizes;
  for (const RowRun& run : runs) sizes.push_back(run.tokens);
  return x.split_with_sizes(sizes, 0);
}

std::vector<KeyValue> source_heads(const Tensor& kv, const std::vector<int64_t>& lengths,
                                   int64_t num_heads) {
  std::vector<KeyValue> sources;
  for (const Tensor& source : kv.split_with_sizes(lengths, 0)) {
    const std::vector<Tensor> heads = split_heads(source, 1, 2, num_heads);
    sources.push_back({heads[0], heads[1]});
  }
  return sources;
}

Tensor self_attention(const Tensor& qkv, const std::vector<RowRun>& runs, const Tensor& bias,
                      int64_t num_heads) {
  const std::vector<Tensor> pieces = split_rows(qkv, runs);
  std::vector<Tensor> out;
  for (size_t i = 0; i < runs.size(); ++i) {
    const int64_t length = runs[i].tokens / runs[i].rows;
    const std::vector<Tensor> heads = split_heads(pieces[i], runs[i].rows, 3, num_heads);
    out.push_back(biased_attention(
        heads[0], heads[1], heads[2],
        runs[i].bias.defined() ? runs[i].bias : bias.narrow(2, 0, length).narrow(3, 0, length)));
  }
  return at::cat(out, 0);
}

Tensor cross_attention(const Tensor& q, const std::vector<RowRun>& runs,
                       const std::vector<KeyValue>& sources) {
  const std::vector<Tensor> queries = split_rows(q, runs);
  std::vector<Tensor> out;
  for (size_t i = 0; i < runs.size(); ++i) {
    const KeyValue& source = sources[static_cast<size_t>(runs[i].source)];
    const Tensor query = split_heads(queries[i], 1, 1, source.key.size(1))[0];
    out.push_back(biased_attention(query, source.key, source.value, {}));
  }
  return at::cat(out, 0);
}

Tensor head_input(ResidualStream& x, const T5Stack& decoder, const T5Config& config) {
  const Tensor out = x.normed(decoder.final_layer_norm);
  if (!config.scale_decoder_outputs) return out;
  return out / std::sqrt(static_cast<double>(config.d_model));
}

void check_rows(const StateRows& rows, int64_t d_model, const char* what) {
  CHECK(!rows.lengths.empty() && *std::min_element(rows.lengths.begin(), rows.lengths.end()) > 0,
        kInput, "{}: expected rows of at least one token", what);
  const int64_t tokens = std::accumulate(rows.lengths.begin(), rows.lengths.end(), int64_t{0});
  CHECK(rows.states.dim() == 2 && rows.states.size(0) == tokens && rows.states.size(1) == d_model,
        kInput, "{}: expected states [{}, {}], found {} x {}", what, tokens, d_model,
        rows.states.size(0), rows.states.size(-1));
}

void check_sources(std::span<const int64_t> source_of_row, const StateRows& encoded) {
  for (int64_t source : source_of_row) {
    CHECK(source >= 0 && source < static_cast<int64_t>(encoded.lengths.size()), kInput,
          "T5 decoder: expected encoder rows in [0, {}), found {}", encoded.lengths.size(), source);
  }
}

}  // namespace etrlrec
