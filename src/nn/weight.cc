#include "nn/weight.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"
#include "kernels/bfloat16.h"
#include "kernels/product.h"
#include "kernels/weight_rows.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr int64_t kBlockValues = int64_t{1} << 22;  // widened at a time

WeightRows stored_rows(const Tensor& weight) {
  WeightRows rows;
  rows.data = weight.const_data_ptr();
  rows.out = weight.size(0);
  rows.in = weight.size(1);
  if (weight.scalar_type() == at::kBFloat16) rows.type = WeightType::kBFloat16;
  if (is_int8(weight)) {
    const auto scale_bytes = rows.out * static_cast<int64_t>(sizeof(float));
    CHECK(weight.storage_offset() == scale_bytes && weight.is_contiguous(), kModel,
          "int8 weight: expected the scales of {} rows in front of the values", rows.out);
    rows.type = WeightType::kInt8;
    rows.scale = reinterpret_cast<const float*>(static_cast<const char*>(rows.data) - scale_bytes);
  }
  return rows;
}

std::vector<WeightRows> stored_rows(const std::vector<Tensor>& weights) {
  std::vector<WeightRows> stored;
  for (const Tensor& weight : weights) stored.push_back(stored_rows(weight));
  return stored;
}

ProductOperands operands(const Tensor& out, const Tensor& x, std::span<const WeightRows> weights) {
  ProductOperands p;
  p.rows = x.size(0);
  p.x_stride = x.stride(0);
  p.weights = weights;
  p.y_stride = out.stride(0);
  const auto is_rounded = [](const Tensor& t) { return t.scalar_type() == at::kBFloat16; };
  if (is_rounded(x)) {
    p.rounded_x = static_cast<const uint16_t*>(x.const_data_ptr());
  } else {
    p.x = x.const_data_ptr<float>();
  }
  if (is_rounded(out)) {
    p.rounded_y = static_cast<uint16_t*>(out.data_ptr());
  } else {
    p.y = out.data_ptr<float>();
  }
  return p;
}

// work(first row, rows, block [rows, in] as fp32)
template <typename F>
void for_each_block(const Tensor& weight, const F& work) {
  const WeightRows rows = stored_rows(weight);
  const int64_t size = std::max<int64_t>(kBlockValues / rows.in, 1);
  const Tensor memory = at::empty({std::min(size, rows.out), rows.in}, at::kFloat);
  for (int64_t row = 0; row < rows.out; row += size) {
    const int64_t count = std::min(size, rows.out - row);
    widen_rows(rows, row, row + count, memory.data_ptr<float>());
    work(row, count, memory.narrow(0, 0, count));
  }
}

// The tensors as one [sum of rows, ...] tensor where they follow each other in memory.
Tensor adjacent(const std::vector<Tensor>& tensors) {
  if (tensors.size() == 1) return tensors[0].detach();
  int64_t rows = 0;
  const char* next = static_cast<const char*>(tensors[0].data_ptr());
  for (const Tensor& t : tensors) {
    if (!t.is_contiguous() || t.data_ptr() != next ||
        t.storage().data() != tensors[0].storage().data())
      return {};
    next += t.nbytes();
    rows += t.size(0);
  }
  std::vector<int64_t> sizes = tensors[0].sizes().vec();
  sizes[0] = rows;
  return tensors[0].detach().as_strided(sizes, tensors[0].strides());
}

bool all_float(const std::vector<Tensor>& weights) {
  return std::none_of(weights.begin(), weights.end(), is_frozen_type);
}

WeightType type_of(const Tensor& weight) {
  if (is_int8(weight)) return WeightType::kInt8;
  return is_frozen_type(weight) ? WeightType::kBFloat16 : WeightType::kFloat;
}

ProductCase case_of(int64_t rows, const Tensor& weight, Direction direction,
                    const Numerics& numerics) {
  return {rows, type_of(weight), numerics.arithmetic, direction, weight.size(1), false};
}

// Kernels read memory row by row.
bool in_rows(const Tensor& x) { return x.stride(1) == 1; }

// The kernel of a product of x with the weights. Weights of unlike types have one kernel in common
// at most, that of many rows.
ProductKernel kernel_of(const Tensor& out, const Tensor& x, const std::vector<Tensor>& weights,
                        Direction direction, const Numerics& numerics) {
  const auto all = [&](auto holds) { return std::all_of(weights.begin(), weights.end(), holds); };
  const bool alike = all([&](const Tensor& w) { return type_of(w) == type_of(weights[0]); });
  const bool stored_in_rows = all([](const Tensor& w) { return w.is_contiguous(); });
  ProductCase c = case_of(x.size(0), weights[0], direction, numerics);
  c.is_rounded = !all_float({x, out});
  ProductKernel kernel = ProductKernel::kLibrary;
  if (in_rows(x) && in_rows(out) && stored_in_rows) {
    if (alike) return choose_product(c).kernel;
    if (all([&](const Tensor& w) { return uses_bfloat16_math(w, numerics); }))
      kernel = ProductKernel::kPacked;
  }
  CHECK(!c.is_rounded || kernel == ProductKernel::kPacked, kUsage,
        "product: expected bfloat16 operands and weights in rows, found others");
  return kernel;
}

namespace plain {

// The scales of an int8 weight, which lie in front of its values, as fp32 [out].
Tensor scales(const Tensor& weight) {
  const auto bytes = weight.size(0) * static_cast<int64_t>(sizeof(float));
  return weight.as_strided({bytes}, {1}, 0).view(at::kFloat);
}

Tensor widened(const Tensor& weight) {
  if (!is_frozen_type(weight)) return weight;
  const Tensor values = weight.to(at::kFloat);
  return is_int8(weight) ? values * scales(weight).unsqueeze(1) : values;
}

Tensor weight_rows(const Tensor& weight, const Tensor& ids) {
  if (!is_frozen_type(weight)) return at::embedding(weight, ids);
  const Tensor values = weight.index_select(0, ids).to(at::kFloat);
  return is_int8(weight) ? values * scales(weight).index_select(0, ids).unsqueeze(1) : values;
}

void weights_product_out(const Tensor& out, const Tensor& x, const std::vector<Tensor>& weights,
                         const std::vector<Tensor>& biases) {
  int64_t column = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    Tensor slice = out.narrow(1, column, weights[i].size(0));
    at::mm_out(slice, x, widened(weights[i]).t());
    if (biases[i].defined()) slice.add_(biases[i]);
    column += weights[i].size(0);
  }
}

void transposed_product_out(Tensor out, const Tensor& g, const std::vector<Tensor>& weights) {
  int64_t column = 0;
  for (const Tensor& weight : weights) {
    const Tensor part = g.narrow(1, column, weight.size(0));
    at::addmm_out(out, out, part, widened(weight), column == 0 ? 0 : 1);
    column += weight.size(0);
  }
}

}  // namespace plain

// Many rows of x, fp32 weights. Weights that follow each other in memory are one product.
void wide_product(Tensor out, const Tensor& x, const std::vector<Tensor>& weights,
                  const std::vector<Tensor>& biases) {
  const Tensor weight = adjacent(weights);
  const bool biased =
      std::all_of(biases.begin(), biases.end(), [](auto& b) { return b.defined(); });
  const Tensor bias = biased ? adjacent(biases) : Tensor();
  if (weight.defined() && bias.defined()) {
    at::addmm_out(out, bias, x, weight.t());
    return;
  }
  if (weight.defined()) at::mm_out(out, x, weight.t());
  int64_t column = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    Tensor slice = out.narrow(1, column, weights[i].size(0));
    if (!weight.defined()) at::mm_out(slice, x, weights[i].detach().t());
    if (biases[i].defined()) slice.add_(biases[i].detach());
    column += weights[i].size(0);
  }
}

void widened_product(Tensor out, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  for_each_block(weight, [&](int64_t row, int64_t count, const Tensor& block) {
    Tensor slice = out.narrow(1, row, count);
    at::mm_out(slice, x, block.t());
  });
  if (bias.defined()) out.add_(bias.detach());
}

}  // namespace

Storage parse_storage(const std::string& name) {
  if (name == "float32") return Storage::kFloat;
  if (name == "bfloat16") return Storage::kBFloat16;
  CHECK(name == "int8", kUsage, "weights: expected float32, bfloat16 or int8, found {}", name);
  return Storage::kInt8;
}

Storage storage_of(const Tensor& weight) {
  if (is_int8(weight)) return Storage::kInt8;
  return is_frozen_type(weight) ? Storage::kBFloat16 : Storage::kFloat;
}

bool is_frozen_type(const Tensor& weight) { return weight.scalar_type() != at::kFloat; }

bool uses_bfloat16_math(const Tensor& weight, const Numerics& numerics) {
  return weight.is_contiguous() && !takes_plain_way(weight, numerics) &&
         uses_packed_product(case_of(1, weight, Direction::kTransposed, numerics));
}

bool uses_bfloat16_math(int64_t rows, const Tensor& weight, const Numerics& numerics) {
  return weight.is_contiguous() && !takes_plain_way(weight, numerics) &&
         uses_packed_product(case_of(rows, weight, Direction::kForward, numerics));
}

bool is_int8(const Tensor& weight) { return weight.scalar_type() == at::kChar; }

Tensor quantized(const Tensor& weight) {
  const int64_t rows = weight.size(0), columns = weight.size(1);
  const auto scale_bytes = rows * static_cast<int64_t>(sizeof(float));
  const Tensor memory = at::empty({scale_bytes + rows * columns}, at::kChar);
  auto* bytes = memory.data_ptr<int8_t>();
  const int64_t block = std::max<int64_t>(kBlockValues / columns, 1);
  for (int64_t row = 0; row < rows; row += block) {
    const int64_t count = std::min(block, rows - row);
    const Tensor values = weight.detach().narrow(0, row, count).to(at::kFloat).contiguous();
    quantize_rows(values.const_data_ptr<float>(), count, columns,
                  bytes + scale_bytes + row * columns, reinterpret_cast<float*>(bytes) + row);
  }
  return memory.as_strided({rows, columns}, {columns, 1}, scale_bytes).detach();
}

Tensor moved_to(const Tensor& weight, at::Device device) {
  if (!is_int8(weight)) return weight.to(device);
  const int64_t offset = weight.storage_offset();
  const Tensor memory = weight.as_strided({offset + weight.numel()}, {1}, 0).to(device);
  return memory.as_strided(weight.sizes(), weight.strides(), offset).detach();
}

Tensor widened(const Tensor& weight) {
  if (!is_frozen_type(weight)) return weight;
  if (takes_plain_way(weight, {})) return plain::widened(weight);
  Tensor out = at::empty(weight.sizes(), at::kFloat);
  const WeightRows rows = stored_rows(weight);
  widen_rows(rows, 0, rows.out, out.data_ptr<float>());
  return out;
}

Tensor weight_rows(const Tensor& weight, const Tensor& ids, const Numerics& numerics) {
  if (takes_plain_way(weight, numerics)) return plain::weight_rows(weight, ids);
  if (!is_frozen_type(weight)) return at::embedding(weight, ids);
  Tensor out = at::empty({ids.numel(), weight.size(1)}, at::kFloat);
  const WeightRows rows = stored_rows(weight);
  const int64_t* id = ids.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i)
    widen_rows(rows, id[i], id[i] + 1, out.data_ptr<float>() + i * rows.in);
  return out;
}

const float* row_scales(const Tensor& weight) { return stored_rows(weight).scale; }

void weights_product_out(Tensor out, const Tensor& x, const std::vector<Tensor>& weights,
                         const std::vector<Tensor>& biases, const Numerics& numerics) {
  const at::NoGradGuard no_grad;
  if (takes_plain_way(x, numerics)) return plain::weights_product_out(out, x, weights, biases);
  const ProductKernel kernel = kernel_of(out, x, weights, Direction::kForward, numerics);
  if (kernel != ProductKernel::kLibrary) {
    std::vector<WeightRows> stored = stored_rows(weights);
    for (size_t i = 0; i < weights.size(); ++i)
      if (biases[i].defined()) stored[i].bias = biases[i].const_data_ptr<float>();
    return multiply(kernel, Direction::kForward, operands(out, x, stored));
  }
  if (all_float(weights)) return wide_product(out, x, weights, biases);
  int64_t column = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    widened_product(out.narrow(1, column, weights[i].size(0)), x, weights[i], biases[i]);
    column += weights[i].size(0);
  }
}

Tensor weight_product(const Tensor& x, const Tensor& weight, const Numerics& numerics) {
  Tensor out = at::empty({x.size(0), weight.size(0)}, x.options().dtype(at::kFloat));
  weights_product_out(out, x.detach().contiguous(), {weight}, {Tensor()}, numerics);
  return out;
}

void transposed_product_out(Tensor out, const Tensor& g, const std::vector<Tensor>& weights,
                            const Numerics& numerics) {
  const at::NoGradGuard no_grad;
  if (takes_plain_way(g, numerics)) return plain::transposed_product_out(out, g, weights);
  const ProductKernel kernel = kernel_of(out, g, weights, Direction::kTransposed, numerics);
  if (kernel != ProductKernel::kLibrary)
    return multiply(kernel, Direction::kTransposed, operands(out, g, stored_rows(weights)));
  if (all_float(weights)) {
    const Tensor joined = adjacent(weights);
    at::mm_out(out, g, joined.defined() ? joined : at::cat(weights, 0));
    return;
  }
  int64_t column = 0;
  for (const Tensor& weight : weights) {
    for_each_block(weight, [&](int64_t row, int64_t count, const Tensor& block) {
      const Tensor part = g.narrow(1, column + row, count);
      at::addmm_out(out, out, part, block, column + row == 0 ? 0 : 1);
    });
    column += weight.size(0);
  }
}

Tensor rounded_rows(const Tensor& x) {
  const Tensor in_rows = x.stride(1) == 1 ? x : x.contiguous();
  const int64_t rows = x.size(0), columns = x.size(1);
  const Tensor out = at::empty({rows, padded_columns(columns)}, at::kBFloat16);
  round_rows(in_rows.const_data_ptr<float>(), rows, in_rows.stride(0), columns,
             static_cast<uint16_t*>(out.data_ptr()));
  return out.narrow(1, 0, columns);
}

void add_weight_product(Tensor out, const Tensor& x, const Tensor& weight) {
  const WeightRows stored = stored_rows(weight);
  ProductOperands product = operands(out, x, {&stored, 1});
  product.accumulate = true;
  multiply(ProductKernel::kPacked, Direction::kForward, product);
}

void add_transposed_product(Tensor out, const Tensor& g, const Tensor& weight) {
  const WeightRows stored = stored_rows(weight);
  ProductOperands product = operands(out, g, {&stored, 1});
  product.accumulate = true;
  multiply(ProductKernel::kPacked, Direction::kTransposed, product);
}

}  // namespace etrlrec
