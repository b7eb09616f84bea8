#include "nn/layers.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "kernels/bfloat16.h"
#include "kernels/row_kernels.h"
#include "nn/adapter_products.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowGrain = 64;

std::vector<Tensor> weights_of(const std::vector<LinearPart>& parts) {
  std::vector<Tensor> weights;
  for (const LinearPart& part : parts) weights.push_back(part.weight);
  return weights;
}

// Parts as a flat tensor list for autograd, and back.
constexpr int64_t kHasBias = 1, kHasAdapter = 2;

std::vector<Tensor> flatten(const std::vector<LinearPart>& parts, std::vector<int64_t>& flags,
                            std::vector<double>& scales) {
  std::vector<Tensor> out;
  for (const LinearPart& part : parts) {
    const bool adapter = part.lora_A.defined();
    flags.push_back((part.bias.defined() ? kHasBias : 0) | (adapter ? kHasAdapter : 0));
    scales.push_back(part.lora_scale);
    out.push_back(part.weight);
    if (part.bias.defined()) out.push_back(part.bias);
    if (adapter) out.insert(out.end(), {part.lora_A, part.lora_B});
  }
  return out;
}

std::vector<LinearPart> unflatten(const std::vector<Tensor>& tensors,
                                  const std::vector<int64_t>& flags,
                                  const std::vector<double>& scales) {
  std::vector<LinearPart> parts;
  size_t next = 0;
  for (size_t i = 0; i < flags.size(); ++i) {
    LinearPart part;
    part.weight = tensors[next++];
    if (flags[i] & kHasBias) part.bias = tensors[next++];
    if (flags[i] & kHasAdapter) {
      part.lora_A = tensors[next++];
      part.lora_B = tensors[next++];
    }
    part.lora_scale = scales[i];
    parts.push_back(std::move(part));
  }
  return parts;
}

// Rows as the products take them: rounded once for weights and adapters.
Tensor product_rows(const Tensor& rows, const std::vector<LinearPart>& parts,
                    const Numerics& numerics) {
  const bool rounded =
      has_adapter(parts) && adapters_use_bfloat16_math(rows.size(0), parts, numerics);
  return rounded ? rounded_rows(rows) : rows;
}

void product_out(Tensor out, const Tensor& input, const std::vector<LinearPart>& parts,
                 const Numerics& numerics) {
  std::vector<Tensor> biases;
  for (const LinearPart& part : parts) biases.push_back(part.bias);
  weights_product_out(out, input, weights_of(parts), biases, numerics);
  if (has_adapter(parts)) add_adapters(out, input, parts);
}

bool any_int8(const std::vector<LinearPart>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const LinearPart& part) { return is_int8(part.weight); });
}

class PackedLinear : public torch::autograd::Function<PackedLinear> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, at::TensorList tensors,
                        std::vector<int64_t> flags, std::vector<double> scales,
                        int64_t arithmetic) {
    const Numerics numerics{static_cast<Arithmetic>(arithmetic)};
    const std::vector<LinearPart> parts = unflatten(tensors.vec(), flags, scales);
    int64_t width = 0;
    for (const LinearPart& part : parts) width += part.weight.size(0);
    Tensor out = at::empty({x.size(0), width}, x.options());
    const Tensor input = product_rows(x, parts, numerics);
    product_out(out, input, parts, numerics);
    bool keep_input = false;  // only products with x need it: gradients of weights and adapters
    for (const Tensor& t : tensors) keep_input = keep_input || t.requires_grad();
    std::vector<Tensor> saved = tensors.vec();
    saved.push_back(keep_input ? input : Tensor());
    ctx->save_for_backward(saved);
    ctx->saved_data["flags"] = flags;
    ctx->saved_data["scales"] = scales;
    ctx->saved_data["arithmetic"] = arithmetic;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    std::vector<Tensor> saved = ctx->get_saved_variables();
    const Tensor x = saved.back();
    saved.pop_back();
    const std::vector<int64_t> flags = ctx->saved_data["flags"].toIntVector();
    const auto parts = unflatten(saved, flags, ctx->saved_data["scales"].toDoubleVector());
    const Numerics numerics{static_cast<Arithmetic>(ctx->saved_data["arithmetic"].toInt())};
    const Tensor g = gradients[0].contiguous();
    const Tensor rows_g = product_rows(g, parts, numerics);
    variable_list out(saved.size() + 4);
    if (ctx->needs_input_grad(0)) {
      out[0] = at::empty({g.size(0), parts[0].weight.size(1)}, g.options());
      // With int8 weights the gradient is rounded with their scales in it.
      transposed_product_out(out[0], any_int8(parts) ? g : rows_g, weights_of(parts), numerics);
    }
    std::vector<AdapterGradient> adapters(parts.size());
    if (has_adapter(parts)) adapters = adapter_gradients(x, rows_g, parts, out[0]);
    Tensor weights, biases;
    size_t index = 1;
    int64_t column = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const int64_t rows = parts[i].weight.size(0);
      const auto give = [&](const auto& gradient) {
        if (ctx->needs_input_grad(index)) out[index] = gradient();
        ++index;
      };
      give([&] {
        if (!weights.defined()) weights = at::mm(g.t(), x);
        return weights.narrow(0, column, rows);
      });
      if (parts[i].bias.defined()) {
        give([&] {
          if (!biases.defined()) biases = g.sum(0);
          return biases.narrow(0, column, rows);
        });
      }
      if (parts[i].lora_A.defined()) {
        give([&] { return adapters[i].lora_A; });
        give([&] { return adapters[i].lora_B; });
      }
      column += rows;
    }
    return out;
  }
};

// The adapters in addition to the product of the weights, since each sees an input of its own.
Tensor linear_with_dropout(const Tensor& x, const std::vector<LinearPart>& parts,
                           const Numerics& numerics) {
  std::vector<LinearPart> bare = parts;
  std::vector<Tensor> deltas;
  for (LinearPart& part : bare) {
    if (part.lora_A.defined()) {
      const Tensor inner = at::mm(masked_dropout(x, part.lora_dropout), part.lora_A.t());
      deltas.push_back(at::mm(inner, part.lora_B.t()) * part.lora_scale);
    } else {
      deltas.push_back(at::zeros({x.size(0), part.weight.size(0)}, x.options()));
    }
    part.lora_A = part.lora_B = Tensor();
    part.lora_dropout = {};
  }
  return linear(x, bare, numerics) + at::cat(deltas, 1);
}

// {sum, out} of x and an optional delta
class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& x,
                               const std::optional<Tensor>& maybe_delta, const Tensor& weight,
                               double eps) {
    const Tensor delta = maybe_delta.value_or(Tensor());
    const int64_t rows = x.size(0);
    const Tensor sum = delta.defined() ? at::empty_like(x) : x;
    Tensor out = at::empty_like(x), inverse_rms = at::empty({rows}, x.options());
    RmsNormRows p;
    p.x = x.const_data_ptr<float>();
    p.weight = weight.const_data_ptr<float>();
    if (delta.defined()) {
      p.delta = delta.const_data_ptr<float>();
      p.sum = sum.data_ptr<float>();
    }
    p.out = out.data_ptr<float>();
    p.inverse_rms = inverse_rms.data_ptr<float>();
    p.columns = x.size(1);
    p.eps = static_cast<float>(eps);
    at::parallel_for(0, rows, kRowGrain, [&](int64_t b, int64_t e) { rms_norm_rows(p, b, e); });
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({sum, weight, inverse_rms});
    ctx->saved_data["has_delta"] = delta.defined();
    if (delta.defined()) return {sum, out};
    return {out};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const bool has_delta = ctx->saved_data["has_delta"].toBool();
    const Tensor& sum = saved[0];
    const int64_t rows = sum.size(0), columns = sum.size(1);
    Tensor out_gradient = gradients.back(), sum_gradient = has_delta ? gradients[0] : Tensor();
    if (!out_gradient.defined()) {
      return {sum_gradient, has_delta ? sum_gradient : Tensor(), Tensor(), Tensor()};
    }
    out_gradient = out_gradient.contiguous();
    Tensor x_gradient = at::empty_like(sum);
    const int64_t workers =
        std::min<int64_t>(at::get_num_threads(), (rows + kRowGrain - 1) / kRowGrain);
    const bool wants_weight = ctx->needs_input_grad(has_delta ? 2 : 1);
    Tensor weight_gradients = at::zeros({workers, columns}, sum.options());
    RmsNormGradientRows p;
    p.sum = sum.const_data_ptr<float>();
    p.weight = saved[1].const_data_ptr<float>();
    p.inverse_rms = saved[2].const_data_ptr<float>();
    p.out_gradient = out_gradient.const_data_ptr<float>();
    if (sum_gradient.defined()) {
      sum_gradient = sum_gradient.contiguous();
      p.sum_gradient = sum_gradient.const_data_ptr<float>();
    }
    p.x_gradient = x_gradient.data_ptr<float>();
    p.columns = columns;
    float* partial = weight_gradients.data_ptr<float>();
    at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
      for (int64_t w = begin; w < end; ++w) {
        RmsNormGradientRows mine = p;
        mine.weight_gradient = wants_weight ? partial + w * columns : nullptr;
        rms_norm_backward_rows(mine, rows * w / workers, rows * (w + 1) / workers);
      }
    });
    const Tensor weight_gradient = wants_weight ? weight_gradients.sum(0) : Tensor();
    return {x_gradient, has_delta ? x_gradient : Tensor(), weight_gradient, Tensor()};
  }
};

// gate_up is kept as it is or, `compact`, rounded while its row is in the first-level cache.
class SwiGlu : public torch::autograd::Function<SwiGlu> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& gate_up, bool compact) {
    const int64_t width = gate_up.size(1), columns = width / 2;
    Tensor out = at::empty({gate_up.size(0), columns}, gate_up.options());
    const bool rounds = compact && gate_up.requires_grad();
    const Tensor kept = rounds ? at::empty(gate_up.sizes(), at::kBFloat16) : gate_up;
    const float* from = gate_up.const_data_ptr<float>();
    float* to = out.data_ptr<float>();
    auto* rounded = rounds ? static_cast<uint16_t*>(kept.data_ptr()) : nullptr;
    at::parallel_for(0, gate_up.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
      if (!rounds) return swiglu_rows(from, to, columns, begin, end);
      for (int64_t row = begin; row < end; ++row) {
        swiglu_rows(from, to, columns, row, row + 1);
        round_to_bfloat16(from + row * width, width, rounded + row * width);
      }
    });
    ctx->save_for_backward({kept});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const Tensor kept = ctx->get_saved_variables()[0], g = gradients[0].contiguous();
    const int64_t width = kept.size(1), columns = width / 2;
    Tensor out = at::empty(kept.sizes(), at::kFloat);
    const float* gradient = g.const_data_ptr<float>();
    float* to = out.data_ptr<float>();
    const void* from = kept.const_data_ptr();
    at::parallel_for(0, kept.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
      if (kept.scalar_type() == at::kFloat)
        return swiglu_backward_rows(static_cast<const float*>(from), gradient, to, columns, begin,
                                    end);
      std::vector<float> wide(static_cast<size_t>(width));
      for (int64_t row = begin; row < end; ++row) {
        widen_bfloat16(static_cast<const uint16_t*>(from) + row * width, width, wide.data());
        swiglu_backward_rows(wide.data(), gradient + row * columns, to + row * width, columns, 0,
                             1);
      }
    });
    return {out, Tensor()};
  }
};

namespace plain {

const Numerics kNumerics{Arithmetic::kReference};

Tensor linear(const Tensor& x, const std::vector<LinearPart>& parts) {
  std::vector<Tensor> outs;
  for (const LinearPart& part : parts) {
    Tensor out = at::mm(x, widened(part.weight).t());
    if (part.bias.defined()) out = out + part.bias;
    if (part.lora_A.defined()) {
      const Tensor input = masked_dropout(x, part.lora_dropout, kNumerics);
      const Tensor inner = at::mm(input, part.lora_A.t());
      out = out + at::mm(inner, part.lora_B.t()) * part.lora_scale;
    }
    outs.push_back(out);
  }
  return outs.size() == 1 ? outs[0] : at::cat(outs, 1);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return x * at::rsqrt(x.square().mean(-1, true) + eps) * weight;
}

Tensor swiglu(const Tensor& gate_up) {
  const std::vector<Tensor> halves = gate_up.chunk(2, 1);
  return at::silu(halves[0]) * halves[1];
}

}  // namespace plain

}  // namespace

void linear_out(Tensor out, const Tensor& x, const std::vector<LinearPart>& parts,
                const Numerics& numerics) {
  const at::NoGradGuard no_grad;
  if (takes_plain_way(x, numerics)) {
    out.copy_(plain::linear(x, parts));
    return;
  }
  product_out(out, product_rows(x.detach(), parts, numerics), parts, numerics);
}

Tensor linear(const Tensor& x, const std::vector<LinearPart>& parts, const Numerics& numerics) {
  if (takes_plain_way(x, numerics)) return plain::linear(x, parts);
  for (const LinearPart& part : parts) {
    if (part.lora_dropout.rate > 0) return linear_with_dropout(x.contiguous(), parts, numerics);
  }
  std::vector<int64_t> flags;
  std::vector<double> scales;
  const std::vector<Tensor> tensors = flatten(parts, flags, scales);
  return PackedLinear::apply(x.contiguous(), at::TensorList(tensors), flags, scales,
                             static_cast<int64_t>(numerics.arithmetic));
}

std::vector<Tensor> allocate_packed(const std::vector<std::vector<int64_t>>& shapes,
                                    const Numerics& numerics) {
  std::vector<int64_t> whole = shapes[0];
  whole[0] = 0;
  for (const auto& shape : shapes) whole[0] += shape[0];
  const Tensor memory = at::empty(whole, at::TensorOptions(at::kFloat).device(numerics.device));
  std::vector<Tensor> out;
  int64_t row = 0;
  for (const auto& shape : shapes) {
    out.push_back(memory.narrow(0, row, shape[0]).detach());
    row += shape[0];
  }
  return out;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, const Numerics& numerics) {
  if (takes_plain_way(x, numerics)) return plain::rms_norm(x, weight, eps);
  return RmsNorm::apply(x.contiguous(), std::optional<Tensor>(), weight, eps)[0];
}

std::pair<Tensor, Tensor> add_rms_norm(const Tensor& x, const Tensor& delta, const Tensor& weight,
                                       double eps, const Numerics& numerics) {
  if (takes_plain_way(x, numerics)) {
    const Tensor sum = x + delta;
    return {sum, plain::rms_norm(sum, weight, eps)};
  }
  const variable_list out =
      RmsNorm::apply(x.contiguous(), std::optional<Tensor>(delta.contiguous()), weight, eps);
  return {out[0], out[1]};
}

Tensor swiglu(const Tensor& gate_up, bool compact, const Numerics& numerics) {
  if (takes_plain_way(gate_up, numerics)) return plain::swiglu(gate_up);
  return SwiGlu::apply(gate_up.contiguous(), compact);
}

}  // namespace etrlrec
