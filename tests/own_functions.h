// Which functions of this program made a tensor: a walk through its autograd graph.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>

#include <set>
#include <string>
#include <vector>

namespace etrlrec {

// Names of the backward nodes that are not LibTorch's own; empty: made by plain operations only.
inline std::set<std::string> own_functions(const at::Tensor& out) {
  std::vector<torch::autograd::Node*> open{out.grad_fn().get()};
  std::set<torch::autograd::Node*> seen;
  std::set<std::string> names;
  while (!open.empty()) {
    torch::autograd::Node* node = open.back();
    open.pop_back();
    if (node == nullptr || !seen.insert(node).second) continue;
    if (node->name().find("etrlrec") != std::string::npos) names.insert(node->name());
    for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
  }
  return names;
}

}  // namespace etrlrec
