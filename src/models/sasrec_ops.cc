#include "models/sasrec_ops.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "base/check.h"
#include "nn/vectorize.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kGrain = 16384;  // elements of one parallel task
constexpr int64_t kColumns = 16;   // channels of one task of the embedding gradient

// Integer finaliser of MurmurHash3 over a keyed counter.
inline uint32_t hash(uint32_t index, uint32_t low, uint32_t high) {
  uint32_t x = (index + low) * 0x9e3779b1u ^ high;
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

struct MaskKey {
  uint32_t low, high, threshold;
  float keep;
};

MaskKey make_key(const DropoutMask& mask) {
  CHECK(mask.rate >= 0 && mask.rate < 1, kUsage, "dropout: expected a rate in [0, 1), found {}",
        mask.rate);
  return {static_cast<uint32_t>(mask.seed), static_cast<uint32_t>(mask.seed >> 32),
          static_cast<uint32_t>(std::ldexp(mask.rate, 32)),
          static_cast<float>(1 / (1 - mask.rate))};
}

// out = base + mask * values over one range; base may be null. `offset` is the index of the first
// element.
ETRLREC_VECTORIZE
void apply_mask(float* __restrict out, const float* __restrict values, int64_t offset, int64_t size,
                MaskKey key) {
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t h = hash(static_cast<uint32_t>(offset + i), key.low, key.high);
    out[i] = h >= key.threshold ? values[i] * key.keep : 0.0f;
  }
}

ETRLREC_VECTORIZE
void add_masked(float* __restrict out, const float* __restrict base, const float* __restrict values,
                int64_t offset, int64_t size, MaskKey key) {
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t h = hash(static_cast<uint32_t>(offset + i), key.low, key.high);
    out[i] = base[i] + (h >= key.threshold ? values[i] * key.keep : 0.0f);
  }
}

ETRLREC_VECTORIZE
void embed_row(float* __restrict out, const float* __restrict item,
               const float* __restrict position, int64_t offset, int64_t size, float scale,
               MaskKey key) {
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t h = hash(static_cast<uint32_t>(offset + i), key.low, key.high);
    out[i] = h >= key.threshold ? (item[i] * scale + position[i]) * key.keep : 0.0f;
  }
}

Tensor mask_values(const Tensor& values, const MaskKey& key) {
  const Tensor source = values.contiguous();
  Tensor out = at::empty_like(source);
  const float* in = source.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, source.numel(), kGrain, [&](int64_t begin, int64_t end) {
    apply_mask(to + begin, in + begin, begin, end - begin, key);
  });
  return out;
}

struct MaskFunction : torch::autograd::Function<MaskFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& values, double rate, int64_t seed) {
    context->saved_data["rate"] = rate;
    context->saved_data["seed"] = seed;
    return mask_values(values, make_key({rate, static_cast<uint64_t>(seed)}));
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const MaskKey key = make_key({context->saved_data["rate"].toDouble(),
                                  static_cast<uint64_t>(context->saved_data["seed"].toInt())});
    return {mask_values(gradients[0], key), Tensor(), Tensor()};
  }
};

struct ResidualFunction : torch::autograd::Function<ResidualFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& residual, const Tensor& values,
                        double rate, int64_t seed) {
    context->saved_data["rate"] = rate;
    context->saved_data["seed"] = seed;
    const MaskKey key = make_key({rate, static_cast<uint64_t>(seed)});
    const Tensor base = residual.contiguous(), source = values.contiguous();
    Tensor out = at::empty_like(base);
    const float* from = base.const_data_ptr<float>();
    const float* in = source.const_data_ptr<float>();
    float* to = out.data_ptr<float>();
    at::parallel_for(0, base.numel(), kGrain, [&](int64_t begin, int64_t end) {
      add_masked(to + begin, from + begin, in + begin, begin, end - begin, key);
    });
    return out;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const MaskKey key = make_key({context->saved_data["rate"].toDouble(),
                                  static_cast<uint64_t>(context->saved_data["seed"].toInt())});
    return {gradients[0], mask_values(gradients[0], key), Tensor(), Tensor()};
  }
};

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
    const MaskKey key = make_key({rate, static_cast<uint64_t>(seed)});
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
    const MaskKey key = make_key({context->saved_data["rate"].toDouble(),
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

}  // namespace

Tensor embed_items(const Tensor& item_weight, const Tensor& position_weight, const Tensor& items,
                   const Tensor& positions, double scale, const DropoutMask& mask) {
  return EmbedFunction::apply(item_weight, position_weight, items, positions, scale, mask.rate,
                              static_cast<int64_t>(mask.seed));
}

Tensor masked_dropout(const Tensor& values, const DropoutMask& mask) {
  if (mask.rate == 0) return values;
  return MaskFunction::apply(values, mask.rate, static_cast<int64_t>(mask.seed));
}

Tensor residual_dropout(const Tensor& residual, const Tensor& values, const DropoutMask& mask) {
  if (mask.rate == 0) return residual + values;
  return ResidualFunction::apply(residual, values, mask.rate, static_cast<int64_t>(mask.seed));
}

}  // namespace etrlrec
