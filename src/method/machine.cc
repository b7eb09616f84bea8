#include "method/machine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/json.h"
#include "kernels/product.h"
#include "method/run_record.h"
#include "nn/weight.h"

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

std::string format_products(Arithmetic arithmetic) {
  std::string text = fmt::format("products in {} arithmetic on {}:\n  {:9}{:10}{:11}{:30}{}\n",
                                 name_of(arithmetic), simd::name_of(simd::cpu_isa()), "", "weights",
                                 "kernel", "rows", "reason");
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
    text += fmt::format("  {:9}{:10}{:11}{:30}{}\n", name_of(line->direction), name_of(line->type),
                        name_of(line->rule->kernel), rows, line->rule->reason);
  }
  return text;
}

}  // namespace

Machine examine_machine(const Numerics& numerics) {
  const double bytes =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  return {.cpu = cpu_description(),
          .threads = at::get_num_threads(),
          .memory_gib = bytes / (1 << 30),
          .arithmetic = numerics.arithmetic,
          .gflops_fp32 = linear_rate(at::kFloat, numerics),
          .gflops_bf16 = linear_rate(at::kBFloat16, numerics)};
}

OrderedJson to_json(const Machine& machine) {
  return {{"schema_version", 1},
          {"version", kVersion},
          {"cpu", machine.cpu},
          {"threads", machine.threads},
          {"memory_gib", machine.memory_gib},
          {"gflops_fp32", machine.gflops_fp32},
          {"gflops_bf16", machine.gflops_bf16},
          {"arithmetic", name_of(machine.arithmetic)},
          {"instruction_set", simd::name_of(simd::cpu_isa())},
          {"products", products_json()}};
}

std::string format_machine(const Machine& machine) {
  const std::string parts = fmt::format("etrlrec {}\nCPU {} · {} threads · {:.1f} GiB\n", kVersion,
                                        machine.cpu, machine.threads, machine.memory_gib);
  const std::string rates = fmt::format(
      "linear layers: {:.0f} GFLOP/s with fp32 weights, {:.0f} with bfloat16 ones ({} "
      "arithmetic)\n",
      machine.gflops_fp32, machine.gflops_bf16, name_of(machine.arithmetic));
  return parts + rates + format_products(machine.arithmetic);
}

double linear_rate(at::ScalarType weight_type, const Numerics& numerics) {
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2048, 512}), w = at::randn({512, 512}).to(weight_type);
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const Stopwatch watch;
    for (int repeat = 0; repeat < 8; ++repeat) weight_product(x, w, numerics);
    best = std::max(best, 8 * 2.0 * 2048 * 512 * 512 / watch.seconds() / 1e9);
  }
  return best;
}

}  // namespace etrlrec
