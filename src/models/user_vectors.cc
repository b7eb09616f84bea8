#include "models/user_vectors.h"

#include <ATen/ATen.h>

#include "base/check.h"

namespace etrlrec {

at::Tensor user_rows(const at::Tensor& weight, const ItemSequences& sequences) {
  const int64_t tokens = sequences.num_tokens();
  CHECK(sequences.users.empty() || sequences.users.size() == sequences.segments.size(), kInput,
        "users of sequences: expected {}, found {}", sequences.segments.size(),
        sequences.users.size());
  const at::Tensor users = at::zeros({tokens}, at::kLong), known = at::zeros({tokens, 1});
  for (size_t s = 0; s < sequences.users.size(); ++s) {
    const int64_t user = sequences.users[s];
    CHECK(user < weight.size(0), kInput, "user {}: the model knows {} users", user, weight.size(0));
    if (user < 0) continue;
    const Segment& segment = sequences.segments[s];
    users.slice(0, segment.begin, segment.end).fill_(user);
    known.slice(0, segment.begin, segment.end).fill_(1);
  }
  if (weight.size(0) == 0) return at::zeros({tokens, weight.size(1)});
  return at::embedding(weight, users) * known;
}

}  // namespace etrlrec
