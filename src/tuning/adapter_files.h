// Adapter folders of LoRA and AdaLoRA in PEFT's layout.
#pragma once

#include <filesystem>
#include <string>

#include "nn/parameters.h"
#include "tuning/adapters.h"

namespace etrlrec {

// adapter_model.safetensors of a folder. Error (kModel) where PEFT wrote a pickle file instead.
std::filesystem::path adapter_weights_file(const std::filesystem::path& folder);

// PEFT's folder: adapter_config.json + adapter_model.safetensors
// ("base_model.model.…lora_A.weight"). AdaLoRA writes the kept ranks only.
void save_lora(const ParameterMap& parameters, const LoraConfig& config,
               const std::string& base_model, const std::filesystem::path& folder,
               const std::string& task_type = "CAUSAL_LM");
// Freezes every parameter and adds the tensors of the file, trainable. Errors: kModel for fields of
// PEFT that would change the result and are not computed here (by name) and for tensors that do not
// fit the model (whole layers beside the adapter among them), kInput for a damaged folder; then
// nothing is changed.
LoraConfig load_lora(ParameterMap& parameters, const std::filesystem::path& folder);

}  // namespace etrlrec
