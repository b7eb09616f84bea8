// Internal to models/: lists of keys and values that grow token by token, each of one head of a
// prompt or a row, in the layout that attention reads (kernels/attention_kernel): floats, or pairs
// of bfloat16 (kernels/attention_bfloat16), which take half the memory.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "kernels/attention_kernel.h"

namespace etrlrec {

// How keys and values lie in memory.
enum class KeyLayout {
  kBlocks,  // fp32, keys in blocks of 16 (kernels/attention_kernel.h)
  kPairs,   // pairs of bfloat16 (kernels/attention_bfloat16.h)
  kPlain,   // fp32 [tokens, D], on any device, for the plain way
};

class KeyLists {
 public:
  // Uninitialised; kPairs where can_round_attention(head_dim).
  KeyLists(int64_t count, int64_t capacity, int64_t head_dim, KeyLayout layout,
           at::Device device = at::Device(at::kCPU));

  int64_t bytes() const;
  bool has_layout(int64_t count, int64_t head_dim, KeyLayout layout) const;
  // The first `tokens` of a list; not kPlain.
  KeySpan span(int64_t list, int64_t tokens) const;
  // Writes token `index`; those before it are there. key: rotated; both [D]. Not kPlain.
  void put(int64_t list, int64_t index, const float* key, const float* value);
  // kPlain: views of the first `tokens` of `lists` lists from `first` on, [tokens, lists, D].
  at::Tensor keys(int64_t first, int64_t lists, int64_t tokens) const;
  at::Tensor values(int64_t first, int64_t lists, int64_t tokens) const;
  void copy(int64_t from, int64_t to, int64_t tokens);

 private:
  int64_t count_, capacity_, head_dim_;  // capacity: whole blocks
  KeyLayout layout_;
  at::Tensor keys_, values_;  // [lists, floats or pairs]
};

}  // namespace etrlrec
