// Options that every training command shares, under the names Hugging Face users know, and its
// closing message.
#pragma once

#include <string>

#include "app/command.h"
#include "nn/adapters.h"
#include "train/trainer.h"

namespace etrlrec {

void add_training_options(Command& command, TrainerOptions& options);
void add_lora_options(Command& command, LoraConfig& options);
void report_training(const TrainingResult& result, const TrainerOptions& options,
                     const std::string& out, const CommonOptions& common);

}  // namespace etrlrec
