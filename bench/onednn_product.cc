// Products in bfloat16 arithmetic, ours against oneDNN's, in turn: y [rows, out] fp32 = x [rows,
// in] bfloat16 times a bfloat16 weight. Ours packs the stored weight in every call
// (kernels/product_packed); oneDNN's is given packed once ("packed") or in every call ("stored").
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "kernels/parallel.h"
#include "kernels/product.h"

namespace etrlrec {
namespace {

using dnnl::memory;

std::vector<uint16_t> random_values(int64_t count, const char* name) {
  Rng rng(1, name);
  std::vector<uint16_t> out(static_cast<size_t>(count));
  for (uint16_t& x : out) x = bfloat16_of(static_cast<float>(rng.uniform() - 0.5));
  return out;
}

// One shape in both programs.
class Pair {
 public:
  Pair(int64_t rows, int64_t in, int64_t out)
      : x_(random_values(rows * in, "x")),
        w_(random_values(out * in, "w")),
        y_(static_cast<size_t>(rows * out)),
        peer_y_(y_.size()),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_) {
    weight_.type = WeightType::kBFloat16;
    weight_.data = w_.data();
    weight_.out = out, weight_.in = in;
    ours_.rounded_x = x_.data();
    ours_.rows = rows, ours_.x_stride = in;
    ours_.weights = {&weight_, 1};
    ours_.y = y_.data(), ours_.y_stride = out;
    const auto bf16 = memory::data_type::bf16;
    const memory::desc x({rows, in}, bf16, memory::format_tag::ab);
    const memory::desc w({out, in}, bf16, memory::format_tag::any);
    const memory::desc y({rows, out}, memory::data_type::f32, memory::format_tag::ab);
    const dnnl::inner_product_forward::primitive_desc plan(
        {dnnl::prop_kind::forward_inference, x, w, y}, engine_);
    stored_ = memory({{out, in}, bf16, memory::format_tag::ab}, engine_, w_.data());
    packed_ = memory(plan.weights_desc(), engine_);
    product_ = dnnl::inner_product_forward(plan);
    name_ = plan.impl_info_str();
    arguments_ = {{DNNL_ARG_SRC, memory(x, engine_, x_.data())},
                  {DNNL_ARG_WEIGHTS, packed_},
                  {DNNL_ARG_DST, memory(y, engine_, peer_y_.data())}};
    pack();
  }
  Pair(const Pair&) = delete;

  void ours() { multiply(ProductKernel::kPacked, Direction::kForward, ours_); }
  void pack() {
    dnnl::reorder(stored_, packed_).execute(stream_, stored_, packed_);
    stream_.wait();
  }
  void peer() {
    product_.execute(stream_, arguments_);
    stream_.wait();
  }
  double difference() const {
    double most = 0;
    for (size_t i = 0; i < y_.size(); ++i)
      most = std::max(most, std::abs(double{y_[i]} - double{peer_y_[i]}));
    return most;
  }
  const std::string& name() const { return name_; }

 private:
  std::vector<uint16_t> x_, w_;
  std::vector<float> y_, peer_y_;
  WeightRows weight_;
  ProductOperands ours_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  memory stored_, packed_;
  dnnl::inner_product_forward product_;
  std::unordered_map<int, memory> arguments_;
  std::string name_;
};

template <typename F>
double seconds(const F& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare(int64_t rows, int64_t in, int64_t out, int turns) {
  Pair pair(rows, in, out);
  std::vector<double> ours, packed_ratio, stored_ratio;
  for (int turn = 0; turn < turns;
       ++turn) {  // in turn: the load of the machine is the same for all
    const double mine = seconds([&] { pair.ours(); });
    const double peer = seconds([&] { pair.peer(); });
    const double pack = seconds([&] { pair.pack(); });
    ours.push_back(mine);
    packed_ratio.push_back(mine / peer);
    stored_ratio.push_back(mine / (peer + pack));
  }
  const double flops = 2e-9 * static_cast<double>(rows * in * out);
  fmt::print(
      "{:5} x {:4} -> {:4}  {:6.0f} GFLOP/s  oneDNN packed {:4.2f}  stored {:4.2f}  ({}, {:.1e})\n",
      rows, in, out, flops / median(ours), median(packed_ratio), median(stored_ratio), pair.name(),
      pair.difference());
}

}  // namespace
}  // namespace etrlrec

// onednn_product [THREADS [TURNS]]
int main(int argc, char** argv) {
  using namespace etrlrec;
  if (argc > 1) set_num_threads(std::atoi(argv[1]));
  const int turns = argc > 2 ? std::atoi(argv[2]) : 15;
  fmt::print("{} threads; ratios above 1: oneDNN is faster\n", num_threads());
  for (int64_t rows : {256, 1024, 4096}) {
    compare(rows, 896, 4864, turns);
    compare(rows, 4864, 896, turns);
    compare(rows, 2048, 2048, turns);
  }
  return 0;
}
