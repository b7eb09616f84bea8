// Noise of training: dropout, and the noise of NEFTune on input embeddings. Nothing is stored: what
// happens to an element is a hash of (seed, its index), so that backward passes repeat it, resumed
// runs continue with the same bits, and the result depends on neither threads nor order. The plain
// way drops the same elements and gives the same noise.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "base/rng.h"
#include "nn/forest.h"
#include "nn/numerics.h"

namespace etrlrec {

// Noise of one micro-batch of a language model; by default none, as in evaluation. The dropout rate
// of an adapter is in its configuration.
struct TrainingNoise {
  bool enabled = false;
  uint64_t seed = 0;
  double neftune_noise_alpha = 0;  // 0: no noise on the embeddings
  // Rate of inverted dropout on the embeddings, on the output of every attention and feed-forward
  // block before it is added, and on the final states. Decoders only.
  double hidden_dropout = 0;
};

// Inverted dropout: kept values are multiplied by 1 / (1 - rate). rate = 0: nothing is dropped and
// the seed is ignored.
struct DropoutMask {
  double rate = 0;
  uint64_t seed = 0;
};
// dropout(values), same shape, differentiable; fp32 contiguous.
at::Tensor masked_dropout(const at::Tensor& values, const DropoutMask& mask,
                          const Numerics& numerics = {});
// How dropout is drawn for one pass: each mask takes one value of the stream, none without one.
class DropoutDraws {
 public:
  DropoutDraws(double rate, Rng* rng) : rate_(rate), rng_(rng) {}
  DropoutMask next() { return rng_ == nullptr ? DropoutMask{} : DropoutMask{rate_, rng_->next()}; }

 private:
  double rate_;
  Rng* rng_;
};
// residual + dropout(values), same shapes; fp32 contiguous.
at::Tensor residual_dropout(const at::Tensor& residual, const at::Tensor& values,
                            const DropoutMask& mask, const Numerics& numerics = {});

// NEFTune (Jain et al. 2023, arXiv 2310.05914): embeddings + u * alpha / sqrt(L C), u ~ U(-1, 1).
// L is the length of a token's row as in the authors' code, or that of the longest row of the batch
// as in Transformers, which counts padding. A token that several rows of a forest share has the
// length of the longest of them.
enum class NeftuneLength { kRow, kBatch };
// alpha / sqrt(L C) of every token, [T, 1].
at::Tensor neftune_magnitudes(const TokenForest& forest, int64_t columns, double alpha,
                              NeftuneLength length = NeftuneLength::kRow);
// Values of U(-1, 1), [rows, columns], on the device of `numerics`.
at::Tensor uniform_noise(int64_t rows, int64_t columns, uint64_t seed,
                         const Numerics& numerics = {});

// For kernels that apply a mask on the fly: element i is kept when noise_hash(i, key.low, key.high)
// >= key.threshold, and multiplied by key.keep.
struct MaskKey {
  uint32_t low, high, threshold;
  float keep;
};
MaskKey mask_key(const DropoutMask& mask);
at::Tensor mask_values(const at::Tensor& values, const MaskKey& key);  // without gradient
// Integer finaliser of MurmurHash3 over a keyed counter.
inline uint32_t noise_hash(uint32_t index, uint32_t low, uint32_t high) {
  uint32_t x = (index + low) * 0x9e3779b1u ^ high;
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

}  // namespace etrlrec
