// etrlrec doctor: what this machine is, and how fast the arithmetic of the language models runs on
// it.
#include <ATen/Parallel.h>
#include <torch/types.h>
#include <unistd.h>

#include <iostream>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"
#include "nn/frozen_arithmetic.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

// GFLOP/s of y = x W^T with 2048 x 512 by 512 x 512, the best of five, with weights of a type.
double gemm_rate(at::ScalarType type) {
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2048, 512}), w = at::randn({512, 512}).to(type);
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const Stopwatch watch;
    for (int repeat = 0; repeat < 8; ++repeat) weight_product(x, w);
    best = std::max(best, 8 * 2.0 * 2048 * 512 * 512 / watch.seconds() / 1e9);
  }
  return best;
}

void doctor(const CommonOptions& common) {
  const double memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  const double fp32 = gemm_rate(at::kFloat), bf16 = gemm_rate(at::kBFloat16);
  const OrderedJson found = {{"schema_version", 1},
                             {"version", kVersion},
                             {"cpu", cpu_description()},
                             {"threads", at::get_num_threads()},
                             {"memory_gib", memory / (1 << 30)},
                             {"gflops_fp32", fp32},
                             {"gflops_bf16", bf16},
                             {"arithmetic", frozen_arithmetic_name()}};
  if (common.json) {
    std::cout << found.dump(2) << "\n";
    return;
  }
  fmt::print("etrlrec {}\nCPU {} · {} threads · {:.1f} GiB\n", kVersion, cpu_description(),
             at::get_num_threads(), memory / (1 << 30));
  fmt::print(
      "linear layers: {:.0f} GFLOP/s with fp32 weights, {:.0f} with bfloat16 ones ({} "
      "arithmetic)\n",
      fp32, bf16, frozen_arithmetic_name());
  fmt::print("next: etrlrec demo --quick\n");
}

}  // namespace

void add_doctor(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("doctor", "what this machine is and how fast its arithmetic runs");
  command.alias("env");
  command.on_run([&common] { doctor(common); });
}

}  // namespace etrlrec
