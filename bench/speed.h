// Shared by the units of etrlrec_speed: shapes, random inputs, timing, the JSON line of a job.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "models/decoder.h"
#include "train/trainer.h"
#include "tuning/optim.h"

namespace etrlrec {

double seconds_of(const std::function<void()>& work);
double median(std::vector<double> samples);
// XS, S (bench/RESULTS.md), 3B (hidden 3072, 28 layers, 24 / 8 heads, vocabulary 128,256, tied) and
// timeline (hidden 128, 2 layers, 2 heads, vocabulary 3,321, tied).
LlmConfig speed_shape(const std::string& name);
// New fp32 or bfloat16 values in place: 1 for a norm, N(0, 0.02) for others.
void fill_random(const std::string& name, at::Tensor weight);
std::vector<int64_t> random_ids(Rng& rng, int64_t count, int64_t vocab);
LoraConfig attention_lora();
// One optimiser step on `rows` as the trainer takes it, part by part; seconds.
double train_step(Objective& objective, Optimizer& optimizer, std::span<const int64_t> rows,
                  int64_t step);
// `figures`: members of the JSON object, e.g. "\"step_s\": 1.5".
void print_job(const std::string& job, const std::string& figures);

void catalogue_ranking();
void prompt_tuning(LanguageModel& model, int steps);

// Random weights in files of at most 1 GB, made one tensor at a time. Storage float32 or bfloat16.
void save_random(const std::string& shape, Storage storage, const std::string& folder);
// Checkpoint to the first token behind an 8-token prompt.
void first_token(const std::string& folder, Storage storage);
// Two LoRA steps of SFT on a loaded base; memory after loading and at the peak.
void adapter_memory(const std::string& folder, Storage storage, int64_t rows, int64_t tokens);
// Byte-level BPE of a text, cut into documents of 4 KB at line ends; ids as int32 to `out`.
void encode_text(const std::string& folder, const std::string& text, const std::string& out);

}  // namespace etrlrec
