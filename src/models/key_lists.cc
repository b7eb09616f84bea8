#include "models/key_lists.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/simd.h"

namespace etrlrec {
namespace {

// Key `index` of blocks [n / 16][D / 2][16] and value `index` of pairs [n / 2][D].
void put_pairs(uint32_t* blocks, uint32_t* pairs, int64_t index, const uint16_t* key,
               const uint16_t* value, int64_t head_dim) {
  const int64_t depth = head_dim / 2;
  uint32_t* block = blocks + index / 16 * 16 * depth + index % 16;
  for (int64_t k = 0; k < depth; ++k)
    block[k * 16] = key[2 * k] | static_cast<uint32_t>(key[2 * k + 1]) << 16;
  uint32_t* row = pairs + index / 2 * head_dim;
  if (index % 2 == 0) {  // the other half must be finite, though it is not looked at
    for (int64_t d = 0; d < head_dim; ++d) row[d] = value[d];
  } else {
    for (int64_t d = 0; d < head_dim; ++d) row[d] |= static_cast<uint32_t>(value[d]) << 16;
  }
}

}  // namespace

KeyLists::KeyLists(int64_t count, int64_t capacity, int64_t head_dim, KeyLayout layout,
                   at::Device device)
    : count_(count), capacity_(simd::padded(capacity)), head_dim_(head_dim), layout_(layout) {
  if (layout == KeyLayout::kPlain) {
    keys_ = at::empty({count, capacity_, head_dim}, at::TensorOptions(at::kFloat).device(device));
    values_ = at::empty_like(keys_);
  } else if (layout == KeyLayout::kPairs) {
    keys_ = at::empty({count, capacity_ * head_dim / 2}, at::kInt);
    values_ = at::empty({count, capacity_ * head_dim / 2}, at::kInt);
  } else {
    keys_ = at::empty({count, capacity_ * head_dim}, at::kFloat);
    values_ = at::empty({count, capacity_ * simd::padded(head_dim)}, at::kFloat);
  }
}

int64_t KeyLists::bytes() const { return static_cast<int64_t>(keys_.nbytes() + values_.nbytes()); }

bool KeyLists::has_layout(int64_t count, int64_t head_dim, KeyLayout layout) const {
  return count == count_ && head_dim == head_dim_ && layout == layout_;
}

KeySpan KeyLists::span(int64_t list, int64_t tokens) const {
  const auto at = [&](const at::Tensor& t) {
    return static_cast<const char*>(t.const_data_ptr()) + list * t.stride(0) * t.element_size();
  };
  KeySpan span;
  span.count = tokens;
  if (layout_ == KeyLayout::kPairs) {
    span.key_block_pairs = reinterpret_cast<const uint32_t*>(at(keys_));
    span.value_pairs = reinterpret_cast<const uint32_t*>(at(values_));
  } else {
    span.key_blocks = reinterpret_cast<const float*>(at(keys_));
    span.value_rows = reinterpret_cast<const float*>(at(values_));
  }
  return span;
}

void KeyLists::put(int64_t list, int64_t index, const float* key, const float* value) {
  const KeySpan to = span(list, index);
  if (layout_ == KeyLayout::kPairs) {
    thread_local std::vector<uint16_t> rounded;
    rounded.resize(static_cast<size_t>(2 * head_dim_));
    round_to_bfloat16(key, head_dim_, rounded.data());
    round_to_bfloat16(value, head_dim_, rounded.data() + head_dim_);
    put_pairs(const_cast<uint32_t*>(to.key_block_pairs), const_cast<uint32_t*>(to.value_pairs),
              index, rounded.data(), rounded.data() + head_dim_, head_dim_);
    return;
  }
  const int64_t width = simd::padded(head_dim_);
  put_blocked(const_cast<float*>(to.key_blocks), index, key, head_dim_);
  float* row = const_cast<float*>(to.value_rows) + index * width;
  std::copy(value, value + head_dim_, row);
  std::fill(row + head_dim_, row + width, 0.0f);
}

at::Tensor KeyLists::keys(int64_t first, int64_t lists, int64_t tokens) const {
  return keys_.narrow(0, first, lists).narrow(1, 0, tokens).transpose(0, 1);
}

at::Tensor KeyLists::values(int64_t first, int64_t lists, int64_t tokens) const {
  return values_.narrow(0, first, lists).narrow(1, 0, tokens).transpose(0, 1);
}

void KeyLists::copy(int64_t from, int64_t to, int64_t tokens) {
  if (tokens == 0) return;
  if (layout_ == KeyLayout::kPlain) {
    keys(to, 1, tokens).copy_(keys(from, 1, tokens));
    values(to, 1, tokens).copy_(values(from, 1, tokens));
    return;
  }
  for (const at::Tensor* memory : {&keys_, &values_}) {
    const int64_t list = memory->stride(0) * memory->element_size();
    auto* data = static_cast<char*>(memory->data_ptr());
    std::memcpy(data + to * list, data + from * list,
                static_cast<size_t>(list / capacity_ * simd::padded(tokens)));
  }
}

}  // namespace etrlrec
