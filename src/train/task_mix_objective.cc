#include "train/task_mix_objective.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"

namespace etrlrec {
namespace {

using Gradients = std::vector<at::Tensor>;  // of the trained tensors, in their order

Gradients trained_tensors(const ParameterMap& parameters) {
  Gradients trained;
  for (const auto& [name, tensor] : parameters)
    if (tensor.requires_grad()) trained.push_back(tensor);
  return trained;
}

// Adds the gradient of a part of a task's loss.
void add_gradient(const at::Tensor& part, const Gradients& trained, Gradients& sum) {
  if (!part.requires_grad()) return;
  const auto gradients = torch::autograd::grad({part}, trained, {}, std::nullopt, false, true);
  for (size_t p = 0; p < trained.size(); ++p)
    if (gradients[p].defined()) sum[p].add_(gradients[p]);
}

double norm_of(const Gradients& gradients) {
  double squares = 0;
  for (const at::Tensor& gradient : gradients) squares += gradient.square().sum().item<double>();
  return std::sqrt(squares);
}

// As many rows as the micro-batch has, or as are left, that are not in it.
std::vector<int64_t> other_rows(std::span<const int64_t> rows, int64_t total, Rng& rng) {
  const std::set<int64_t> taken(rows.begin(), rows.end());
  const int64_t wanted = std::min<int64_t>(std::ssize(rows), total - std::ssize(taken));
  std::set<int64_t> drawn;
  while (std::ssize(drawn) < wanted) {
    const auto row = static_cast<int64_t>(rng.below(static_cast<uint64_t>(total)));
    if (!taken.contains(row)) drawn.insert(row);
  }
  return {drawn.begin(), drawn.end()};
}

// Trained tensors a step away, while it lives; the values come back bit for bit.
class ProbeStep {
 public:
  ProbeStep(const Gradients& trained, const Gradients& gradients, double step) : trained_(trained) {
    for (size_t p = 0; p < trained.size(); ++p) {
      before_.push_back(trained[p].detach().clone());
      at::Tensor(trained[p]).sub_(gradients[p], step);
    }
  }
  ProbeStep(const ProbeStep&) = delete;
  ~ProbeStep() {
    for (size_t p = 0; p < trained_.size(); ++p) at::Tensor(trained_[p]).copy_(before_[p]);
  }

 private:
  const Gradients& trained_;
  Gradients before_;
};

// A scalar with this value whose gradient with respect to the trained tensors is `gradient`.
at::Tensor with_gradient(double value, const Gradients& trained, const Gradients& gradient) {
  at::Tensor loss = at::scalar_tensor(value);
  for (size_t p = 0; p < trained.size(); ++p)
    loss = loss + ((trained[p] - trained[p].detach()) * gradient[p]).sum();
  return loss;
}

}  // namespace

TaskMixObjective::TaskMixObjective(std::vector<MixedTask> tasks, std::unique_ptr<Objective> main,
                                   const TaskMixOptions& options)
    : tasks_(std::move(tasks)), main_(std::move(main)), options_(options) {
  CHECK(!tasks_.empty(), kInput, "task mix: expected a task, found none");
  for (const MixedTask& task : tasks_)
    CHECK(task.objective->num_rows() == num_rows(), kInput,
          "task mix: expected {} rows of {}, as of {}, found {}", num_rows(), task.name,
          tasks_.front().name, task.objective->num_rows());
  CHECK(std::isfinite(options_.gain_step) && options_.gain_step > 0, kUsage,
        "--gain-step: expected a positive number, found {}", options_.gain_step);
  if (options_.weighting != TaskWeighting::kGain) return;
  CHECK(main_ != nullptr && main_->num_rows() == num_rows() && num_rows() >= 2, kInput,
        "task mix: weights by gain need a main task on the same rows, two at least");
}

LossOutput TaskMixObjective::loss(std::span<const int64_t> rows, int64_t step, Rng& rng) {
  return loss_in_parts(rows, step, rng, {});
}

LossOutput TaskMixObjective::loss_in_parts(std::span<const int64_t> rows, int64_t step, Rng& rng,
                                           const Backward&) {
  const Gradients trained = trained_tensors(parameters());
  std::vector<Gradients> gradients;
  std::vector<double> losses;
  LossOutput output;
  for (MixedTask& task : tasks_) {
    Gradients sum;
    for (const at::Tensor& tensor : trained) sum.push_back(at::zeros_like(tensor));
    const LossOutput one = task.objective->loss_in_parts(
        rows, step, rng, [&](const at::Tensor& part) { add_gradient(part, trained, sum); });
    add_gradient(one.loss, trained, sum);
    gradients.push_back(std::move(sum));
    losses.push_back(one.loss.item<double>());
    output.tokens += one.tokens;
    output.metrics["loss/" + task.name] = losses.back();
    for (const auto& [name, value] : one.metrics) output.metrics[name + "/" + task.name] = value;
  }
  const std::vector<double> weights = weights_of(gradients, trained, rows, step, rng, output);
  Gradients mixed;
  for (const at::Tensor& tensor : trained) mixed.push_back(at::zeros_like(tensor));
  double value = 0;
  for (size_t t = 0; t < tasks_.size(); ++t) {
    output.metrics["weight/" + tasks_[t].name] = weights[t];
    value += weights[t] * losses[t];
    for (size_t p = 0; p < trained.size(); ++p) mixed[p].add_(gradients[t][p], weights[t]);
  }
  output.loss = with_gradient(value, trained, mixed);
  return output;
}

std::vector<double> TaskMixObjective::weights_of(const std::vector<Gradients>& gradients,
                                                 const Gradients& trained,
                                                 std::span<const int64_t> rows, int64_t step,
                                                 Rng& rng, LossOutput& output) const {
  if (tasks_.size() == 1 || options_.weighting == TaskWeighting::kEqual)
    return equal_weights(tasks_.size());
  if (options_.weighting == TaskWeighting::kGain) {
    const std::vector<double> gained = gains(gradients, trained, rows, step, rng);
    for (size_t t = 0; t < tasks_.size(); ++t) output.metrics["gain/" + tasks_[t].name] = gained[t];
    return gain_weights(gained);
  }
  std::vector<double> norms;
  for (const Gradients& one : gradients) norms.push_back(norm_of(one));
  return gradient_norm_weights(norms);
}

std::vector<double> TaskMixObjective::gains(const std::vector<Gradients>& gradients,
                                            const Gradients& trained, std::span<const int64_t> rows,
                                            int64_t step, Rng& rng) const {
  const at::NoGradGuard no_grad;
  const std::vector<int64_t> others = other_rows(rows, main_->num_rows(), rng);
  if (others.empty()) return std::vector<double>(tasks_.size(), 0);
  const Rng noise = rng;  // the same for every point that is compared
  const auto main_loss = [&] {
    Rng same = noise;
    return main_->loss_in_parts(others, step, same, [](const at::Tensor&) {}).loss.item<double>();
  };
  const double here = main_loss();
  std::vector<double> gains;
  for (const Gradients& one : gradients) {
    const ProbeStep probe(trained, one, options_.gain_step);
    gains.push_back(here - main_loss());
  }
  return gains;
}

}  // namespace etrlrec
