#include "nn/gated_mlp.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "nn/bfloat16_product.h"
#include "nn/row_kernels.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowGrain = 32;

uint16_t* rounded_data(const Tensor& t) { return static_cast<uint16_t*>(t.data_ptr()); }

// gate_up [T, 2 I] -> silu(gate) * up [T, I], both bfloat16; each row is widened, computed and
// rounded in the caches of a core.
Tensor rounded_swiglu(const Tensor& gate_up) {
  const int64_t width = gate_up.size(1), columns = width / 2;
  const Tensor out = at::empty({gate_up.size(0), columns}, at::kBFloat16);
  const uint16_t* from = rounded_data(gate_up);
  uint16_t* to = rounded_data(out);
  at::parallel_for(0, gate_up.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<float> wide(static_cast<size_t>(width)), row_out(static_cast<size_t>(columns));
    for (int64_t row = begin; row < end; ++row) {
      widen_bfloat16(from + row * width, width, wide.data());
      swiglu_rows(wide.data(), row_out.data(), columns, 0, 1);
      round_to_bfloat16(row_out.data(), columns, to + row * columns);
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
  uint16_t* to = rounded_data(out);
  at::parallel_for(0, gate_up.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<float> wide(static_cast<size_t>(width)), row_g(static_cast<size_t>(columns)),
        row_out(static_cast<size_t>(width));
    for (int64_t row = begin; row < end; ++row) {
      widen_bfloat16(from + row * width, width, wide.data());
      widen_bfloat16(g + row * columns, columns, row_g.data());
      swiglu_backward_rows(wide.data(), row_g.data(), row_out.data(), columns, 0, 1);
      round_to_bfloat16(row_out.data(), columns, to + row * width, gate_scales);
      round_to_bfloat16(row_out.data() + columns, columns, to + row * width + columns, up_scales);
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
    weights_product_out(gate_up, x, {gate, up}, {Tensor(), Tensor()});
    const Tensor activated = rounded_swiglu(gate_up);
    Tensor out = at::empty({rows, down.size(0)}, x.options());
    weights_product_out(out, activated, {down}, {Tensor()});
    ctx->save_for_backward({gate_up, gate, up, down});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &gate_up = saved[0], &gate = saved[1], &up = saved[2], &down = saved[3];
    const Tensor g = gradients[0].contiguous();
    const Tensor activated = at::empty({g.size(0), down.size(1)}, at::kBFloat16);
    transposed_product_out(activated, g, {down});
    const Tensor inner = rounded_swiglu_backward(gate_up, activated, gate, up);
    const Tensor x_gradient = at::empty({g.size(0), gate.size(1)}, g.options());
    transposed_product_out(x_gradient, inner, {gate, up});
    return {x_gradient, Tensor(), Tensor(), Tensor()};
  }
};

bool is_plain(const LinearPart& part) {
  return rounds(part.weight) && part.weight.is_contiguous() && !part.bias.defined() &&
         !part.lora_A.defined();
}

}  // namespace

Tensor gated_mlp(const Tensor& x, const std::vector<LinearPart>& gate_up,
                 const std::vector<LinearPart>& down_proj) {
  const LinearPart& down = down_proj[0];
  const bool plain = std::all_of(gate_up.begin(), gate_up.end(), is_plain) && is_plain(down);
  if (plain && !is_few_rows(x.size(0), down.weight) && down.weight.size(1) % 2 == 0)
    return RoundedMlp::apply(x.contiguous(), gate_up[0].weight, gate_up[1].weight, down.weight);
  return linear(swiglu(linear(x, gate_up), rounds(down.weight)), down_proj);
}

}  // namespace etrlrec
