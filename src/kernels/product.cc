#include "kernels/product.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/product_narrow.h"
#include "kernels/product_packed.h"
#include "kernels/product_reference.h"
#include "kernels/product_rows.h"

namespace etrlrec {
namespace {

using Kernel = ProductKernel;
using simd::Isa;

template <typename... Enums>
constexpr unsigned set_of(Enums... values) {
  return ((1u << static_cast<unsigned>(values)) | ...);
}

constexpr unsigned kForward = set_of(Direction::kForward);
constexpr unsigned kBothWays = set_of(Direction::kForward, Direction::kTransposed);
constexpr unsigned kFloats = set_of(WeightType::kFloat);
constexpr unsigned kHalves = set_of(WeightType::kBFloat16);
constexpr unsigned kBytes = set_of(WeightType::kInt8);
constexpr unsigned kFrozen = kHalves | kBytes;
constexpr unsigned kPlain = set_of(Arithmetic::kReference);
constexpr unsigned kExact = set_of(Arithmetic::kFloat);
constexpr unsigned kRounding = set_of(Arithmetic::kBFloat16);

constexpr int64_t kFewRows = 96;       // with frozen weights
constexpr int64_t kFewFloatRows = 48;  // with fp32 weights
constexpr int64_t kAnyIn = int64_t{1} << 62;

using Rows = std::array<RowRange, 4>;
constexpr Rows kAny{{{1, kAnyRows}}};
constexpr Rows kFew{{{1, kFewRows}}};
// At least 70 % of the lanes hold a row; 16 lanes a register, at most four registers at once.
constexpr Rows kFullLanes{{{12, 16}, {23, 32}, {34, 64}, {68, kFewRows}}};

// The first row that holds is taken.
constexpr std::array kRules{
    ProductRule{Kernel::kReference, kBothWays, kFloats | kFrozen, kPlain, kAny, Isa::kBase, kAnyIn,
                true, "plain loops are asked for"},
    ProductRule{Kernel::kVectors, kForward, kFloats, kExact | kRounding, Rows{{{1, kFewFloatRows}}},
                Isa::kBase, kAnyIn, false,
                "few rows: reading fp32 weights once beats packing them"},
    ProductRule{Kernel::kLibrary, kBothWays, kFloats, kExact | kRounding, kAny, Isa::kBase, kAnyIn,
                false, "fp32 weights: LibTorch's product"},
    ProductRule{Kernel::kVectors, kForward, kFrozen, kExact, kFew, Isa::kBase, kAnyIn, false,
                "few rows: weights are widened in registers and read once"},
    ProductRule{Kernel::kLibrary, kBothWays, kFrozen, kExact, kAny, Isa::kBase, kAnyIn, false,
                "many rows: blocks are widened for LibTorch's product"},
    ProductRule{Kernel::kLanes, kForward, kHalves, kRounding, kFullLanes, Isa::kAvx512BFloat16,
                kAnyIn, false, "rows fill 70 % of the lanes: no sums across lanes, no packing"},
    ProductRule{Kernel::kNarrow, kForward, kHalves, kRounding, kFew, Isa::kAvx512BFloat16, kAnyIn,
                false, "few rows: packing costs more than it saves"},
    ProductRule{Kernel::kNarrow, kForward, kBytes, kRounding, kFew, Isa::kAvx512BFloat16,
                kMostIntegers, false, "few rows: 14-bit integers by int8, read once"},
    ProductRule{Kernel::kVectors, kForward, kBytes, kRounding, kFew, Isa::kAvx512BFloat16, kAnyIn,
                false, "few rows, long sums: 32-bit integers would overflow"},
    ProductRule{Kernel::kPacked, kBothWays, kFrozen, kRounding, kAny, Isa::kAvx512BFloat16, kAnyIn,
                true, "many rows, or operands in bfloat16: a packed panel serves them all"},
};

bool contains(unsigned set, unsigned value) { return (set >> value & 1) != 0; }

RowKernel row_kernel(Kernel kernel) {
  if (kernel == Kernel::kLanes) return RowKernel::kLanes;
  return kernel == Kernel::kNarrow ? RowKernel::kNarrow : RowKernel::kVectors;
}

// The rows of the next range with one kernel may begin after one of these.
std::vector<int64_t> ends_of_ranges() {
  std::vector<int64_t> ends;
  for (const ProductRule& rule : kRules) {
    for (const RowRange& range : rule.rows) {
      if (range.last == 0) continue;
      ends.push_back(range.last);
      if (range.first > 1) ends.push_back(range.first - 1);
    }
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

void add_lines(const ProductCase& of, Isa machine, std::vector<ProductLine>& lines) {
  ProductCase c = of;
  c.rows = 1;
  const size_t begin = lines.size();
  for (int64_t end : ends_of_ranges()) {
    const ProductRule& rule = choose_product(c, machine);
    if (lines.size() > begin && lines.back().rule == &rule) {
      lines.back().rows.last = end;
    } else {
      lines.push_back({c.direction, c.type, c.arithmetic, {c.rows, end}, &rule});
    }
    c.rows = end + 1;
  }
}

}  // namespace

const char* name_of(ProductKernel kernel) {
  constexpr std::array kNames{"reference", "vectors", "narrow", "lanes", "packed", "library"};
  return kNames[static_cast<size_t>(kernel)];
}

bool ProductRule::holds(const ProductCase& c, Isa machine) const {
  return contains(directions, static_cast<unsigned>(c.direction)) &&
         contains(types, static_cast<unsigned>(c.type)) &&
         contains(arithmetics, static_cast<unsigned>(c.arithmetic)) && machine >= isa &&
         c.in <= most_in && (takes_rounded || !c.is_rounded) &&
         std::any_of(rows.begin(), rows.end(), [&](const RowRange& range) {
           return c.rows >= range.first && c.rows <= range.last && range.last > 0;
         });
}

std::span<const ProductRule> product_rules() { return kRules; }

const ProductRule& choose_product(const ProductCase& asked, Isa machine) {
  ProductCase c = asked;
  c.rows = std::max<int64_t>(c.rows, 1);  // no rows: as one
  for (const ProductRule& rule : kRules)
    if (rule.holds(c, machine)) return rule;
  CHECK(c.arithmetic != Arithmetic::kBFloat16 || machine >= Isa::kAvx512BFloat16, kUsage,
        "product in bfloat16 arithmetic: expected AVX512_BF16 and AVX512_VNNI, found {}\n"
        "hint: --arithmetic float32, or auto",
        simd::name_of(machine));
  fail(ExitCode::kUsage,
       "product: expected fp32 beside {} weights in {} arithmetic, found bfloat16 operands",
       name_of(c.type), name_of(c.arithmetic));
}

bool uses_packed_product(const ProductCase& c) {
  return choose_product(c).kernel == Kernel::kPacked;
}

void multiply(Kernel kernel, Direction direction, const ProductOperands& p) {
  CHECK(kernel != Kernel::kLibrary, kUsage, "product: expected a kernel, found the caller's");
  const bool forward = direction == Direction::kForward;
  if (kernel == Kernel::kReference)
    return forward ? multiply_reference(p, Arithmetic::kReference)
                   : multiply_transposed_reference(p, Arithmetic::kReference);
  if (kernel == Kernel::kPacked)
    return forward ? multiply_packed(p) : multiply_transposed_packed(p);
  CHECK(forward, kUsage, "product: expected the packed kernel for a transposed product, found {}",
        name_of(kernel));
  multiply_rows(p, row_kernel(kernel));
}

std::vector<ProductLine> product_lines(Isa machine, int64_t in) {
  std::vector<ProductLine> lines;
  for (Direction direction : {Direction::kForward, Direction::kTransposed}) {
    for (WeightType type : {WeightType::kFloat, WeightType::kBFloat16, WeightType::kInt8}) {
      for (Arithmetic arithmetic :
           {Arithmetic::kReference, Arithmetic::kFloat, Arithmetic::kBFloat16}) {
        if (arithmetic == Arithmetic::kBFloat16 && machine < Isa::kAvx512BFloat16) continue;
        add_lines({1, type, arithmetic, direction, in, false}, machine, lines);
      }
    }
  }
  return lines;
}

}  // namespace etrlrec
