#include "nn/noise.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/vectorize.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kGrain = 16384;  // elements of one parallel task

// out = mask * values over one range; `offset` is the index of the first element.
ETRLREC_VECTORIZE
void apply_mask(float* __restrict out, const float* __restrict values, int64_t offset, int64_t size,
                MaskKey key) {
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t h = noise_hash(static_cast<uint32_t>(offset + i), key.low, key.high);
    out[i] = h >= key.threshold ? values[i] * key.keep : 0.0f;
  }
}

ETRLREC_VECTORIZE
void add_masked(float* __restrict out, const float* __restrict base, const float* __restrict values,
                int64_t offset, int64_t size, MaskKey key) {
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t h = noise_hash(static_cast<uint32_t>(offset + i), key.low, key.high);
    out[i] = base[i] + (h >= key.threshold ? values[i] * key.keep : 0.0f);
  }
}

ETRLREC_VECTORIZE
void fill_uniform(float* __restrict out, int64_t offset, int64_t size, uint32_t low,
                  uint32_t high) {
  for (int64_t i = 0; i < size; ++i) {
    const auto h =
        static_cast<int32_t>(noise_hash(static_cast<uint32_t>(offset + i), low, high) >> 8);
    out[i] = static_cast<float>(h) * 0x1.0p-23f - 1.0f;
  }
}

struct MaskFunction : torch::autograd::Function<MaskFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& values, double rate, int64_t seed) {
    context->saved_data["rate"] = rate;
    context->saved_data["seed"] = seed;
    return mask_values(values, mask_key({rate, static_cast<uint64_t>(seed)}));
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const MaskKey key = mask_key({context->saved_data["rate"].toDouble(),
                                  static_cast<uint64_t>(context->saved_data["seed"].toInt())});
    return {mask_values(gradients[0], key), Tensor(), Tensor()};
  }
};

struct ResidualFunction : torch::autograd::Function<ResidualFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& residual, const Tensor& values,
                        double rate, int64_t seed) {
    context->saved_data["rate"] = rate;
    context->saved_data["seed"] = seed;
    const MaskKey key = mask_key({rate, static_cast<uint64_t>(seed)});
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
    const MaskKey key = mask_key({context->saved_data["rate"].toDouble(),
                                  static_cast<uint64_t>(context->saved_data["seed"].toInt())});
    return {gradients[0], mask_values(gradients[0], key), Tensor(), Tensor()};
  }
};

namespace plain {

// noise_hash() of the elements 0 .. count, as int64 in [0, 2^32). Products of int64 wrap around, so
// their low 32 bits are those of the unsigned product.
Tensor hashes(int64_t count, uint32_t low, uint32_t high, at::Device device) {
  constexpr int64_t kWord = 0xffffffff;
  const auto word = [](const Tensor& t) { return at::bitwise_and(t, kWord); };
  const auto shifted = [](const Tensor& t, int64_t bits) { return t ^ t.__rshift__(bits); };
  const Tensor index = at::arange(count, at::TensorOptions(at::kLong).device(device));
  const int64_t keyed_low = low, keyed_high = high;
  Tensor x = word(word(index + keyed_low) * int64_t{0x9e3779b1}) ^ keyed_high;
  x = word(shifted(x, 16) * int64_t{0x85ebca6b});
  x = word(shifted(x, 13) * int64_t{0xc2b2ae35});
  return shifted(x, 16);
}

// 1 / (1 - rate) for kept elements and 0 for dropped ones, in the shape of `values`.
Tensor dropout_factors(const Tensor& values, const DropoutMask& mask) {
  const MaskKey key = mask_key(mask);
  const Tensor kept = hashes(values.numel(), key.low, key.high, values.device()) >=
                      static_cast<int64_t>(key.threshold);
  return (kept.to(at::kFloat) * key.keep).view(values.sizes());
}

Tensor uniform_noise(int64_t rows, int64_t columns, uint64_t seed, at::Device device) {
  const Tensor h = hashes(rows * columns, static_cast<uint32_t>(seed),
                          static_cast<uint32_t>(seed >> 32), device);
  return (h.__rshift__(8).to(at::kFloat) * 0x1.0p-23f - 1.0f).view({rows, columns});
}

}  // namespace plain

}  // namespace

MaskKey mask_key(const DropoutMask& mask) {
  CHECK(mask.rate >= 0 && mask.rate < 1, kUsage, "dropout: expected a rate in [0, 1), found {}",
        mask.rate);
  return {static_cast<uint32_t>(mask.seed), static_cast<uint32_t>(mask.seed >> 32),
          static_cast<uint32_t>(std::ldexp(mask.rate, 32)),
          static_cast<float>(1 / (1 - mask.rate))};
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

Tensor masked_dropout(const Tensor& values, const DropoutMask& mask, const Numerics& numerics) {
  if (mask.rate == 0) return values;
  if (takes_plain_way(values, numerics)) return values * plain::dropout_factors(values, mask);
  return MaskFunction::apply(values, mask.rate, static_cast<int64_t>(mask.seed));
}

Tensor residual_dropout(const Tensor& residual, const Tensor& values, const DropoutMask& mask,
                        const Numerics& numerics) {
  if (mask.rate == 0) return residual + values;
  if (takes_plain_way(values, numerics))
    return residual + values * plain::dropout_factors(values, mask);
  return ResidualFunction::apply(residual, values, mask.rate, static_cast<int64_t>(mask.seed));
}

Tensor neftune_magnitudes(const TokenForest& forest, int64_t columns, double alpha,
                          NeftuneLength length) {
  const size_t count = forest.segments.size();
  std::vector<int64_t> longest(count);  // row through each segment
  int64_t batch = 0;
  for (size_t s = count; s-- > 0;) {  // children come after their parents
    const Segment& segment = forest.segments[s];
    longest[s] = std::max(longest[s], forest.positions[segment.end - 1] + 1);
    if (segment.parent >= 0)
      longest[segment.parent] = std::max(longest[segment.parent], longest[s]);
    batch = std::max(batch, longest[s]);
  }
  Tensor magnitudes = at::empty({forest.num_tokens(), 1});
  float* out = magnitudes.data_ptr<float>();
  for (size_t s = 0; s < count; ++s) {
    const int64_t tokens = length == NeftuneLength::kRow ? longest[s] : batch;
    const auto magnitude = static_cast<float>(
        alpha / std::sqrt(static_cast<double>(tokens) * static_cast<double>(columns)));
    std::fill(out + forest.segments[s].begin, out + forest.segments[s].end, magnitude);
  }
  return magnitudes;
}

Tensor uniform_noise(int64_t rows, int64_t columns, uint64_t seed, const Numerics& numerics) {
  Tensor noise = at::empty({rows, columns}, numerics.device);
  if (takes_plain_way(noise, numerics))
    return plain::uniform_noise(rows, columns, seed, numerics.device);
  float* out = noise.data_ptr<float>();
  at::parallel_for(0, noise.numel(), kGrain, [&](int64_t begin, int64_t end) {
    fill_uniform(out + begin, begin, end - begin, static_cast<uint32_t>(seed),
                 static_cast<uint32_t>(seed >> 32));
  });
  return noise;
}

}  // namespace etrlrec
