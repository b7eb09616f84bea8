// What attention over a forest needs to know about heads, and the keys that come before a
// forest.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/attention_kernel.h"

namespace etrlrec {

struct HeadShape {
  int64_t num_heads = 1, num_key_value_heads = 1, head_dim = 1;
  int64_t window = 0;  // a token sees its last `window` positions, itself included; 0: all
  // True if both sides of every product are rounded to bfloat16, where can_round_attention()
  // (kernels/attention_bfloat16.h). The plain way never rounds.
  bool uses_bfloat16_math = false;
  int64_t packed_width() const { return (num_heads + 2 * num_key_value_heads) * head_dim; }
};

// Keys (rotated) and values of one head that come before a root of the forest and were
// computed earlier. `position`: of the first key.
struct FrontSpan {
  KeySpan keys;
  int64_t position = 0;
};
// Appends the spans in front of the root with this number (roots are counted in the forest's
// order); called from several threads.
using FrontKeys =
    std::function<void(int64_t root, int64_t key_value_head, std::vector<FrontSpan>& spans)>;

}  // namespace etrlrec
