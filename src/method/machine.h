// What doctor finds out about this machine: its parts, how fast linear layers run on it, and which
// kernel computes which product.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "nn/numerics.h"

namespace etrlrec {

struct Machine {
  std::string cpu;
  int32_t threads = 0;                         // of this process
  double memory_gib = 0;                       // that is built in
  Arithmetic arithmetic = Arithmetic::kFloat;  // of the products below
  double gflops_fp32 = 0, gflops_bf16 = 0;     // of linear layers with weights of these types
};

// Measures for about a second.
Machine examine_machine(const Numerics& numerics);
// With the table of kernels/product as it applies to this machine, for all arithmetics.
nlohmann::ordered_json to_json(const Machine& machine);
// With the lines of that table for the machine's arithmetic; a line holds all rows of a kernel.
std::string format_machine(const Machine& machine);

// GFLOP/s of y = x W^T with x [2048, 512] and W [512, 512] of the type, the best of five turns.
double linear_rate(at::ScalarType weight_type, const Numerics& numerics);

}  // namespace etrlrec
