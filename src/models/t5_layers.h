// Internal to models/: what the full and the cached forward pass of T5 share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "models/t5_config.h"
#include "models/weights.h"
#include "nn/layers.h"
#include "tuning/adapters.h"

namespace etrlrec {

// Rows of vectors of different lengths, one after the other.
struct StateRows {
  at::Tensor states;             // [T, d_model]
  std::vector<int64_t> lengths;  // [B], each at least 1; their sum is T
};

struct T5Block {
  at::Tensor self_norm, cross_norm, feed_forward_norm;
  std::vector<LinearPart> qkv, o;
  std::vector<LinearPart> cross_q, cross_kv, cross_o;  // decoder only
  std::vector<LinearPart> wi, wo;                      // wi: one part, or gate and value
};

struct T5Stack {
  at::Tensor relative_attention_bias;  // [buckets, H], held by block 0 and used by all
  at::Tensor final_layer_norm;
  std::vector<T5Block> blocks;
};

// Handles to the parameters as the forward pass reads them.
struct T5Weights {
  // prompt_table: rows of the virtual tokens [n, d_model], or undefined.
  T5Weights(const ParameterMap& parameters, const T5Config& config, const AdapterPass& pass,
            at::Tensor prompt_table);
  at::Tensor shared, prompt_embeddings;
  T5Stack encoder, decoder;
  Numerics numerics;
};

ParameterGroups t5_parameter_groups(const T5Config& config);

// The residual stream of a stack: every block's output is added in the norm that follows it.
class ResidualStream {
 public:
  ResidualStream(at::Tensor x, double eps, const Numerics& numerics)
      : x_(std::move(x)), eps_(eps), numerics_(numerics) {}
  void add(at::Tensor delta) { delta_ = std::move(delta); }
  at::Tensor normed(const at::Tensor& weight);  // [T, d_model]

 private:
  at::Tensor x_, delta_;
  double eps_;
  Numerics numerics_;
};

// Buckets of relative positions key - query (int64, any shape), int64 of the same shape (Raffel et
// al. 2020, section 2.1): half of them exact, half logarithmic up to max_distance. Bidirectional:
// half of the buckets for either side; otherwise all are for keys before the query.
at::Tensor relative_position_bucket(const at::Tensor& relative_position, bool bidirectional,
                                    int64_t num_buckets, int64_t max_distance);
// Bias of relative positions key - query [queries, keys] -> [1, H, queries, keys]; no mask.
at::Tensor relative_bias(const T5Stack& stack, const T5Config& config, bool bidirectional,
                         const at::Tensor& relative_position);
// Bias of queries at positions [query_begin, query_begin + queries) and keys at [0, keys),
// [1, H, queries, keys]; -inf on keys after the query unless bidirectional.
at::Tensor relative_position_bias(const T5Stack& stack, const T5Config& config, bool bidirectional,
                                  int64_t query_begin, int64_t queries, int64_t keys);

// [T, d_model] -> [T, d_model]
at::Tensor feed_forward(const T5Block& block, const at::Tensor& normed, const Numerics& numerics);

// Heads of `parts` products side by side, [rows * length, parts * H * D] -> parts tensors
// [rows, H, length, D].
std::vector<at::Tensor> split_heads(const at::Tensor& packed, int64_t rows, int64_t parts,
                                    int64_t num_heads);
// softmax(query key^T + bias) value, heads merged: query [B, H, T, D], key and value [B, H, S, D],
// bias broadcast to [B, H, T, S] or undefined -> [B * T, H * D].
at::Tensor biased_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& bias);

// Rows that are attended over together; `tokens` is the sum of their lengths.
struct RowRun {
  int64_t rows = 0, tokens = 0;
  int64_t source = 0;  // cross attention only
  at::Tensor bias;     // self attention of a tree with branches only, [1, H, tokens, tokens]
};
// Rows of equal length that follow each other.
std::vector<RowRun> equal_runs(const std::vector<int64_t>& lengths);
// Rows of one source that follow each other.
std::vector<RowRun> source_runs(const std::vector<int64_t>& lengths,
                                std::span<const int64_t> source_of_row);
// The rows of x, [T, C], run by run; one gradient buffer for all pieces, whatever their number.
std::vector<at::Tensor> split_rows(const at::Tensor& x, const std::vector<RowRun>& runs);

struct KeyValue {
  at::Tensor key, value;  // [1, H, S, D]
};
// kv [sum of lengths, 2 H D] -> keys and values of every source.
std::vector<KeyValue> source_heads(const at::Tensor& kv, const std::vector<int64_t>& lengths,
                                   int64_t num_heads);
// qkv [T, 3 H D] -> [T, H D]; bias [1, H, longest, longest] of the runs without one of their own.
at::Tensor self_attention(const at::Tensor& qkv, const std::vector<RowRun>& runs,
                          const at::Tensor& bias, int64_t num_heads);
// q [T, H D] -> [T, H D]
at::Tensor cross_attention(const at::Tensor& q, const std::vector<RowRun>& runs,
                           const std::vector<KeyValue>& sources);

// What the head multiplies, [T, d_model].
at::Tensor head_input(ResidualStream& x, const T5Stack& decoder, const T5Config& config);

// Errors (kInput) unless the lengths are those of the states, and sources are rows of `encoded`.
void check_rows(const StateRows& rows, int64_t d_model, const char* what);
void check_sources(std::span<const int64_t> source_of_row, const StateRows& encoded);

}  // namespace etrlrec
