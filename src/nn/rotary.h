// Rotary position embedding (Su et al. 2021) in the rotate-half form: tables of cosines and sines,
// and the rotation in plain ATen operations.
#pragma once

#include <torch/types.h>

#include <string>

namespace etrlrec {

// cos and sin [positions, D / 2]; undefined tensors: no rotation.
struct RotaryTable {
  at::Tensor cos, sin;
};
// Frequencies of the rotary embedding: theta^(-2d/D), stretched for longer texts by "linear" (all
// divided by `factor`) or "llama3" (only the slow ones, with a transition between the two
// wavelengths original_max_position_embeddings / low and / high_freq_factor; Llama 3.1).
struct RopeConfig {
  double theta = 10000;
  std::string type = "default";  // default | linear | llama3
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_max_position_embeddings = 8192;
};
// Error (kModel) for an odd head size or an unknown type.
RotaryTable rotary_table(int64_t positions, int64_t head_dim, const RopeConfig& rope);

namespace plain {
// x [T, H, D], positions int64 [T] on the device of x: every head is rotated by its token's angles.
// Without a table x itself. Differentiable.
at::Tensor rotated(const at::Tensor& x, const RotaryTable& table, const at::Tensor& positions);
}  // namespace plain

}  // namespace etrlrec
