#include "method/machine.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "method/run_record.h"
#include "nn/weight.h"

namespace etrlrec {

double linear_rate(at::ScalarType weight_type, const Numerics& numerics) {
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2048, 512}), w = at::randn({512, 512}).to(weight_type);
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const Stopwatch watch;
    for (int repeat = 0; repeat < 8; ++repeat) weight_product(x, w, numerics);
    best = std::max(best, 8 * 2.0 * 2048 * 512 * 512 / watch.seconds() / 1e9);
  }
  return best;
}

}  // namespace etrlrec
