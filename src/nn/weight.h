// Weight matrices [out, in] in their storage type: fp32 (trainable), bfloat16 or int8 (frozen). An
// int8 weight is a view of memory in which the fp32 scales of its rows lie before the values, so
// one tensor carries both; only quantized() makes them. Products accumulate in fp32. On the CPU
// frozen weights are widened in blocks, so that a large matrix is never in memory as fp32; the
// plain way widens the whole matrix.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "nn/numerics.h"

namespace etrlrec {

// How a language model keeps the matrices of its file in memory.
enum class Storage { kFloat, kBFloat16, kInt8 };
// "float32", "bfloat16", "int8"; error (kUsage) for others.
Storage parse_storage(const std::string& name);

Storage storage_of(const at::Tensor& weight);
bool is_frozen_type(const at::Tensor& weight);  // bfloat16 or int8
bool is_int8(const at::Tensor& weight);
// True if inputs of many rows, and gradients of any number, are rounded to bfloat16 before the
// product with the weight.
bool uses_bfloat16_math(const at::Tensor& weight, const Numerics& numerics = {});
// True if `rows` rows are so many: then they may be bfloat16 themselves.
bool uses_bfloat16_math(int64_t rows, const at::Tensor& weight, const Numerics& numerics = {});
const float* row_scales(const at::Tensor& weight);  // [out] of an int8 weight, null for others
// w = scale * q with scale = max |w| / 127 of each row; w fp32 or bfloat16 [out, in].
at::Tensor quantized(const at::Tensor& weight);
// The weight on another device, with the scales of int8 rows; itself if it is there.
at::Tensor moved_to(const at::Tensor& weight, at::Device device);
// The weight as fp32; itself if it is.
at::Tensor widened(const at::Tensor& weight);
// Rows `ids` [n] as fp32 [n, in]; differentiable for fp32.
at::Tensor weight_rows(const at::Tensor& weight, const at::Tensor& ids,
                       const Numerics& numerics = {});

// out [T, sum of rows] = x [T, in] times the transposed weights, side by side, plus biases ([rows]
// or undefined each), by the kernel that kernels/product chooses. No gradient. x and out may be
// bfloat16 where every weight uses_bfloat16_math(); a row of x with an odd number of values is then
// followed by a 0.
void weights_product_out(at::Tensor out, const at::Tensor& x,
                         const std::vector<at::Tensor>& weights,
                         const std::vector<at::Tensor>& biases, const Numerics& numerics = {});
// x [T, in] -> [T, out], without bias and gradient.
at::Tensor weight_product(const at::Tensor& x, const at::Tensor& weight,
                          const Numerics& numerics = {});
// out [T, in] = sum over the weights of their columns of g [T, sum of rows] times the weight. No
// gradient. Where every weight uses_bfloat16_math(), g may be bfloat16 and has row_scales() of int8
// weights in it already (odd rows as above), and out may be bfloat16.
void transposed_product_out(at::Tensor out, const at::Tensor& g,
                            const std::vector<at::Tensor>& weights, const Numerics& numerics = {});

// x [T, C] fp32 as bfloat16 rows, each followed by a 0 where C is odd.
at::Tensor rounded_rows(const at::Tensor& x);
// out [T, rows] += x [T, in] times the transposed weight; out fp32, x bfloat16, the weight
// uses_bfloat16_math().
void add_weight_product(at::Tensor out, const at::Tensor& x, const at::Tensor& weight);
// out [T, in] += g [T, rows] times the weight, which may be int8, see transposed_product_out().
void add_transposed_product(at::Tensor out, const at::Tensor& g, const at::Tensor& weight);

}  // namespace etrlrec
