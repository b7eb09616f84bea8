// Rows are taken in chunks whose logits stay in cache. With a small head each worker owns whole
// chunks and a partial weight gradient (summed in worker order); with a large one the workers share
// each product instead.
#include "nn/logprob.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "kernels/bfloat16.h"
#include "kernels/row_kernels.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Chunking {
  int64_t rows = 0, chunk = 0, workers = 1;
  bool own_chunks = false;  // workers run chunks side by side
};

Chunking chunking_of(int64_t rows, int64_t columns, int64_t vocab) {
  constexpr int64_t kCacheFloats = 1 << 18, kPartialFloats = 1 << 24;
  const int64_t threads = at::get_num_threads();
  Chunking c;
  c.rows = rows;
  c.own_chunks = vocab * columns * threads <= kPartialFloats && !at::in_parallel_region();
  if (c.own_chunks) {
    c.chunk = std::clamp<int64_t>(kCacheFloats / vocab, 32, 512);
    c.chunk = std::max<int64_t>(std::min(c.chunk, rows), 1);
    c.workers = std::clamp<int64_t>(rows / c.chunk, 1, threads);
  } else {  // of equal size
    const int64_t most = std::max<int64_t>(logits_rows(rows, vocab), 1);
    const int64_t chunks = std::max<int64_t>((rows + most - 1) / most, 1);
    c.chunk = std::max<int64_t>((rows + chunks - 1) / chunks, 1);
  }
  return c;
}

// work(worker, first row, rows, logits buffer [chunk, V]) for every chunk.
template <typename F>
void for_each_chunk(const Chunking& c, int64_t vocab, const F& work) {
  const auto run = [&](int64_t worker) {
    const c10::InferenceMode no_autograd;
    const int64_t begin = c.rows * worker / c.workers, end = c.rows * (worker + 1) / c.workers;
    const Tensor logits = at::empty({std::min(c.chunk, end - begin), vocab}, at::kFloat);
    for (int64_t row = begin; row < end; row += c.chunk) {
      const int64_t count = std::min(c.chunk, end - row);
      work(worker, row, count, logits.narrow(0, 0, count));
    }
  };
  if (c.workers == 1) return run(0);
  at::parallel_for(0, c.workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) run(worker);
  });
}

void softmax_chunk(const Tensor& logits, float* logsumexp, float* entropy, const float* factor) {
  const int64_t columns = logits.size(1);
  float* x = logits.data_ptr<float>();
  at::parallel_for(0, logits.size(0), 16, [&](int64_t b, int64_t e) {
    softmax_rows({x + b * columns, e - b, columns, logsumexp + b,
                  entropy == nullptr ? nullptr : entropy + b,
                  factor == nullptr ? nullptr : factor + b});
  });
}

// The gradient of the logits as the product with the weight takes it: bfloat16 in the first half of
// each row where the weight uses bfloat16 math, times the scales of int8 rows.
Tensor for_transposed_product(const Tensor& gradient, const Tensor& weight,
                              const Numerics& numerics) {
  if (!uses_bfloat16_math(weight, numerics)) return gradient;
  const int64_t rows = gradient.size(0), columns = gradient.size(1);
  float* values = gradient.data_ptr<float>();
  auto* rounded = reinterpret_cast<uint16_t*>(values);
  at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      round_to_bfloat16(values + row * columns, columns, rounded + row * 2 * columns,
                        row_scales(weight));
      rounded[row * 2 * columns + columns] = 0;
    }
  });
  return at::from_blob(rounded, {rows, columns}, {2 * columns, 1},
                       at::TensorOptions().dtype(at::kBFloat16));
}

// Adds chunk gradients: d hidden = P W, d weight += P^T hidden, with P the gradient of the logits.
class GradientSums {
 public:
  GradientSums(const Tensor& hidden, const Tensor& weight, int64_t workers, bool want_hidden,
               bool want_weight) {
    if (want_hidden) hidden_ = at::empty_like(hidden);
    if (want_weight)
      weight_ = at::zeros({workers, weight.size(0), weight.size(1)}, weight.options());
  }
  bool wanted() const { return hidden_.defined() || weight_.defined(); }
  // Overwrites `logits_gradient`.
  void add(int64_t worker, int64_t row, const Tensor& logits_gradient, const Tensor& hidden,
           const Tensor& weight, const Numerics& numerics) const {
    const int64_t count = logits_gradient.size(0);
    if (weight_.defined()) {
      weight_.select(0, worker).addmm_(logits_gradient.t(), hidden.narrow(0, row, count));
    }
    if (hidden_.defined()) {
      Tensor slice = hidden_.narrow(0, row, count);
      transposed_product_out(slice, for_transposed_product(logits_gradient, weight, numerics),
                             {weight}, numerics);
    }
  }
  const Tensor& hidden() const { return hidden_; }
  Tensor weight() const {
    if (!weight_.defined()) return {};
    return weight_.size(0) == 1 ? weight_.select(0, 0) : weight_.sum(0);
  }

 private:
  Tensor hidden_, weight_;
};

void check_inputs(const Tensor& hidden, const Tensor& weight, const Tensor& targets) {
  CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1), kModel,
        "log-probabilities: expected hidden [N, C] and weight [V, C], found {} and {} columns",
        hidden.size(-1), weight.size(-1));
  CHECK(
      targets.dim() == 1 && targets.size(0) == hidden.size(0) && targets.scalar_type() == at::kLong,
      kModel, "log-probabilities: expected {} int64 targets, found {}", hidden.size(0),
      targets.numel());
  const Tensor on_cpu = targets.cpu().contiguous();
  const int64_t* target = on_cpu.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < targets.size(0); ++i) {
    CHECK(target[i] >= 0 && target[i] < weight.size(0), kModel,
          "log-probabilities: expected targets in [0, {}), found {}", weight.size(0), target[i]);
  }
}

class LinearLogprob : public torch::autograd::Function<LinearLogprob> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& weight,
                               const Tensor& targets, bool with_entropy, int64_t arithmetic) {
    const Numerics numerics{static_cast<Arithmetic>(arithmetic)};
    ctx->saved_data["arithmetic"] = arithmetic;
    const int64_t rows = hidden.size(0), vocab = weight.size(0);
    const Tensor h = hidden.detach(), w = weight.detach();
    Tensor logprobs = at::empty({rows}, h.options());
    Tensor entropy = with_entropy ? at::empty({rows}, h.options()) : Tensor();
    float* out = logprobs.data_ptr<float>();
    const int64_t* target = targets.const_data_ptr<int64_t>();
    for_each_chunk(
        chunking_of(rows, h.size(1), vocab), vocab,
        [&](int64_t, int64_t row, int64_t count, Tensor logits) {
          weights_product_out(logits, h.narrow(0, row, count), {w}, {Tensor()}, numerics);
          const float* x = logits.const_data_ptr<float>();
          std::vector<float> chosen(count);
          for (int64_t i = 0; i < count; ++i) chosen[i] = x[i * vocab + target[row + i]];
          softmax_chunk(logits, out + row, with_entropy ? entropy.data_ptr<float>() + row : nullptr,
                        nullptr);
          for (int64_t i = 0; i < count; ++i) out[row + i] = chosen[i] - out[row + i];
        });
    ctx->save_for_backward({hidden, weight, targets});
    if (!with_entropy) return {logprobs};
    ctx->mark_non_differentiable({entropy});
    return {logprobs, entropy};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Numerics numerics{static_cast<Arithmetic>(ctx->saved_data["arithmetic"].toInt())};
    const Tensor h = saved[0].detach(), w = saved[1].detach();
    const Tensor factor = -gradients[0].contiguous();
    const int64_t rows = h.size(0), vocab = w.size(0);
    const int64_t* target = saved[2].const_data_ptr<int64_t>();
    const float* minus_gradient = factor.const_data_ptr<float>();
    const Chunking c = chunking_of(rows, h.size(1), vocab);
    const GradientSums sums(h, w, c.workers, ctx->needs_input_grad(0), ctx->needs_input_grad(1));
    for_each_chunk(c, vocab, [&](int64_t worker, int64_t row, int64_t count, Tensor logits) {
      weights_product_out(logits, h.narrow(0, row, count), {w}, {Tensor()}, numerics);
      std::vector<float> logsumexp(count);
      softmax_chunk(logits, logsumexp.data(), nullptr, minus_gradient + row);
      float* x = logits.data_ptr<float>();
      for (int64_t i = 0; i < count; ++i) x[i * vocab + target[row + i]] -= minus_gradient[row + i];
      sums.add(worker, row, logits, h, w, numerics);
    });
    return {sums.hidden(), sums.weight(), Tensor(), Tensor(), Tensor()};
  }
};

class LinearNll : public torch::autograd::Function<LinearNll> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& weight,
                        const Tensor& targets, const Tensor& row_weights, int64_t arithmetic) {
    const Numerics numerics{static_cast<Arithmetic>(arithmetic)};
    const int64_t rows = hidden.size(0), vocab = weight.size(0);
    const Tensor h = hidden.detach(), w = weight.detach();
    const int64_t* target = targets.const_data_ptr<int64_t>();
    const float* factor = row_weights.const_data_ptr<float>();
    const Chunking c = chunking_of(rows, h.size(1), vocab);
    const GradientSums sums(h, w, c.workers, hidden.requires_grad(), weight.requires_grad());
    std::vector<double> loss(c.workers, 0.0);
    for_each_chunk(c, vocab, [&](int64_t worker, int64_t row, int64_t count, Tensor logits) {
      weights_product_out(logits, h.narrow(0, row, count), {w}, {Tensor()}, numerics);
      float* x = logits.data_ptr<float>();
      std::vector<float> chosen(count), logsumexp(count);
      for (int64_t i = 0; i < count; ++i) chosen[i] = x[i * vocab + target[row + i]];
      softmax_chunk(logits, logsumexp.data(), nullptr, factor + row);
      for (int64_t i = 0; i < count; ++i) {
        loss[worker] += static_cast<double>(factor[row + i]) * (logsumexp[i] - chosen[i]);
        x[i * vocab + target[row + i]] -= factor[row + i];
      }
      if (sums.wanted()) sums.add(worker, row, logits, h, w, numerics);
    });
    ctx->save_for_backward({sums.hidden(), sums.weight()});
    double total = 0;
    for (double part : loss) total += part;
    return at::full({}, total, h.options());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const float g = gradients[0].item<float>();
    const auto scaled = [g](const Tensor& t) { return !t.defined() || g == 1.0f ? t : t * g; };
    return {scaled(saved[0]), scaled(saved[1]), Tensor(), Tensor(), Tensor()};
  }
};

namespace plain {

// Log-probabilities and entropies by ATen's operations, chunk by chunk; the backward pass computes
// every chunk again. `weight` is fp32.
class Logprob : public torch::autograd::Function<Logprob> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& weight,
                               const Tensor& targets, bool with_entropy) {
    const int64_t rows = hidden.size(0),
                  chunk = std::max<int64_t>(logits_rows(rows, weight.size(0)), 1);
    const Tensor logprobs = at::empty({rows}, hidden.options());
    const Tensor entropy = at::empty({with_entropy ? rows : 0}, hidden.options());
    for (int64_t row = 0; row < rows; row += chunk) {
      const int64_t count = std::min(chunk, rows - row);
      const Tensor all = at::log_softmax(at::mm(hidden.narrow(0, row, count), weight.t()), 1);
      const Tensor target = targets.narrow(0, row, count).unsqueeze(1);
      logprobs.narrow(0, row, count).copy_(all.gather(1, target).squeeze(1));
      if (with_entropy) entropy.narrow(0, row, count).copy_(-(all.exp() * all).sum(1));
    }
    ctx->save_for_backward({hidden, weight, targets});
    ctx->mark_non_differentiable({entropy});
    return {logprobs, entropy};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &hidden = saved[0], &weight = saved[1], &targets = saved[2];
    const int64_t rows = hidden.size(0),
                  chunk = std::max<int64_t>(logits_rows(rows, weight.size(0)), 1);
    const Tensor h_gradient = at::zeros_like(hidden);
    const Tensor w_gradient = ctx->needs_input_grad(1) ? at::zeros_like(weight) : Tensor();
    for (int64_t row = 0; row < rows; row += chunk) {
      const int64_t count = std::min(chunk, rows - row);
      const Tensor h = hidden.narrow(0, row, count);
      const Tensor g = gradients[0].narrow(0, row, count).unsqueeze(1);
      const Tensor target = targets.narrow(0, row, count).unsqueeze(1);
      // d log p(target) / d logits = one-hot - softmax
      const Tensor logits_gradient =
          (at::softmax(at::mm(h, weight.t()), 1) * -g).scatter_add(1, target, g);
      h_gradient.narrow(0, row, count).copy_(at::mm(logits_gradient, weight));
      if (w_gradient.defined()) w_gradient.add_(at::mm(logits_gradient.t(), h));
    }
    return {h_gradient, w_gradient, Tensor(), Tensor()};
  }
};

LogprobOutput linear_logprob(const Tensor& hidden, const Tensor& weight, const Tensor& targets,
                             bool with_entropy) {
  const variable_list out = Logprob::apply(hidden, widened(weight), targets, with_entropy);
  return {out[0], with_entropy ? out[1] : Tensor()};
}

}  // namespace plain

}  // namespace

int64_t logits_rows(int64_t rows, int64_t vocab_size) {
  constexpr int64_t kFloats = 1 << 24;
  constexpr int64_t kPackedRows = 192;  // worth packing a panel of the weight
  return std::min(std::clamp<int64_t>(kFloats / vocab_size, kPackedRows, 1024), rows);
}

LogprobOutput linear_logprob(const Tensor& hidden, const Tensor& weight, const Tensor& targets,
                             bool with_entropy, const Numerics& numerics) {
  check_inputs(hidden, weight, targets);
  if (takes_plain_way(hidden, numerics))
    return plain::linear_logprob(hidden, weight, targets, with_entropy);
  const variable_list out =
      LinearLogprob::apply(hidden.contiguous(), weight.contiguous(), targets.contiguous(),
                           with_entropy, static_cast<int64_t>(numerics.arithmetic));
  return {out[0], with_entropy ? out[1] : Tensor()};
}

Tensor linear_nll(const Tensor& hidden, const Tensor& weight, const Tensor& targets,
                  const Tensor& row_weights, const Numerics& numerics) {
  check_inputs(hidden, weight, targets);
  CHECK(row_weights.dim() == 1 && row_weights.size(0) == hidden.size(0), kModel,
        "negative log-likelihood: expected {} row weights, found {}", hidden.size(0),
        row_weights.numel());
  if (takes_plain_way(hidden, numerics)) {
    const Tensor logprobs = plain::linear_logprob(hidden, weight, targets, false).logprobs;
    return -(logprobs * row_weights.to(logprobs.options())).sum();
  }
  const bool differentiable =
      at::GradMode::is_enabled();  // gradients are computed in the forward pass
  return LinearNll::apply(differentiable ? hidden.contiguous() : hidden.detach().contiguous(),
                          differentiable ? weight.contiguous() : weight.detach().contiguous(),
                          targets.contiguous(), row_weights.to(at::kFloat).contiguous(),
                          static_cast<int64_t>(numerics.arithmetic));
}

}  // namespace etrlrec
