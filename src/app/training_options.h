// Options that every training command shares, under the names Hugging Face users know, and its
// closing message.
#pragma once

#include <string>

#include "app/command.h"
#include "app/memory_estimate.h"
#include "nn/adapters.h"
#include "train/trainer.h"

namespace etrlrec {

void add_training_options(Command& command, TrainerOptions& options);
// What is trained instead of all weights.
struct AdapterOptions {
  std::string adapter = "lora";  // lora | adalora
  LoraConfig lora;
  AdaLoraConfig adalora;
  // Error (kUsage) for options of the kind that was not chosen.
  LoraConfig config() const;
};
void add_adapter_options(Command& command, AdapterOptions& options);
void add_dry_run(Command& command, bool& dry_run);
// Prints the estimate of a training command; error (kMemory) when the machine has less.
void report_estimate(const MemoryEstimate& estimate, const std::string& command,
                     const CommonOptions& common);
void report_training(const TrainingResult& result, const TrainerOptions& options,
                     const std::string& out, const CommonOptions& common);

}  // namespace etrlrec
