#include "nn/gated_mlp.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>

#include "kernels/bfloat16.h"
#include "kernels/row_kernels.h"
#include "nn/layers.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowGrain = 32;
const Numerics kRounded{Arithmetic::kBFloat16};

uint16_t* rounded_data(const Tensor& t) { return static_cast<uint16_t*>(t.data_ptr()); }

// Columns of a row that are widened, computed and rounded in the first-level cache.
constexpr int64_t kColumns = 512;

// work(first column, columns) for every block of a row.
template <typename F>
void for_each_block(int64_t columns, const F& work) {
  for (int64_t first = 0; first < columns; first += kColumns)
    work(first, std::min(kColumns, columns - first));
}

// A block of gate and up side by side as fp32.
void widen_block(const uint16_t* row, int64_t columns, int64_t first, int64_t count, float* wide) {
  widen_bfloat16(row + first, count, wide);
  widen_bfloat16(row + columns + first, count, wide + count);
}

// gate_up [T, 2 I] -> silu(gate) * up [T, I], both bfloat16.
Tensor rounded_swiglu(const Tensor& gate_up) {
  const int64_t width = gate_up.size(1), columns = width / 2;
  const Tensor out = at::empty({gate_up.size(0), columns}, at::kBFloat16);
  const uint16_t* from = rounded_data(gate_up);
  uint16_t* to = rounded_data(out);
  at::parallel_for(0, gate_up.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
    std::array<float, 2 * kColumns> wide;
    std::array<float, kColumns> result;
    for (int64_t row = begin; row < end; ++row) {
      for_each_block(columns, [&](int64_t first, int64_t count) {
        widen_block(from + row * width, columns, first, count, wide.data());
        swiglu_rows(wide.data(), result.data(), count, 0, 1);
        round_to_bfloat16(result.data(), count, to + row * columns + first);
      });
    }
  });
  return out;
}

// Gradients of gate and up as the transposed product takes them: times the scales of int8 rows.
Tensor rounded_swiglu_backward(const Tensor& gate_up, const Tensor& gradient, const Tensor& gate,
                               const Tensor& up) {
  const int64_t width = gate_up.size(1), columns = width / 2;
  const Tensor out = at::empty(gate_up.sizes(), at::kBFloat16);
  const uint16_t *from = rounded_data(gate_up), *g = rounded_data(gradient);
  const float *gate_scales = row_scales(gate), *up_scales = row_scales(up);
  const auto at_column = [](const float* scales, int64_t column) {
    return scales == nullptr ? nullptr : scales + column;
  };
  uint16_t* to = rounded_data(out);
  at::parallel_for(0, gate_up.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
    std::array<float, 2 * kColumns> wide, result;
    std::array<float, kColumns> wide_g;
    for (int64_t row = begin; row < end; ++row) {
      for_each_block(columns, [&](int64_t first, int64_t count) {
        widen_block(from + row * width, columns, first, count, wide.data());
        widen_bfloat16(g + row * columns + first, count, wide_g.data());
        swiglu_backward_rows(wide.data(), wide_g.data(), result.data(), count, 0, 1);
        uint16_t* const gate_to = to + row * width + first;
        round_to_bfloat16(result.data(), count, gate_to, at_column(gate_scales, first));
        round_to_bfloat16(result.data() + count, count, gate_to + columns,
                          at_column(up_scales, first));
      });
    }
  });
  return out;
}

class RoundedMlp : public torch::autograd::Function<RoundedMlp> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& gate, const Tensor& up,
                        const Tensor& down) {
    const int64_t rows = x.size(0);
    const Tensor gate_up = at::empty({rows, 2 * gate.size(0)}, at::kBFloat16);
    weights_product_out(gate_up, x, {gate, up}, {Tensor(), Tensor()}, kRounded);
    const Tensor activated = rounded_swiglu(gate_up);
    Tensor out = at::empty({rows, down.size(0)}, x.options());
    weights_product_out(out, activated, {down}, {Tensor()}, kRounded);
    ctx->save_for_backward({gate_up, gate, up, down});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &gate_up = saved[0], &gate = saved[1], &up = saved[2], &down = saved[3];
    const Tensor g = gradients[0].contiguous();
    const Tensor activated = at::empty({g.size(0), down.size(1)}, at::kBFloat16);
    transposed_product_out(activated, g, {down}, kRounded);
    const Tensor inner = rounded_swiglu_backward(gate_up, activated, gate, up);
    const Tensor x_gradient = at::empty({g.size(0), gate.size(1)}, g.options());
    transposed_product_out(x_gradient, inner, {gate, up}, kRounded);
    return {x_gradient, Tensor(), Tensor(), Tensor()};
  }
};

// The part is one product in bfloat16 arithmetic and nothing else.
bool is_rounded_product(const LinearPart& part, const Numerics& numerics) {
  return uses_bfloat16_math(part.weight, numerics) && !part.bias.defined() &&
         !part.lora_A.defined();
}

}  // namespace

Tensor gated_mlp(const Tensor& x, const std::vector<LinearPart>& gate_up,
                 const std::vector<LinearPart>& down_proj, const Numerics& numerics) {
  const LinearPart& down = down_proj[0];
  const auto is_fused = [&](const LinearPart& part) { return is_rounded_product(part, numerics); };
  const bool fused = !takes_plain_way(x, numerics) && is_fused(down) &&
                     std::all_of(gate_up.begin(), gate_up.end(), is_fused);
  if (fused && uses_bfloat16_math(x.size(0), down.weight, numerics) && down.weight.size(1) % 2 == 0)
    return RoundedMlp::apply(x.contiguous(), gate_up[0].weight, gate_up[1].weight, down.weight);
  const bool compact = uses_bfloat16_math(down.weight, numerics);
  return linear(swiglu(linear(x, gate_up, numerics), compact, numerics), down_proj, numerics);
}

}  // namespace etrlrec
