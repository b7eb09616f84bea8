// The table of products: every case has one kernel that the machine can run, every row is of use.
#include <gtest/gtest.h>

#include <set>

#include "base/check.h"
#include "isa_scope.h"
#include "kernels/product.h"

namespace etrlrec {
namespace {

using simd::Isa;

constexpr std::array kIsas{Isa::kBase, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512BFloat16};
constexpr std::array kTypes{WeightType::kFloat, WeightType::kBFloat16, WeightType::kInt8};
constexpr std::array kArithmetics{Arithmetic::kReference, Arithmetic::kFloat,
                                  Arithmetic::kBFloat16};

template <typename F>
void for_each_case(const F& work) {
  std::vector<int64_t> counts{0, 500, 5000, int64_t{1} << 40};
  for (int64_t rows = 1; rows <= 200; ++rows) counts.push_back(rows);
  for (Isa isa : kIsas)
    for (WeightType type : kTypes)
      for (Arithmetic arithmetic : kArithmetics)
        for (Direction direction : {Direction::kForward, Direction::kTransposed})
          for (int64_t in : {64, 40000})
            for (int64_t rows : counts)
              for (bool is_rounded : {false, true})
                work(ProductCase{rows, type, arithmetic, direction, in, is_rounded}, isa);
}

bool is_refused(const ProductCase& c, Isa isa) {
  if (c.arithmetic == Arithmetic::kReference) return false;
  if (c.type == WeightType::kFloat || c.arithmetic == Arithmetic::kFloat) return c.is_rounded;
  return isa < Isa::kAvx512BFloat16;
}

TEST(ProductTable, every_case_has_a_kernel_of_its_machine_or_is_refused) {
  std::set<const ProductRule*> used;
  for_each_case([&](const ProductCase& c, Isa isa) {
    if (is_refused(c, isa)) {
      EXPECT_THROW(choose_product(c, isa), Error);
      return;
    }
    const ProductRule& rule = choose_product(c, isa);
    used.insert(&rule);
    EXPECT_LE(rule.isa, isa);
    EXPECT_TRUE(!c.is_rounded || rule.takes_rounded);
    EXPECT_EQ(rule.kernel == ProductKernel::kReference, c.arithmetic == Arithmetic::kReference);
    const bool few = rule.kernel == ProductKernel::kVectors ||
                     rule.kernel == ProductKernel::kNarrow || rule.kernel == ProductKernel::kLanes;
    EXPECT_FALSE(few && c.direction == Direction::kTransposed);
  });
  EXPECT_EQ(used.size(), product_rules().size());  // no row without a case
  for (const ProductRule& rule : product_rules()) EXPECT_STRNE(rule.reason, "");
}

TEST(ProductTable, rows_are_lanes_where_seventy_per_cent_of_the_lanes_hold_one) {
  for (int64_t rows = 1; rows <= 300; ++rows) {
    const int64_t passes = (rows + 63) / 64, vecs = (rows + 16 * passes - 1) / (16 * passes);
    const bool full = rows <= 96 && 10 * rows >= 7 * 16 * passes * vecs;
    const ProductKernel kernel = choose_product({rows, WeightType::kBFloat16, Arithmetic::kBFloat16,
                                                 Direction::kForward, 64, false},
                                                Isa::kAvx512BFloat16)
                                     .kernel;
    EXPECT_EQ(kernel == ProductKernel::kLanes, full) << rows;
  }
}

TEST(ProductTable, long_sums_of_integers_are_not_taken) {
  ProductCase c{4, WeightType::kInt8, Arithmetic::kBFloat16, Direction::kForward, 32768, false};
  EXPECT_EQ(choose_product(c, Isa::kAvx512BFloat16).kernel, ProductKernel::kNarrow);
  c.in = 32769;
  EXPECT_EQ(choose_product(c, Isa::kAvx512BFloat16).kernel, ProductKernel::kVectors);
}

TEST(ProductTable, lines_of_a_machine_cover_all_rows_once) {
  for (Isa isa : kIsas) {
    const std::vector<ProductLine> lines = product_lines(isa, 512);
    int64_t next = 1;
    for (size_t i = 0; i < lines.size(); ++i) {
      EXPECT_EQ(lines[i].rows.first, next);
      for (int64_t rows : {lines[i].rows.first, lines[i].rows.last})
        EXPECT_EQ(lines[i].rule, &choose_product({rows, lines[i].type, lines[i].arithmetic,
                                                  lines[i].direction, 512, false},
                                                 isa));
      next = lines[i].rows.last == kAnyRows ? 1 : lines[i].rows.last + 1;
    }
    EXPECT_EQ(next, 1);
  }
}

TEST(ProductTable, names_and_instruction_sets_are_checked) {
  for (Isa isa : kIsas) EXPECT_EQ(simd::parse_isa(simd::name_of(isa)), isa);
  EXPECT_THROW(simd::parse_isa("sse9"), Error);
  for (Isa isa : kIsas) {
    if (simd::is_supported(isa)) continue;
    EXPECT_THROW(simd::set_isa(isa), Error);
  }
  for (Arithmetic arithmetic : {Arithmetic::kReference, Arithmetic::kFloat})
    EXPECT_EQ(parse_arithmetic(name_of(arithmetic)), arithmetic);
  EXPECT_EQ(parse_arithmetic("auto"), best_arithmetic());
  EXPECT_THROW(parse_arithmetic("fp8"), Error);
}

TEST(ProductTable, bfloat16_arithmetic_without_the_instructions_is_refused) {
  const IsaScope scope(Isa::kBase);
  EXPECT_FALSE(supports_bfloat16());
  EXPECT_EQ(best_arithmetic(), Arithmetic::kFloat);
  EXPECT_THROW(check_bfloat16(), Error);
  EXPECT_THROW(parse_arithmetic("bfloat16"), Error);
}

}  // namespace
}  // namespace etrlrec
