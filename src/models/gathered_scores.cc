#include "models/gathered_scores.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels/vectorize.h"

namespace etrlrec {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kScoreGrain = 65536;  // multiplications of one parallel task
constexpr int64_t kScoreColumns = 16;   // channels of one task of the weights' gradient

ETRLREC_VECTORIZE
float dot_row(const float* __restrict a, const float* __restrict b, int64_t size) {
  float sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

ETRLREC_VECTORIZE
void add_row(float* __restrict to, const float* __restrict from, float factor, int64_t size) {
  for (int64_t i = 0; i < size; ++i) to[i] += factor * from[i];
}

struct ScoreFunction : torch::autograd::Function<ScoreFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden_in,
                            const at::Tensor& weight_in, const at::Tensor& items_in) {
    const at::Tensor hidden = hidden_in.contiguous(), weight = weight_in.contiguous(),
                     items = items_in.contiguous();
    context->save_for_backward({hidden, weight, items});
    const int64_t rows = items.size(0), count = items.size(1), width = hidden.size(1);
    at::Tensor scores = at::empty({rows, count});
    const float* states = hidden.const_data_ptr<float>();
    const float* matrix = weight.const_data_ptr<float>();
    const int64_t* item = items.const_data_ptr<int64_t>();
    float* out = scores.data_ptr<float>();
    at::parallel_for(0, rows, kScoreGrain / (count * width) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        for (int64_t j = t * count; j < (t + 1) * count; ++j)
          out[j] = dot_row(states + t * width, matrix + item[j] * width, width);
    });
    return scores;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const tensor_list saved = context->get_saved_variables();
    const at::Tensor &hidden = saved[0], &weight = saved[1], &items = saved[2];
    const at::Tensor gradient = gradients[0].contiguous();
    const int64_t rows = items.size(0), count = items.size(1), width = hidden.size(1);
    at::Tensor hidden_gradient = at::zeros_like(hidden), weight_gradient = at::zeros_like(weight);
    const float* states = hidden.const_data_ptr<float>();
    const float* matrix = weight.const_data_ptr<float>();
    const float* of_score = gradient.const_data_ptr<float>();
    const int64_t* item = items.const_data_ptr<int64_t>();
    float* to_hidden = hidden_gradient.data_ptr<float>();
    float* to_weight = weight_gradient.data_ptr<float>();
    at::parallel_for(0, rows, kScoreGrain / (count * width) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        for (int64_t j = t * count; j < (t + 1) * count; ++j)
          add_row(to_hidden + t * width, matrix + item[j] * width, of_score[j], width);
    });
    // Blocks of channels, not of rows: no two tasks write to the same place, and sums have one
    // order.
    const int64_t blocks = (width + kScoreColumns - 1) / kScoreColumns;
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kScoreColumns, last = std::min(width, end * kScoreColumns);
      for (int64_t t = 0; t < rows; ++t)
        for (int64_t j = t * count; j < (t + 1) * count; ++j)
          add_row(to_weight + item[j] * width + first, states + t * width + first, of_score[j],
                  last - first);
    });
    return {hidden_gradient, weight_gradient, at::Tensor()};
  }
};

}  // namespace

at::Tensor gathered_scores(const at::Tensor& hidden, const at::Tensor& weight,
                           const at::Tensor& items, const Numerics& numerics) {
  if (takes_plain_way(hidden, numerics))
    return (at::embedding(weight, items) * hidden.unsqueeze(1)).sum(-1);
  return ScoreFunction::apply(hidden, weight, items);
}

}  // namespace etrlrec
