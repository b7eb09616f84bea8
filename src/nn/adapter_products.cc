#include "nn/adapter_products.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "nn/weight.h"

namespace etrlrec {
namespace {

using at::Tensor;

// What the products below compute with once their operands are bfloat16.
const Numerics kRounded{Arithmetic::kBFloat16};

bool is_rounded(const Tensor& x) { return x.scalar_type() == at::kBFloat16; }

// An adapter's matrix in the type of x.
Tensor like(const Tensor& matrix, const Tensor& x) { return matrix.to(x.scalar_type()); }

Tensor stacked_lora_A(const std::vector<LinearPart>& parts) {
  std::vector<Tensor> all;
  for (const LinearPart& part : parts)
    if (part.lora_A.defined()) all.push_back(part.lora_A.detach());
  return all.size() == 1 ? all[0] : at::cat(all, 0);
}

Tensor scaled_lora_B(const LinearPart& part, const Tensor& x) {
  return like(part.lora_B.detach() * part.lora_scale, x);
}

// work(part, first column of out, first rank)
template <typename F>
void for_each_adapter(const std::vector<LinearPart>& parts, const F& work) {
  int64_t column = 0, rank = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].lora_A.defined()) {
      work(i, column, rank);
      rank += parts[i].lora_A.size(0);
    }
    column += parts[i].weight.size(0);
  }
}

// x [N, in] matrix [out, in] transposed -> [N, out] fp32
Tensor product(const Tensor& x, const Tensor& matrix) {
  if (!is_rounded(x)) return at::mm(x, matrix.t());
  Tensor out = at::empty({x.size(0), matrix.size(0)}, at::kFloat);
  weights_product_out(out, x, {matrix}, {Tensor()}, kRounded);
  return out;
}

// left [N, K] right [K, M] -> out [N, M] fp32
void plain_product_out(Tensor out, const Tensor& left, const Tensor& right) {
  if (!is_rounded(right)) {
    at::mm_out(out, left, right);
  } else {
    transposed_product_out(out, left, {right}, kRounded);
  }
}

// Fp32 rows in the type of `like`.
Tensor rows_like(const Tensor& rows, const Tensor& like) {
  return is_rounded(like) ? rounded_rows(rows) : rows;
}

}  // namespace

bool has_adapter(const std::vector<LinearPart>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const LinearPart& part) { return part.lora_A.defined(); });
}

bool adapters_use_bfloat16_math(int64_t rows, const std::vector<LinearPart>& parts,
                                const Numerics& numerics) {
  return std::all_of(parts.begin(), parts.end(), [&](const LinearPart& part) {
    const Tensor& w = part.weight;  // bfloat16 rows are read pair by pair
    return uses_bfloat16_math(rows, w, numerics) && w.size(0) % 2 == 0 && w.size(1) % 2 == 0;
  });
}

void add_adapters(Tensor out, const Tensor& x, const std::vector<LinearPart>& parts) {
  const Tensor inner = product(x, like(stacked_lora_A(parts), x));  // [T, ranks]
  for_each_adapter(parts, [&](size_t i, int64_t column, int64_t rank) {
    Tensor slice = out.narrow(1, column, parts[i].weight.size(0));
    const Tensor mine = inner.narrow(1, rank, parts[i].lora_A.size(0));
    const Tensor B = scaled_lora_B(parts[i], x);
    if (is_rounded(x)) {
      add_weight_product(slice, rounded_rows(mine), B);
    } else {
      slice.addmm_(mine, B.t());
    }
  });
}

std::vector<AdapterGradient> adapter_gradients(const Tensor& x, const Tensor& g,
                                               const std::vector<LinearPart>& parts,
                                               Tensor x_gradient) {
  const Tensor A = like(stacked_lora_A(parts), g);
  const Tensor inner_g = at::empty({g.size(0), A.size(0)}, at::kFloat);  // [T, ranks]
  for_each_adapter(parts, [&](size_t i, int64_t column, int64_t rank) {
    plain_product_out(inner_g.narrow(1, rank, parts[i].lora_A.size(0)),
                      g.narrow(1, column, parts[i].weight.size(0)), scaled_lora_B(parts[i], g));
  });
  if (x_gradient.defined()) {
    if (is_rounded(g)) {
      add_transposed_product(x_gradient, rounded_rows(inner_g), A);
    } else {
      x_gradient.addmm_(inner_g, A);
    }
  }
  std::vector<AdapterGradient> out(parts.size());
  if (!x.defined()) return out;
  const auto summed = [](const Tensor& ranks, const Tensor& rows) {  // over T -> [ranks, columns]
    const Tensor out = at::empty({ranks.size(1), rows.size(1)}, at::kFloat);
    plain_product_out(out, rows_like(ranks.t().contiguous(), rows), rows);
    return out;
  };
  const Tensor of_A = summed(inner_g, x);  // [ranks, in]
  const Tensor inner = product(x, A);
  // In bfloat16 the gradients of all parts are packed together, in fp32 each meets its own ranks.
  const Tensor of_B = is_rounded(g) ? summed(inner, g) : Tensor();  // [ranks, sum of out]
  for_each_adapter(parts, [&](size_t i, int64_t column, int64_t rank) {
    const int64_t ranks = parts[i].lora_A.size(0), rows = parts[i].weight.size(0);
    const Tensor mine = of_B.defined()
                            ? of_B.narrow(0, rank, ranks).narrow(1, column, rows).t()
                            : at::mm(g.narrow(1, column, rows).t(), inner.narrow(1, rank, ranks));
    out[i] = {of_A.narrow(0, rank, ranks), mine * parts[i].lora_scale};
  });
  return out;
}

}  // namespace etrlrec
