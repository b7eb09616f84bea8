// Internal to models/: lists of keys and values that grow token by token, each of one head of a
// prompt or a row, in the layout that attention reads (kernels/attention_kernel): floats, or pairs
// of bfloat16 (kernels/attention_bfloat16), which take half the memory.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "kernels/attention_kernel.h"

namespace etrlrec {

class KeyLists {
 public:
  // Uninitialised; `rounds`: pairs, where can_round_attention(head_dim).
  KeyLists(int64_t count, int64_t capacity, int64_t head_dim, bool rounds);

  int64_t bytes() const;
  bool has_layout(int64_t count, int64_t head_dim, bool rounds) const;
  // The first `tokens` of a list.
  KeySpan span(int64_t list, int64_t tokens) const;
  // Writes token `index`; those before it are there. key: rotated; both [D].
  void put(int64_t list, int64_t index, const float* key, const float* value);
  void copy(int64_t from, int64_t to, int64_t tokens);

 private:
  int64_t count_, capacity_, head_dim_;  // capacity: whole blocks
  bool rounds_;
  at::Tensor keys_, values_;  // [lists, floats or pairs]
};

}  // namespace etrlrec
