#include <gtest/gtest.h>

#include "base/json.h"
#include "kernels/product.h"
#include "method/machine.h"

namespace etrlrec {
namespace {

const Machine kMachine{.cpu = "Example 9",
                       .threads = 2,
                       .memory_gib = 7.5,
                       .arithmetic = Arithmetic::kFloat,
                       .gflops_fp32 = 120,
                       .gflops_bf16 = 80};

TEST(MachineReport, document_names_a_kernel_for_every_product) {
  const OrderedJson document = to_json(kMachine);
  EXPECT_EQ(document["cpu"], "Example 9");
  EXPECT_EQ(document["arithmetic"], "float32");
  EXPECT_EQ(document["gflops_bf16"], 80.0);
  EXPECT_EQ(document["products"].size(), product_lines(simd::cpu_isa(), 1024).size());
  for (const OrderedJson& line : document["products"])
    for (const char* key : {"direction", "weights", "arithmetic", "rows", "kernel", "reason"})
      EXPECT_NE(line.at(key), "") << line;
}

TEST(MachineReport, lines_hold_the_products_of_one_arithmetic) {
  const std::string text = format_machine(kMachine);
  EXPECT_NE(text.find("CPU Example 9 · 2 threads · 7.5 GiB\n"
                      "linear layers: 120 GFLOP/s with fp32 weights, 80 with bfloat16 ones "
                      "(float32 arithmetic)\nproducts in float32 arithmetic on "),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  forward  float32   library"), std::string::npos) << text;
}

}  // namespace
}  // namespace etrlrec
