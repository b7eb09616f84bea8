#include "method/distillation_rows.h"

#include "base/rng.h"

namespace etrlrec {

bool DistillationRows::contains(int64_t row) const {
  return Rng(seed, "distillation rows", static_cast<uint64_t>(row)).uniform() < share;
}

}  // namespace etrlrec
