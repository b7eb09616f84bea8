// What a training may change.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "refusals.h"
#include "tuning/trained_tensors.h"

namespace etrlrec {
namespace {

TEST(TrainedTensors, are_those_that_are_meant_and_must_move) {
  ParameterMap parameters;
  for (const char* name : {"a", "b", "c"}) parameters[name] = at::zeros({2}, at::kFloat);
  const auto is_b = [](const std::string& name) { return name == "b"; };
  refuses([&] { TrainedTensors(parameters, is_b); }, ExitCode::kFailure,
          "\"b\" is to change, but it is frozen");
  parameters["b"].requires_grad_(true);
  parameters["c"].requires_grad_(true);
  refuses([&] { TrainedTensors(parameters, is_b); }, ExitCode::kFailure,
          "\"c\" must not change, but it is trained");
  parameters["c"].requires_grad_(false);
  const TrainedTensors trained(parameters, is_b);
  EXPECT_EQ(trained.names(), std::vector<std::string>{"b"});
  refuses([&] { trained.check_moved(); }, ExitCode::kFailure, "nothing has changed in b");
  {
    const at::NoGradGuard no_grad;
    parameters["b"][1].fill_(1);
  }
  trained.check_moved();
  parameters["b"].requires_grad_(false);
  refuses([&] { TrainedTensors(parameters, [](const std::string&) { return false; }); },
          ExitCode::kFailure, "found none");
}

}  // namespace
}  // namespace etrlrec
