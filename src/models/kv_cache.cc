#include "models/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "nn/weight.h"

namespace etrlrec {

SpanMemory::SpanMemory(int64_t num_layers, const HeadShape& shape, int64_t count, KeyLayout layout,
                       at::Device device)
    : count_(count),
      heads_(shape.num_key_value_heads),
      lists_(num_layers * heads_, count, shape.head_dim, layout, device) {}

bool SpanMemory::fits(int64_t num_layers, const HeadShape& shape, KeyLayout layout) const {
  return heads_ == shape.num_key_value_heads &&
         lists_.has_layout(num_layers * heads_, shape.head_dim, layout);
}

DecoderCache::DecoderCache(const LlmConfig& config, DecoderWeights weights,
                           const Numerics& numerics, int64_t num_slots, int64_t capacity)
    : shape_{config.num_attention_heads, config.num_key_value_heads, config.head_dim},
      numerics_(numerics),
      norm_eps_(static_cast<float>(config.rms_norm_eps)),
      weights_(std::move(weights)),
      width_(simd::padded(config.head_dim)),
      num_slots_(num_slots),
      capacity_(capacity),
      scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)))) {
  const at::Tensor& weight = weights_.layers[0].o_proj[0].weight;
  shape_.uses_bfloat16_math = config.attention_uses_bfloat16_math(storage_of(weight), numerics);
  if (shape_.uses_bfloat16_math) layout_ = KeyLayout::kPairs;
  if (takes_plain_way(weight, numerics)) layout_ = KeyLayout::kPlain;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    slots_.emplace_back(num_slots * shape_.num_key_value_heads, capacity, shape_.head_dim, layout_,
                        numerics.device);
    windows_.push_back(config.window(layer));
  }
  if (layout_ == KeyLayout::kPlain) return;
  const auto buffer = [&](int64_t columns) { return at::empty({num_slots, columns}, at::kFloat); };
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size,
                queries = shape_.num_heads * shape_.head_dim;
  buffers_ = {buffer(hidden),  buffer(hidden), buffer(shape_.packed_width()),
              buffer(queries), buffer(hidden), buffer(2 * inner),
              buffer(inner),   buffer(1)};
}

void DecoderCache::check_prompts(const TokenForest& prompts,
                                 std::span<const int64_t> segment_of_row,
                                 std::span<const SharedPromptKeys> keys) const {
  CHECK(num_rows() + static_cast<int64_t>(segment_of_row.size()) <= num_slots_, kUsage,
        "admit: expected at most {} rows, found {} and {} new ones", num_slots_, num_rows(),
        segment_of_row.size());
  const size_t count = prompts.segments.size();
  const auto is_known = [&](int64_t segment) { return !keys.empty() && keys[segment] != nullptr; };
  for (size_t s = 0; s < count; ++s) {
    const Segment& segment = prompts.segments[s];
    if (!is_known(static_cast<int64_t>(s))) continue;
    const auto* memory = dynamic_cast<const SpanMemory*>(keys[s].get());
    CHECK(memory != nullptr && memory->fits(std::ssize(windows_), shape_, layout_) &&
              memory->num_tokens() >= segment.end - segment.begin,
          kUsage, "admit: the keys of segment {} are not those of its {} tokens in this model", s,
          segment.end - segment.begin);
    CHECK(segment.parent < 0 || is_known(segment.parent), kUsage,
          "admit: segment {} is known, that above it is not", s);
  }
  for (size_t r = 0; r < segment_of_row.size(); ++r) {
    const int64_t segment = segment_of_row[r];
    CHECK(segment >= 0 && segment < static_cast<int64_t>(count), kUsage,
          "admit: expected a segment in [0, {}) for row {}, found {}", count, r, segment);
    CHECK(!is_known(segment), kUsage,
          "admit: row {} continues segment {}, of which the last hidden state is not known", r,
          segment);
  }
}

TokenForest DecoderCache::admit(const TokenForest& prompts, std::span<const int64_t> segment_of_row,
                                std::span<SharedPromptKeys> keys, RotaryTable rotary) {
  check_prompts(prompts, segment_of_row, keys);
  rotary_ = std::move(rotary);
  drop_unused_spans();
  const auto first = std::ssize(spans_);
  computed_.clear();
  fronts_.clear();
  has_front_ = false;
  TokenForest out;
  std::vector<int64_t> place(prompts.segments.size(), -1);  // in `out`
  for (size_t s = 0; s < prompts.segments.size(); ++s) {
    const Segment& segment = prompts.segments[s];
    Span span;
    span.count = segment.end - segment.begin;
    span.position = prompts.positions[segment.begin];
    span.parent = segment.parent < 0 ? -1 : first + segment.parent;
    if (!keys.empty() && keys[s] != nullptr) {
      span.memory =
          std::const_pointer_cast<SpanMemory>(std::static_pointer_cast<const SpanMemory>(keys[s]));
      spans_.push_back(std::move(span));
      continue;
    }
    span.memory = std::make_shared<SpanMemory>(std::ssize(windows_), shape_, span.count, layout_,
                                               numerics_.device);
    if (!keys.empty()) keys[s] = span.memory;
    const int64_t above = segment.parent < 0 ? -1 : place[segment.parent];
    if (above < 0) fronts_.push_back(span.parent);
    has_front_ = has_front_ || (above < 0 && span.parent >= 0);
    place[s] = std::ssize(out.segments);
    out.segments.push_back({out.num_tokens(), out.num_tokens() + span.count, above});
    out.ids.insert(out.ids.end(), prompts.ids.begin() + segment.begin,
                   prompts.ids.begin() + segment.end);
    out.positions.insert(out.positions.end(), prompts.positions.begin() + segment.begin,
                         prompts.positions.begin() + segment.end);
    computed_.push_back(std::ssize(spans_));
    spans_.push_back(std::move(span));
  }
  std::vector<bool> taken(num_slots_, false);
  for (const Row& row : rows_) taken[row.slot] = true;
  int64_t slot = 0;
  for (int64_t segment : segment_of_row) {
    while (taken[slot]) ++slot;
    rows_.push_back({slot++, first + segment, 0});
  }
  sort_rows();
  return out;
}

void DecoderCache::drop_unused_spans() {
  std::vector<bool> used(spans_.size(), false);
  for (const Row& row : rows_) used[row.span] = true;
  for (size_t s = spans_.size(); s-- > 0;)
    if (used[s] && spans_[s].parent >= 0) used[spans_[s].parent] = true;
  std::vector<int64_t> place(spans_.size(), -1);
  std::vector<Span> kept;
  for (size_t s = 0; s < spans_.size(); ++s) {
    if (!used[s]) continue;
    place[s] = std::ssize(kept);
    kept.push_back(std::move(spans_[s]));
    if (kept.back().parent >= 0) kept.back().parent = place[kept.back().parent];
  }
  for (Row& row : rows_) row.span = place[row.span];
  spans_ = std::move(kept);
}

void DecoderCache::add_front(int64_t layer, int64_t root, int64_t head,
                             std::vector<FrontSpan>& spans) const {
  for (int64_t s = fronts_[root]; s >= 0; s = spans_[s].parent)
    spans.push_back({spans_[s].memory->span(layer, head, spans_[s].count), spans_[s].position});
}

void DecoderCache::sort_rows() {
  order_.resize(rows_.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int64_t a, int64_t b) { return rows_[a].span < rows_[b].span; });
}

void DecoderCache::keep_rows(std::span<const int64_t> rows) {
  CHECK(static_cast<int64_t>(rows.size()) <= num_slots_, kUsage,
        "keep_rows: expected at most {} rows, found {}", num_slots_, rows.size());
  std::vector<Row> kept;
  std::vector<bool> taken(num_slots_, false);
  std::vector<size_t> repeated;
  for (int64_t r : rows) {
    CHECK(r >= 0 && r < num_rows(), kUsage, "keep_rows: expected rows in [0, {}), found {}",
          num_rows(), r);
    if (taken[rows_[r].slot]) repeated.push_back(kept.size());
    taken[rows_[r].slot] = true;
    kept.push_back(rows_[r]);
  }
  std::vector<std::pair<Row, int64_t>> copies;
  int64_t free = 0;
  for (size_t r : repeated) {
    while (taken[free]) ++free;
    copies.push_back({kept[r], free});
    kept[r].slot = free++;
  }
  parallel_tasks(static_cast<int64_t>(copies.size() * slots_.size()), [&](int64_t task) {
    const auto& [row, slot] = copies[task / slots_.size()];
    Row to = row;
    to.slot = slot;
    for (int64_t head = 0; head < shape_.num_key_value_heads; ++head)
      slots_[task % slots_.size()].copy(list_of(row, head), list_of(to, head), row.length);
  });
  rows_ = std::move(kept);
  sort_rows();
}

void DecoderCache::check_room() const {
  for (const Row& row : rows_) {
    CHECK(row.length < capacity_, kUsage, "decode: a row has reached the capacity of {} tokens",
          capacity_);
  }
}

void DecoderCache::advance() {
  for (Row& row : rows_) ++row.length;
}

Rotation DecoderCache::rotation(int64_t position) const {
  const int64_t offset = position * (shape_.head_dim / 2);
  return {rotary_.cos.const_data_ptr<float>() + offset,
          rotary_.sin.const_data_ptr<float>() + offset};
}

void DecoderCache::store_prompts(int64_t layer, const at::Tensor& qkv) {
  if (layout_ == KeyLayout::kPlain) return plain_store_prompts(layer, qkv);
  const int64_t dim = shape_.head_dim, heads = shape_.num_key_value_heads;
  const float* data = qkv.const_data_ptr<float>();
  std::vector<int64_t> begins;  // tokens of the computed segments lie one after the other
  int64_t tokens = 0;
  for (int64_t s : computed_) {
    begins.push_back(tokens);
    tokens += spans_[s].count;
  }
  parallel_tasks(std::ssize(computed_) * heads, [&](int64_t task) {
    const Span& span = spans_[computed_[task / heads]];
    const int64_t head = task % heads, begin = begins[task / heads];
    std::vector<float> key(width_);
    for (int64_t j = 0; j < span.count; ++j) {
      const float* token = data + (begin + j) * shape_.packed_width() + shape_.num_heads * dim;
      rotate(token + head * dim, key.data(), dim, rotation(span.position + j), 1.0f, false);
      span.memory->put(layer, head, j, key.data(), token + (heads + head) * dim);
    }
  });
}

// Qwen3: every query and key head of ordered row i is normalised before it is rotated.
void DecoderCache::normalise_heads(const DecoderLayer& layer, float* qkv) const {
  const int64_t dim = shape_.head_dim;
  for (int64_t head = 0; head < shape_.num_heads + shape_.num_key_value_heads; ++head) {
    const float* weight =
        (head < shape_.num_heads ? layer.q_norm : layer.k_norm).const_data_ptr<float>();
    float* x = qkv + head * dim;
    float square = 0;
    for (int64_t d = 0; d < dim; ++d) square += x[d] * x[d];
    const float inverse = 1.0f / std::sqrt(square / static_cast<float>(dim) + norm_eps_);
    for (int64_t d = 0; d < dim; ++d) x[d] = x[d] * inverse * weight[d];
  }
}

void DecoderCache::append(int64_t layer, const Row& row, const float* qkv) {
  const int64_t dim = shape_.head_dim, heads = shape_.num_key_value_heads;
  const Rotation turn = rotation(next_position(row));
  thread_local std::vector<float> key;
  key.resize(static_cast<size_t>(dim));
  for (int64_t head = 0; head < heads; ++head) {
    rotate(qkv + (shape_.num_heads + head) * dim, key.data(), dim, turn, 1.0f, false);
    slots_[layer].put(list_of(row, head), row.length, key.data(),
                      qkv + (shape_.num_heads + heads + head) * dim);
  }
}

void DecoderCache::attend_group(int64_t layer, const Group& group, int64_t head, int64_t first,
                                int64_t count, const float* qkv, float* out) const {
  const int64_t dim = shape_.head_dim, repeat = shape_.num_heads / shape_.num_key_value_heads;
  const int64_t queries = (group.end - group.begin) * count;
  const int64_t head_offset = (head * repeat + first) * dim;  // of the first query head
  thread_local std::vector<float> memory;
  memory.resize(kTileRows * (2 * width_ + 2 + kKeyBlock));
  float* query = memory.data();
  float* output = query + kTileRows * width_;
  float* maximum = output + kTileRows * width_;
  float* sum = maximum + kTileRows;
  float* scores = sum + kTileRows;
  std::fill(output, output + queries * width_, 0.0f);
  std::fill(maximum, maximum + queries, -1e30f);
  std::fill(sum, sum + queries, 0.0f);
  for (int64_t q = 0; q < queries; ++q) {
    const int64_t i = group.begin + q / count;
    const float* from = qkv + i * shape_.packed_width() + head_offset + q % count * dim;
    rotate(from, query + q * width_, dim, rotation(next_position(rows_[order_[i]])), scale_, false);
  }
  // Sliding window: the first key that each query sees, in a span and in its own row.
  const int64_t window = windows_[layer];
  int64_t in_span[kTileRows], in_own[kTileRows];
  for (int64_t q = 0; window > 0 && q < queries; ++q)
    in_own[q] = rows_[order_[group.begin + q / count]].length - window + 1;
  const int64_t last = rows_[order_[group.begin]].span;
  for (int64_t s = last; s >= 0; s = spans_[s].parent) {
    const Span& span = spans_[s];
    for (int64_t q = 0; window > 0 && q < queries; ++q)
      in_span[q] = in_own[q] + spans_[last].end() - span.position;
    attend({queries, dim, query, window > 0 ? in_span : nullptr},
           span.memory->span(layer, head, span.count), kAllKeys, {maximum, sum, output}, scores);
  }
  for (int64_t q = 0; q < queries; q += count) {
    const Row& row = rows_[order_[group.begin + q / count]];
    const KeySpan own = slots_[layer].span(list_of(row, head), row.length + 1);  // just appended
    attend({count, dim, query + q * width_, window > 0 ? in_own + q : nullptr}, own, kAllKeys,
           {maximum + q, sum + q, output + q * width_}, scores);
  }
  for (int64_t q = 0; q < queries; ++q) {
    float* to =
        out + (group.begin + q / count) * shape_.num_heads * dim + head_offset + q % count * dim;
    const float inverse = 1.0f / sum[q];
    for (int64_t d = 0; d < dim; ++d) to[d] = output[q * width_ + d] * inverse;
  }
}

void DecoderCache::attend_rows(int64_t layer, int64_t begin, int64_t end, const at::Tensor& qkv,
                               const at::Tensor& out) {
  float* from = qkv.data_ptr<float>();
  const DecoderLayer& weights = weights_.layers[layer];
  float* to = out.data_ptr<float>();
  const int64_t heads = shape_.num_key_value_heads, repeat = shape_.num_heads / heads;
  const int64_t limit = std::max<int64_t>(kTileRows / repeat, 1);
  // Query heads of a key/value head that make more than a tile are answered in several passes.
  const int64_t passes = (repeat + kTileRows - 1) / kTileRows;
  std::vector<Group> groups;
  for (int64_t i = begin; i < end; ++i) {
    if (weights.q_norm.defined()) normalise_heads(weights, from + i * shape_.packed_width());
    append(layer, rows_[order_[i]], from + i * shape_.packed_width());
    const bool joins = !groups.empty() && i - groups.back().begin < limit &&
                       rows_[order_[i]].span == rows_[order_[groups.back().begin]].span;
    if (!joins) groups.push_back({i, i});
    groups.back().end = i + 1;
  }
  parallel_tasks(static_cast<int64_t>(groups.size()) * heads * passes, [&](int64_t task) {
    const int64_t first = task % passes * kTileRows, group_head = task / passes;
    attend_group(layer, groups[group_head / heads], group_head % heads, first,
                 std::min(repeat - first, kTileRows), from, to);
  });
}

void DecoderCache::plain_store_prompts(int64_t layer, const at::Tensor& qkv) {
  const int64_t heads = shape_.num_key_value_heads;
  const at::Tensor all = qkv.view({qkv.size(0), -1, shape_.head_dim});  // [T, H + 2 H_kv, D]
  const at::Tensor keys = all.narrow(1, shape_.num_heads, heads),
                   values = all.narrow(1, shape_.num_heads + heads, heads);
  int64_t token = 0;  // tokens of the computed segments lie one after the other
  for (const int64_t s : computed_) {
    const Span& span = spans_[s];
    const at::Tensor positions =
        at::arange(span.position, span.end(), at::kLong).to(numerics_.device);
    span.memory->keys(layer, span.count)
        .copy_(plain::rotated(keys.narrow(0, token, span.count), rotary_, positions));
    span.memory->values(layer, span.count).copy_(values.narrow(0, token, span.count));
    token += span.count;
  }
}

// The keys of a span and of all those in front of it.
plain::DenseKeys DecoderCache::plain_chain(int64_t layer, int64_t span) const {
  std::vector<at::Tensor> keys, values;
  plain::DenseKeys out;
  for (int64_t s = span; s >= 0; s = spans_[s].parent) {
    keys.push_back(spans_[s].memory->keys(layer, spans_[s].count));
    values.push_back(spans_[s].memory->values(layer, spans_[s].count));
    for (int64_t p = spans_[s].position; p < spans_[s].end(); ++p) out.positions.push_back(p);
  }
  if (keys.empty()) return out;
  out.key = at::cat(keys, 0);
  out.value = at::cat(values, 0);
  return out;
}

plain::DenseKeys DecoderCache::plain_front(int64_t layer, int64_t root) const {
  return plain_chain(layer, fronts_[root]);
}

at::Tensor DecoderCache::plain_attend_rows(int64_t layer, const at::Tensor& qkv) {
  const int64_t heads = shape_.num_key_value_heads, rows = qkv.size(0), window = windows_[layer];
  std::vector<int64_t> positions;
  for (const int64_t r : order_) positions.push_back(next_position(rows_[r]));
  const at::Tensor all = qkv.view({rows, -1, shape_.head_dim});  // [rows, H + 2 H_kv, D]
  const at::Tensor turned = plain::rotated(all.narrow(1, 0, shape_.num_heads + heads), rotary_,
                                           at::tensor(positions, at::kLong).to(numerics_.device));
  std::vector<at::Tensor> outs;
  for (int64_t i = 0; i < rows; ++i) {
    const Row& row = rows_[order_[i]];
    const KeyLists& slots = slots_[layer];
    const at::Tensor own_keys = slots.keys(list_of(row, 0), heads, row.length + 1),
                     own_values = slots.values(list_of(row, 0), heads, row.length + 1);
    own_keys[row.length].copy_(turned[i].narrow(0, shape_.num_heads, heads));
    own_values[row.length].copy_(all[i].narrow(0, shape_.num_heads + heads, heads));
    const plain::DenseKeys prompt = plain_chain(layer, row.span);
    const auto before = std::ssize(prompt.positions);
    const at::Tensor mask = at::zeros({1, before + row.length + 1}, at::kFloat);
    for (int64_t k = 0; window > 0 && k < mask.size(1); ++k) {
      const int64_t position =
          k < before ? prompt.positions[k] : spans_[row.span].end() + k - before;
      if (positions[i] - position >= window) mask[0][k] = -std::numeric_limits<float>::infinity();
    }
    outs.push_back(plain::dense_attention(
        turned.narrow(0, i, 1).narrow(1, 0, shape_.num_heads), at::cat({prompt.key, own_keys}, 0),
        at::cat({prompt.value, own_values}, 0), mask.to(numerics_.device), scale_));
  }
  return at::cat(outs, 0).flatten(1);
}

}  // namespace etrlrec
