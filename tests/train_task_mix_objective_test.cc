// Several tasks as one objective: quadratic losses whose gradients, weights and gains can be worked
// out by hand.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "refusals.h"
#include "train/task_mix_objective.h"

namespace etrlrec {
namespace {

// L = mean over the rows of scale * |x - target|^2 / 2, in parts of one row each; x is the only
// trained tensor, "frozen" none.
class Pull : public Objective {
 public:
  Pull(ParameterMap& parameters, std::vector<double> target, double scale, int64_t rows = 6)
      : parameters_(parameters), target_(at::tensor(target)), scale_(scale), rows_(rows) {
    target_ = target_.to(at::kFloat);
  }
  int64_t num_rows() const override { return rows_; }
  ParameterMap& parameters() override { return parameters_; }
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override {
    return loss_in_parts(rows, step, rng, {});
  }
  LossOutput loss_in_parts(std::span<const int64_t> rows, int64_t, Rng&,
                           const Backward& backward) override {
    LossOutput output;
    seen.assign(rows.begin(), rows.end());
    for (size_t r = 0; r < rows.size(); ++r) {
      const at::Tensor part = (parameters_.at("x") - target_).square().sum() *
                              (scale_ / 2 / static_cast<double>(rows.size()));
      add_part(part, !backward || r + 1 == rows.size(), backward, output);
    }
    output.tokens = std::ssize(rows);
    output.metrics["nll"] = output.loss.item<double>();
    return output;
  }
  std::vector<int64_t> seen;

 private:
  ParameterMap& parameters_;
  at::Tensor target_;
  double scale_;
  int64_t rows_;
};

class TaskMix : public ::testing::Test {
 protected:
  TaskMix() {
    parameters_["x"] = at::zeros({2}, at::kFloat).requires_grad_(true);
    parameters_["frozen"] = at::ones({2}, at::kFloat);
  }
  // Tasks that pull x to (3, 4), gradient (-3, -4), and to (0, 1) by 20, gradient (0, -20).
  TaskMixObjective mix(TaskWeighting weighting, double gain_step = 1,
                       std::vector<double> main = {6, 0}) {
    std::vector<MixedTask> tasks;
    tasks.push_back({"near", std::make_unique<Pull>(parameters_, std::vector<double>{3, 4}, 1)});
    tasks.push_back({"far", std::make_unique<Pull>(parameters_, std::vector<double>{0, 1}, 20)});
    auto main_task = std::make_unique<Pull>(parameters_, std::move(main), 1);
    main_ = main_task.get();
    return {std::move(tasks), std::move(main_task), {weighting, gain_step}};
  }
  // The gradient of x, and that of the returned loss alone.
  LossOutput learn(TaskMixObjective& objective) {
    at::Tensor& x = parameters_.at("x");
    x.mutable_grad() = at::Tensor();
    Rng rng(1, "unused");
    LossOutput output = objective.loss_in_parts(
        std::vector<int64_t>{1, 4}, 0, rng,
        [](const at::Tensor&) { ADD_FAILURE() << "the mix keeps its parts to itself"; });
    output.loss.backward();
    return output;
  }
  void expect_gradient(double first, double second) {
    const at::Tensor gradient = parameters_.at("x").grad();
    EXPECT_NEAR(gradient[0].item<double>(), first, 1e-5);
    EXPECT_NEAR(gradient[1].item<double>(), second, 1e-5);
    EXPECT_FALSE(parameters_.at("frozen").grad().defined());
  }

  ParameterMap parameters_;
  Pull* main_ = nullptr;
};

TEST_F(TaskMix, equal_is_the_mean_of_values_and_gradients) {
  TaskMixObjective objective = mix(TaskWeighting::kEqual);
  const LossOutput output = learn(objective);
  EXPECT_NEAR(output.loss.item<double>(), (12.5 + 10) / 2, 1e-5);
  expect_gradient(-1.5, -12);
  EXPECT_NEAR(output.metrics.at("loss/near"), 12.5, 1e-5);
  EXPECT_NEAR(output.metrics.at("nll/far"), 10, 1e-5);
  EXPECT_EQ(output.metrics.at("weight/near"), 0.5);
  EXPECT_EQ(output.tokens, 4);
}

// |g| = 5 and 20: weights 1/sqrt(5) : 1/sqrt(20) = 2 : 1.
TEST_F(TaskMix, gradient_norms_lighten_the_steep_task) {
  TaskMixObjective objective = mix(TaskWeighting::kGradientNorm);
  const LossOutput output = learn(objective);
  EXPECT_NEAR(output.metrics.at("weight/near"), 2.0 / 3, 1e-6);
  EXPECT_NEAR(output.metrics.at("weight/far"), 1.0 / 3, 1e-6);
  expect_gradient(-2, -8.0 / 3 - 20.0 / 3);
}

// Main task at (6, 8): |0 - (6, 8)|^2 / 2 = 50. A tenth of a step on "near" ends at (.3, .4):
// 45.125, gain 4.875; on "far" at (0, 2): 36, gain 14.
TEST_F(TaskMix, gains_are_those_of_the_main_task_on_other_rows) {
  TaskMixObjective objective = mix(TaskWeighting::kGain, 0.1, {6, 8});
  const LossOutput output = learn(objective);
  EXPECT_NEAR(output.metrics.at("weight/near"), 4.875 / 18.875, 1e-5);
  expect_gradient(-3 * 4.875 / 18.875, (-4 * 4.875 - 20 * 14) / 18.875);
  EXPECT_EQ(main_->seen.size(), 2u);
  for (const int64_t row : main_->seen) EXPECT_TRUE(row != 1 && row != 4 && row < 6) << row;
  EXPECT_NEAR(output.metrics.at("gain/near"), 4.875, 1e-4);
  EXPECT_NEAR(output.metrics.at("gain/far"), 14, 1e-4);
}

TEST_F(TaskMix, tried_steps_come_back_bit_for_bit) {
  parameters_.at("x").detach().fill_(0.1F);
  const at::Tensor before = parameters_.at("x").detach().clone();
  TaskMixObjective objective = mix(TaskWeighting::kGain, 1.0 / 3, {6, 8});
  const LossOutput output = learn(objective);
  EXPECT_NE(output.metrics.at("gain/near"), 0);
  EXPECT_TRUE(at::equal(parameters_.at("x").detach(), before));
}

// Only "near" has anything of (6, 0); a step on both goes away from (-6, -6).
TEST_F(TaskMix, a_task_without_gain_rests_and_without_any_gain_all_weigh_alike) {
  TaskMixObjective one = mix(TaskWeighting::kGain, 0.1);
  EXPECT_EQ(learn(one).metrics.at("weight/far"), 0);
  expect_gradient(-3, -4);
  TaskMixObjective none = mix(TaskWeighting::kGain, 0.1, {-6, -6});
  EXPECT_EQ(learn(none).metrics.at("weight/far"), 0.5);
  expect_gradient(-1.5, -12);
}

TEST_F(TaskMix, refuses_tasks_that_do_not_belong_together) {
  const auto tasks = [&](int64_t rows) {
    std::vector<MixedTask> made;
    made.push_back({"a", std::make_unique<Pull>(parameters_, std::vector<double>{1, 1}, 1)});
    made.push_back({"b", std::make_unique<Pull>(parameters_, std::vector<double>{1, 1}, 1, rows)});
    return made;
  };
  refuses([&] { TaskMixObjective({}, nullptr, {}); }, ExitCode::kInput, "expected a task");
  refuses([&] { TaskMixObjective(tasks(5), nullptr, {}); }, ExitCode::kInput,
          "expected 6 rows of b, as of a, found 5");
  refuses([&] { TaskMixObjective(tasks(6), nullptr, {TaskWeighting::kGain}); }, ExitCode::kInput,
          "need a main task");
  for (const double step : {0.0, -1.0, std::nan(""), HUGE_VAL})
    refuses(
        [&] {
          TaskMixObjective(tasks(6), nullptr, {TaskWeighting::kGain, step});
        },
        ExitCode::kUsage, "--gain-step: expected a positive number");
}

}  // namespace
}  // namespace etrlrec
