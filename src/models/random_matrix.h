// Initial values of recommenders that are trained: each matrix draws from a stream of its own name.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

namespace etrlrec {

// Uniform in ± sqrt(6 / (rows + columns)) (Glorot and Bengio 2010). [rows, columns]
at::Tensor glorot_uniform(int64_t rows, int64_t columns, uint64_t seed, const std::string& name);
// N(0, deviation). [rows, columns]
at::Tensor normal_matrix(int64_t rows, int64_t columns, double deviation, uint64_t seed,
                         const std::string& name);

}  // namespace etrlrec
