// LoRA (Hu et al. 2021): W x + scale B A x with A ~ Kaiming uniform, B = 0; and AdaLoRA (Zhang et
// al. 2023): W x + scale P Λ Q x in the singular value form, with PEFT's names B = P, A = Q and the
// diagonal E = Λ. Adapters are attached to an existing model by adding tensors to its parameters:
// "<module>.lora_A.weight" [rank, in] and "<module>.lora_B.weight" [out, rank] for LoRA,
// "<module>.lora_A", "<module>.lora_E" [rank, 1] and "<module>.lora_B" for AdaLoRA. linear_part()
// looks them up for the linear layers of nn/layers.h. Models hold their adapters in an AdapterSet
// (tuning/adapter_set.h), because the scale must be known where the tensors are used. Files:
// tuning/adapter_files.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nn/linear_part.h"
#include "nn/noise.h"
#include "nn/parameters.h"

namespace etrlrec {

// Ranks that AdaLoRA keeps, by module, [init_r] each.
using RankPattern = std::map<std::string, std::vector<bool>>;

// Budget schedule and importance of AdaLoRA (tuning/adalora.h), keys as in PEFT; init_r is
// LoraConfig::r.
struct AdaLoraConfig {
  int64_t target_r = 8;  // mean rank at the end
  int64_t tinit = 0;     // optimiser steps before the first pruning
  int64_t tfinal = 0;    // last steps, with the final ranks
  int64_t deltaT = 1;    // steps between two prunings
  double beta1 = 0.85, beta2 = 0.85;
  double orth_reg_weight = 0.5;
  int64_t total_step = 0;         // optimiser steps of the training
  RankPattern rank_pattern = {};  // of a trained adapter; empty: all ranks are kept
};

struct LoraConfig {
  int64_t r = 0;  // 0: no adapter, full fine-tuning; AdaLoRA: init_r
  double lora_alpha = 16;
  // Suffixes such as "q_proj"; empty or {"all-linear"}: all linear layers but the head.
  std::vector<std::string> target_modules = {};
  bool use_rslora = false;  // LoRA: scale alpha / sqrt(r)
  double lora_dropout = 0;  // of the adapter's input while training
  // LoRA: ranks and alphas of modules that end with a key.
  std::map<std::string, int64_t> rank_pattern = {};
  std::map<std::string, double> alpha_pattern = {};
  std::optional<AdaLoraConfig> adalora = {};

  int64_t rank(const std::string& module = "") const;  // at the start
  // Factor of B A x: alpha / r, alpha / sqrt(r) with use_rslora, alpha / (init_r + 1e-5) for
  // AdaLoRA, also after pruning; 0 without an adapter.
  double scale(const std::string& module = "") const;
};

// How one forward pass uses the adapters in the parameter map.
struct AdapterPass {
  const LoraConfig* config = nullptr;  // null: they are left out
  TrainingNoise noise;
};

// The adapter of one module as it is in the map; E is undefined for LoRA, all without an adapter.
struct AdapterTensors {
  at::Tensor A, B, E;
};
// Error (kModel) when only a part of them is there.
AdapterTensors adapter_tensors(const ParameterMap& parameters, const std::string& module);
// "<module>.weight", ".bias" and the adapter of one module as nn/layers.h takes them. Dropout of
// the adapter comes with the noise of the pass, every module with a mask of its own. Error (kModel)
// when the weight is missing.
LinearPart linear_part(const ParameterMap& parameters, const std::string& module,
                       const AdapterPass& pass);
// The same with one scale for all modules; 0 ignores the adapter.
LinearPart linear_part(const ParameterMap& parameters, const std::string& module,
                       double lora_scale);
// Modules with an adapter, in order.
std::vector<std::string> adapted_modules(const ParameterMap& parameters);
// Whether a module is a linear layer that is computed with its adapter: embeddings and the head are
// not.
bool takes_adapter(const std::string& module);
// Modules "<name>" whose "<name>.weight" is a matrix that the configuration selects. Error (kUsage)
// for one that takes no adapter.
std::vector<std::string> target_modules_of(const ParameterMap& parameters,
                                           const LoraConfig& config);

// Freezes every parameter and adds trainable adapter tensors to the map; with r = 0 nothing
// changes. Error (kUsage) when no module matches, when an option is out of range, or when the map
// holds an adapter already.
void attach_lora(ParameterMap& parameters, const LoraConfig& config, uint64_t seed);
// Weights of modules with an adapter in fp32, whatever they are stored in.
void widen_adapted_weights(ParameterMap& parameters);
// Adds scale B A to the weights in fp32 and removes the adapter's tensors.
void merge_lora(ParameterMap& parameters, const LoraConfig& config);
// Everything that is attached to a base model: tensors of LoRA and AdaLoRA, and the prompts of
// tuning/prompt_set.h.
bool is_adapter_parameter(const std::string& name);

}  // namespace etrlrec
