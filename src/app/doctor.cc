// etrlrec doctor: what this machine is, how fast the arithmetic of the language models runs on it,
// and which kernel computes which product.
#include <ATen/Parallel.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"
#include "kernels/product.h"
#include "method/machine.h"

namespace etrlrec {
namespace {

constexpr int64_t kColumns = 1024;  // of the weights whose products are shown

const char* name_of(Direction direction) {
  return direction == Direction::kForward ? "forward" : "backward";
}

std::string rows_text(const RowRange& rows) {
  if (rows.last == kAnyRows) return fmt::format("{}+", rows.first);
  return rows.first == rows.last ? fmt::format("{}", rows.first)
                                 : fmt::format("{}-{}", rows.first, rows.last);
}

// The table of kernels/product as it applies to this machine, all arithmetics.
OrderedJson products_json() {
  OrderedJson lines = OrderedJson::array();
  for (const ProductLine& line : product_lines(simd::cpu_isa(), kColumns)) {
    lines.push_back({{"direction", name_of(line.direction)},
                     {"weights", name_of(line.type)},
                     {"arithmetic", name_of(line.arithmetic)},
                     {"rows", rows_text(line.rows)},
                     {"kernel", name_of(line.rule->kernel)},
                     {"reason", line.rule->reason}});
  }
  return lines;
}

// The same for one arithmetic; a line holds all rows of a kernel.
void print_products(Arithmetic arithmetic) {
  fmt::print("products in {} arithmetic on {}:\n  {:9}{:10}{:11}{:30}{}\n", name_of(arithmetic),
             simd::name_of(simd::cpu_isa()), "", "weights", "kernel", "rows", "reason");
  std::vector<ProductLine> lines = product_lines(simd::cpu_isa(), kColumns);
  std::erase_if(lines, [&](const ProductLine& line) { return line.arithmetic != arithmetic; });
  const auto is_same = [](const ProductLine& a, const ProductLine& b) {
    return a.rule == b.rule && a.type == b.type && a.direction == b.direction;
  };
  for (auto line = lines.begin(); line != lines.end(); ++line) {
    const auto has_line = [&](const ProductLine& other) { return is_same(other, *line); };
    if (std::any_of(lines.begin(), line, has_line)) continue;
    std::string rows;
    for (const ProductLine& other : lines)
      if (is_same(other, *line)) rows += (rows.empty() ? "" : ", ") + rows_text(other.rows);
    fmt::print("  {:9}{:10}{:11}{:30}{}\n", name_of(line->direction), name_of(line->type),
               name_of(line->rule->kernel), rows, line->rule->reason);
  }
}

void doctor(const CommonOptions& common) {
  const double memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  const Numerics numerics = common.numerics();
  const double fp32 = linear_rate(at::kFloat, numerics),
               bf16 = linear_rate(at::kBFloat16, numerics);
  const OrderedJson found = {{"schema_version", 1},
                             {"version", kVersion},
                             {"cpu", cpu_description()},
                             {"threads", at::get_num_threads()},
                             {"memory_gib", memory / (1 << 30)},
                             {"gflops_fp32", fp32},
                             {"gflops_bf16", bf16},
                             {"arithmetic", name_of(numerics.arithmetic)},
                             {"instruction_set", simd::name_of(simd::cpu_isa())},
                             {"products", products_json()}};
  if (common.json) {
    std::cout << found.dump(2) << "\n";
    return;
  }
  fmt::print("etrlrec {}\nCPU {} · {} threads · {:.1f} GiB\n", kVersion, cpu_description(),
             at::get_num_threads(), memory / (1 << 30));
  fmt::print(
      "linear layers: {:.0f} GFLOP/s with fp32 weights, {:.0f} with bfloat16 ones ({} "
      "arithmetic)\n",
      fp32, bf16, name_of(numerics.arithmetic));
  print_products(numerics.arithmetic);
  fmt::print("next: etrlrec demo --quick\n");
}

}  // namespace

void add_doctor(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("doctor", "what this machine is and how fast its arithmetic runs");
  command.example("doctor");
  command.alias("env");
  command.on_run([&common] { doctor(common); });
}

}  // namespace etrlrec
