// Which training rows belong to distillation. A row is either distilled or rolled out by
// reinforcement, never both (method.md G.3), so a distilled model's folder records this rule and
// reinforce reads it back.
#pragma once

#include <cstdint>
#include <string>

namespace etrlrec {

struct DistillationRows {
  double share = 0;  // of the training rows, by a hash of seed and row
  uint64_t seed = 0;
  std::string candidates;  // hash of the candidate file whose rows are meant; empty: unknown

  bool contains(int64_t row) const;
};

}  // namespace etrlrec
