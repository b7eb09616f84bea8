// THE table: which kernel computes a product of rows of x with a stored weight, by the number of
// rows, the type of the weight, the arithmetic and the instruction set. No other place decides.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "kernels/arithmetic.h"
#include "kernels/simd.h"
#include "kernels/weight_rows.h"

namespace etrlrec {

enum class ProductKernel {
  kReference,  // kernels/product_reference
  kVectors,    // kernels/product_vectors
  kNarrow,     // kernels/product_narrow
  kLanes,      // kernels/product_lanes
  kPacked,     // kernels/product_packed
  kLibrary,    // the caller's fp32 product (LibTorch's), with blocks of widen_rows()
};
const char* name_of(ProductKernel kernel);  // "reference", "vectors", ...

enum class Direction { kForward, kTransposed };  // see ProductOperands

// What the choice depends on.
struct ProductCase {
  int64_t rows = 0;  // of x
  WeightType type = WeightType::kFloat;
  Arithmetic arithmetic = Arithmetic::kFloat;
  Direction direction = Direction::kForward;
  int64_t in = 0;           // columns of the weight
  bool is_rounded = false;  // x or y is bfloat16 itself
};

struct RowRange {
  int64_t first = 0, last = 0;
};
inline constexpr int64_t kAnyRows = int64_t{1} << 62;

// A row of the table: its kernel where everything holds.
struct ProductRule {
  ProductKernel kernel;
  unsigned directions, types, arithmetics;  // sets: bit i is value i of the enumeration
  std::array<RowRange, 4> rows;             // the case's rows lie in one of them
  simd::Isa isa;                            // at least
  int64_t most_in;                          // columns at most
  bool takes_rounded;                       // x and y may be bfloat16
  const char* reason;
  bool holds(const ProductCase& c, simd::Isa machine) const;
};
std::span<const ProductRule> product_rules();

// The first row that holds. Error (kUsage): none does, since bfloat16 arithmetic or operands are
// asked of a machine or a weight without them.
const ProductRule& choose_product(const ProductCase& c, simd::Isa machine = simd::cpu_isa());
// True if inputs are rounded to bfloat16 and multiplied by packed weights: then x and y may be
// bfloat16 themselves.
bool uses_packed_product(const ProductCase& c);

// Runs a kernel. Error (kUsage) for kLibrary, which belongs to the caller, and for operands that
// the kernel does not take.
void multiply(ProductKernel kernel, Direction direction, const ProductOperands& p);

// The table as it applies to one machine: for each direction, type and arithmetic the ranges of
// rows with one kernel each, in order.
struct ProductLine {
  Direction direction;
  WeightType type;
  Arithmetic arithmetic;
  RowRange rows;
  const ProductRule* rule;
};
std::vector<ProductLine> product_lines(simd::Isa machine, int64_t in);

}  // namespace etrlrec
