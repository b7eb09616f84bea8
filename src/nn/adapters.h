// LoRA (Hu et al. 2021): W x + (alpha / rank) B A x with A ~ Kaiming uniform, B = 0. Adapters are
// attached to an existing model by adding "<module>.lora_A.weight" [rank, in] and
// "<module>.lora_B.weight" [out, rank] to its parameters; the linear function of nn/layers.h uses
// them when present. Files follow PEFT's layout. Models offer these functions as methods
// (Llm::attach_lora ...), because the scale must be known where the pairs are used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

struct LoraConfig {
  int64_t r = 0;  // 0: no adapter, full fine-tuning
  double lora_alpha = 16;
  std::vector<std::string>
      target_modules;       // suffixes such as "q_proj"; empty: all linear layers but the head
  bool use_rslora = false;  // scale alpha / sqrt(r)

  double scale() const;  // 0 without an adapter
};

// Freezes every parameter and adds trainable adapter pairs to the map; with r = 0 nothing changes.
// Error (kUsage) when no module matches, or when the map holds adapters already.
void attach_lora(ParameterMap& parameters, const LoraConfig& config, uint64_t seed);
// Adds scale B A to the weights in fp32 and removes the pairs.
void merge_lora(ParameterMap& parameters, const LoraConfig& config);
// adapter_config.json + adapter_model.safetensors ("base_model.model.…lora_A.weight").
void save_lora(const ParameterMap& parameters, const LoraConfig& config,
               const std::string& base_model, const std::filesystem::path& folder);
// Freezes every parameter and adds the pairs of the file, trainable.
LoraConfig load_lora(ParameterMap& parameters, const std::filesystem::path& folder);
bool is_adapter_parameter(const std::string& name);  // "….lora_A.weight" or "….lora_B.weight"

}  // namespace etrlrec
