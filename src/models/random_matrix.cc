#include "models/random_matrix.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/rng.h"

namespace etrlrec {
namespace {

template <typename Draw>
at::Tensor filled(int64_t rows, int64_t columns, uint64_t seed, const std::string& name,
                  const Draw& draw) {
  Rng rng(seed, name);
  at::Tensor values = at::empty({rows, columns});
  float* data = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) data[i] = static_cast<float>(draw(rng));
  return values;
}

}  // namespace

at::Tensor glorot_uniform(int64_t rows, int64_t columns, uint64_t seed, const std::string& name) {
  const double bound = std::sqrt(6.0 / static_cast<double>(rows + columns));
  return filled(rows, columns, seed, name,
                [bound](Rng& rng) { return bound * (2 * rng.uniform() - 1); });
}

at::Tensor normal_matrix(int64_t rows, int64_t columns, double deviation, uint64_t seed,
                         const std::string& name) {
  return filled(rows, columns, seed, name,
                [deviation](Rng& rng) { return deviation * rng.normal(); });
}

}  // namespace etrlrec
