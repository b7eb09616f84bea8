// How products with frozen weights (bfloat16, int8) compute; fp32 weights multiply in fp32 always.
//   reference  plain loops in fp32 (kernels/product_reference), the twin of everything else
//   float32    weights are widened exactly, products and sums are fp32
//   bfloat16   the other operand is rounded to bfloat16 (with int8 weights and few rows: to
//              14-bit integers), every product is exact, sums are fp32
#pragma once

#include <string>

namespace etrlrec {

enum class Arithmetic { kReference, kFloat, kBFloat16 };

// True where this machine multiplies bfloat16 faster than fp32: the instruction set in use
// (kernels/simd.h) is AVX-512 with AVX512_BF16 and AVX512_VNNI.
bool supports_bfloat16();
// Error (kUsage) where it does not.
void check_bfloat16();

Arithmetic best_arithmetic();                // kBFloat16 where it is supported, else kFloat
const char* name_of(Arithmetic arithmetic);  // "reference", "float32", "bfloat16"
// A name, or "auto": the best one. Error (kUsage) for others, and for what is not supported.
Arithmetic parse_arithmetic(const std::string& name);

}  // namespace etrlrec
