// Options that every training command shares, under the names Hugging Face users know, and its
// closing message.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/command_line.h"
#include "method/adapter_options.h"
#include "method/memory_estimate.h"
#include "method/run_record.h"
#include "train/trainer.h"

namespace etrlrec {

// Learning rate, epochs and averaging, which every trained model has; the language models'
// trainings have the others, too: `eval_rows` says whether there is a validation.
std::vector<Option> add_schedule_options(Command& command, TrainerOptions& options);
void add_training_options(Command& command, TrainerOptions& options, const int64_t& eval_rows);
void add_adapter_options(Command& command, AdapterOptions& options);
// --init-prompt of stages that train an adapter beside a soft prompt (method/prompt_adapter.h).
void add_init_prompt(Command& command, std::string& folder);
// --dtype: how a command keeps the weights in memory.
Option add_dtype(Command& command, std::string& dtype);
// --adapter: PEFT folders that are loaded on top of a model.
Option add_adapters(Command& command, std::vector<std::string>& adapters);
void add_dry_run(Command& command, bool& dry_run);
// Prints the estimate of a training command; error (kMemory) when the machine has less.
void report_estimate(const MemoryEstimate& estimate, const std::string& command,
                     const CommonOptions& common);
void report_training(const TrainingResult& result, const TrainerOptions& options,
                     const std::string& out, const CommonOptions& common);

// Runs a stage that trains, writes its run record and prints how it went.
template <typename Setup>
void carry_out(Setup stage, const Command& command, const CommonOptions& common,
               const Stopwatch& watch, RunNotes notes = {}) {
  const auto options = stage.options;
  const TrainingResult result = run(std::move(stage));
  notes.findings = result.findings;
  write_run_record(options.out, command, common, {{"data", options.data}, {"model", options.model}},
                   watch.seconds(), notes);
  report_training(result, options.trainer, options.out, common);
}

}  // namespace etrlrec
