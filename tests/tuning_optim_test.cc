#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "golden_path.h"
#include "threads_scope.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

Json golden() { return read_json(golden_path() / "optim/golden.json"); }

at::Tensor row_of(const Json& values) {  // two dimensions, so that weight decay applies
  const auto numbers = values.get<std::vector<double>>();
  return at::tensor(numbers, at::kDouble).to(at::kFloat).view({1, -1}).contiguous();
}

// Follows a golden path of 20 steps; returns the largest difference of a parameter.
double path_error(const Json& file, const std::string& run, const OptimizerOptions& options,
                  const std::function<double(int64_t)>& learning_rate) {
  at::Tensor parameter = row_of(file["optimizers"]["start"]).requires_grad_();
  Optimizer optimizer({{"p", parameter}}, options);
  double error = 0;
  const Json& path = file["optimizers"]["runs"][run]["parameters_after_each_step"];
  for (size_t step = 0; step < path.size(); ++step) {
    parameter.mutable_grad() = row_of(file["optimizers"]["gradients"][step]);
    optimizer.step(learning_rate(static_cast<int64_t>(step)));
    const Json& expected =
        path[step].is_array() && path[step][0].is_array() ? path[step][0] : path[step];
    error = std::max(error, (parameter.detach() - row_of(expected)).abs().max().item<double>());
  }
  return error;
}

TEST(AdamW, follows_the_golden_paths_of_torch) {
  const Json file = golden();
  const auto rate = [](double value) { return [value](int64_t) { return value; }; };
  EXPECT_LT(path_error(file, "adamw_wd_0.01", {.weight_decay = 0.01}, rate(1e-2)), 1e-6);
  EXPECT_LT(
      path_error(file, "adamw_no_wd_beta2_0.95", {.beta2 = 0.95, .weight_decay = 0}, rate(1e-2)),
      1e-6);
  EXPECT_LT(
      path_error(file, "adamw_eps_1e-3_wd_0.1", {.epsilon = 1e-3, .weight_decay = 0.1}, rate(3e-3)),
      1e-6);
  EXPECT_LT(path_error(file, "adamw_with_cosine_warmup_4", {.weight_decay = 0.01},
                       [](int64_t step) { return 1e-2 * schedule_factor("cosine", step, 4, 20); }),
            1e-6);
}

TEST(Optimizer, follows_the_golden_paths_of_the_other_rules) {
  const Json file = golden();
  const auto expect = [&](const char* run, const OptimizerOptions& options, double rate) {
    const double error = path_error(file, run, options, [rate](int64_t) { return rate; });
    EXPECT_LT(error, 1e-6) << run;
    RecordProperty(run, fmt::format("{:.2g}", error));
  };
  expect("adam_l2_0.01", {.optim = "adam", .weight_decay = 0.01}, 1e-2);
  expect("sgd_momentum_0.9", {.optim = "sgd", .momentum = 0.9, .weight_decay = 0.01}, 1e-2);
  expect("adagrad_l2_0.01", {.optim = "adagrad", .weight_decay = 0.01}, 1e-2);
  expect("lion_wd_0.1", {.optim = "lion", .beta2 = 0.99, .weight_decay = 0.1}, 1e-2);
  expect("lion_betas_0.95_0.98", {.optim = "lion", .beta1 = 0.95, .beta2 = 0.98, .weight_decay = 0},
         1e-3);
}

TEST(Optimizer, every_rule_continues_with_the_same_bits_from_its_state) {
  for (const std::string& rule : optimizer_names()) {
    at::Tensor whole = at::ones({2, 3}).requires_grad_(), parts = at::ones({2, 3}).requires_grad_();
    Optimizer first({{"p", whole}}, {.optim = rule}), second({{"p", parts}}, {.optim = rule});
    std::optional<Optimizer> third;
    for (int64_t step = 0; step < 6; ++step) {
      if (step == 3) {
        third.emplace(ParameterMap{{"p", parts}}, OptimizerOptions{.optim = rule});
        third->load_state(second.state(), "state");
      }
      whole.mutable_grad() = parts.mutable_grad() =
          at::sin(at::arange(6, at::kFloat) + static_cast<double>(step)).view({2, 3});
      first.step(0.1);
      (third ? *third : second).step(0.1);
    }
    EXPECT_TRUE(at::equal(whole, parts)) << rule;
    EXPECT_FALSE(at::equal(whole.detach(), at::ones({2, 3}))) << rule;
  }
  EXPECT_THROW(Optimizer({{"p", at::ones({2}).requires_grad_()}}, {.optim = "adamax"}), Error);
}

TEST(Schedule, equals_the_golden_values_of_transformers) {
  const Json file = golden();
  const Json& values = file["schedules"]["values"];
  for (int64_t step = 0; step <= 20; ++step) {
    const auto expect = [&](const char* name, const char* type, int64_t warmup) {
      EXPECT_NEAR(schedule_factor(type, step, warmup, 20), values[name][step].get<double>(), 1e-12)
          << name << " at step " << step;
    };
    expect("cosine_warmup_4", "cosine", 4);
    expect("cosine_no_warmup", "cosine", 0);
    expect("linear_warmup_4", "linear", 4);
    expect("linear_no_warmup", "linear", 0);
    expect("constant", "constant", 0);
    expect("constant_warmup_4", "constant", 4);
  }
}

TEST(Schedule, refuses_unknown_names) { EXPECT_THROW(schedule_factor("step", 0, 0, 1), Error); }

TEST(ClipGradNorm, equals_the_golden_values_of_torch) {
  const Json file = golden();
  const Json& clip = file["clip_grad_norm"];
  const auto flat = [](const Json& value) {
    std::vector<float> numbers;
    for (const Json& entry : value.flatten()) numbers.push_back(entry.get<float>());
    return at::tensor(numbers);
  };
  for (const char* limit : {"1.0", "100.0"}) {
    ParameterMap parameters;
    for (size_t i = 0; i < 2; ++i) {
      const at::Tensor gradient = flat(clip["gradients"][i]);
      at::Tensor& parameter = parameters[i == 0 ? "a" : "b"];
      parameter = at::zeros_like(gradient).requires_grad_();
      parameter.mutable_grad() = gradient.clone();
    }
    const Json& expected = clip["by_limit"][limit];
    EXPECT_NEAR(clip_grad_norm(parameters, std::stod(limit)), expected["total_norm"].get<double>(),
                1e-5);
    EXPECT_TRUE(at::allclose(parameters["a"].grad(), flat(expected["clipped"][0]), 0, 1e-6));
    EXPECT_TRUE(at::allclose(parameters["b"].grad(), flat(expected["clipped"][1]), 0, 1e-6));
  }
}

TEST(ClipGradNorm, is_the_same_for_any_number_of_threads) {
  at::Tensor parameter = at::zeros({300, 401}).requires_grad_();
  parameter.mutable_grad() = at::sin(at::arange(300 * 401, at::kFloat)).view({300, 401});
  const ThreadsScope single(1);
  const double one = clip_grad_norm({{"p", parameter}}, 0);
  const ThreadsScope several(3);
  const double three = clip_grad_norm({{"p", parameter}}, 0);
  EXPECT_EQ(one, three);
}

TEST(AdamW, decays_matrices_but_not_vectors) {
  at::Tensor matrix = at::ones({2, 2}).requires_grad_(), vector = at::ones({2}).requires_grad_();
  Optimizer optimizer({{"matrix", matrix}, {"vector", vector}}, {.weight_decay = 0.5});
  matrix.mutable_grad() = at::zeros({2, 2});
  vector.mutable_grad() = at::zeros({2});
  optimizer.step(0.1);
  EXPECT_FLOAT_EQ(matrix.detach()[0][0].item<float>(), 0.95F);
  EXPECT_FLOAT_EQ(vector.detach()[0].item<float>(), 1.0F);
}

TEST(AdamW, continues_with_the_same_bits_from_its_state) {
  const auto gradient = [](int64_t step) {
    return at::sin(at::arange(6, at::kFloat) + step).view({2, 3});
  };
  at::Tensor whole = at::ones({2, 3}).requires_grad_(), parts = at::ones({2, 3}).requires_grad_();
  Optimizer uninterrupted({{"p", whole}}, {}), first({{"p", parts}}, {});
  for (int64_t step = 0; step < 6; ++step) {
    whole.mutable_grad() = gradient(step);
    uninterrupted.step(0.1);
  }
  for (int64_t step = 0; step < 3; ++step) {
    parts.mutable_grad() = gradient(step);
    first.step(0.1);
  }
  Optimizer second({{"p", parts}}, {});
  second.load_state(first.state(), "state");
  for (int64_t step = 3; step < 6; ++step) {
    parts.mutable_grad() = gradient(step);
    second.step(0.1);
  }
  EXPECT_TRUE(at::equal(whole, parts));
}

TEST(AdamW, refuses_a_state_of_other_tensors) {
  Optimizer optimizer({{"p", at::ones({2, 3}).requires_grad_()}}, {});
  Optimizer other({{"q", at::ones({2, 3}).requires_grad_()}}, {});
  Optimizer larger({{"p", at::ones({2, 4}).requires_grad_()}}, {});
  EXPECT_THROW(optimizer.load_state(other.state(), "file"), Error);
  EXPECT_THROW(optimizer.load_state(larger.state(), "file"), Error);
  EXPECT_THROW(optimizer.load_state({}, "file"), Error);
}

TEST(AdamW, refuses_tensors_of_other_types) {
  EXPECT_THROW(Optimizer({{"p", at::ones({2}, at::kDouble).requires_grad_()}}, {}), Error);
  EXPECT_THROW(Optimizer({}, {}), Error);
}

}  // namespace
}  // namespace etrlrec
