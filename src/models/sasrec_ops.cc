#include "models/sasrec_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels/vectorize.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kGrain = 16384;  // elements of one parallel task
constexpr int64_t kColumns = 16;   // channels of one task of the embedding gradient

ETRLREC_VECTORIZE
void embed_row(float* __restrict out, const float* __restrict item,
               const float* __restrict position, int64_t offset, int64_t size, float scale,
               MaskKey key) {
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t h = noise_hash(static_cast<uint32_t>(offset + i), key.low, key.high);
    out[i] = h >= key.threshold ? (item[i] * scale + position[i]) * key.keep : 0.0f;
  }
}

// Adds scale * gradient rows to the rows `indices` of a zero table, channel block by channel block,
// tokens in order.
Tensor scatter_rows(const Tensor& gradient, const Tensor& indices, int64_t rows, double scale) {
  const int64_t tokens = gradient.size(0), width = gradient.size(1);
  Tensor table = at::zeros({rows, width});
  const float* in = gradient.const_data_ptr<float>();
  const int32_t* index = indices.const_data_ptr<int32_t>();
  float* out = table.data_ptr<float>();
  const auto factor = static_cast<float>(scale);
  at::parallel_for(0, (width + kColumns - 1) / kColumns, 1, [&](int64_t first, int64_t last) {
    const int64_t begin = first * kColumns, end = std::min(width, last * kColumns);
    for (int64_t t = 0; t < tokens; ++t) {
      const float* from = in + t * width;
      float* to = out + static_cast<int64_t>(index[t]) * width;
      for (int64_t c = begin; c < end; ++c) to[c] += factor * from[c];
    }
  });
  return table;
}

struct EmbedFunction : torch::autograd::Function<EmbedFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& item_weight,
                        const Tensor& position_weight, const Tensor& items, const Tensor& positions,
                        double scale, double rate, int64_t seed) {
    context->save_for_backward({items, positions});
    context->saved_data["scale"] = scale;
    context->saved_data["rate"] = rate;
    context->saved_data["seed"] = seed;
    context->saved_data["items"] = item_weight.size(0);
    context->saved_data["positions"] = position_weight.size(0);
    const MaskKey key = mask_key({rate, static_cast<uint64_t>(seed)});
    const int64_t tokens = items.size(0), width = item_weight.size(1);
    Tensor out = at::empty({tokens, width});
    const float* item_rows = item_weight.const_data_ptr<float>();
    const float* position_rows = position_weight.const_data_ptr<float>();
    const int32_t* item = items.const_data_ptr<int32_t>();
    const int32_t* position = positions.const_data_ptr<int32_t>();
    float* to = out.data_ptr<float>();
    at::parallel_for(0, tokens, kGrain / width + 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        embed_row(to + t * width, item_rows + item[t] * width, position_rows + position[t] * width,
                  t * width, width, static_cast<float>(scale), key);
    });
    return out;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const tensor_list saved = context->get_saved_variables();
    const MaskKey key = mask_key({context->saved_data["rate"].toDouble(),
                                  static_cast<uint64_t>(context->saved_data["seed"].toInt())});
    const Tensor gradient = mask_values(gradients[0], key);
    return {scatter_rows(gradient, saved[0], context->saved_data["items"].toInt(),
                         context->saved_data["scale"].toDouble()),
            scatter_rows(gradient, saved[1], context->saved_data["positions"].toInt(), 1),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

Tensor plain_embed_items(const Tensor& item_weight, const Tensor& position_weight,
                         const Tensor& items, const Tensor& positions, double scale,
                         const DropoutMask& mask) {
  const Tensor sum = at::embedding(item_weight, items.to(item_weight.device())) * scale +
                     at::embedding(position_weight, positions.to(position_weight.device()));
  return masked_dropout(sum, mask, {Arithmetic::kReference});
}

}  // namespace

Tensor embed_items(const Tensor& item_weight, const Tensor& position_weight, const Tensor& items,
                   const Tensor& positions, double scale, const DropoutMask& mask,
                   const Numerics& numerics) {
  if (takes_plain_way(item_weight, numerics))
    return plain_embed_items(item_weight, position_weight, items, positions, scale, mask);
  return EmbedFunction::apply(item_weight, position_weight, items, positions, scale, mask.rate,
                              static_cast<int64_t>(mask.seed));
}

}  // namespace etrlrec
