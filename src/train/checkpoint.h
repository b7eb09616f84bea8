// Training state on disk: checkpoint-<step>/<part>.safetensors + trainer_state.json; parts are
// "model", "optimizer", with ema_decay "average", with AdaLoRA "adalora". A
// checkpoint folder appears complete or not at all, so the newest one is always good to continue
// from, whenever the process died. model.safetensors holds the trained tensors only; frozen ones
// come from where they came from before.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

struct LogEntry {
  int64_t step = 0;
  std::map<std::string, double> values;
};

// What a trainer knows besides weights and optimiser.
struct TrainerState {
  int64_t global_step = 0;  // optimiser steps done
  int64_t max_steps = 0;
  double epoch = 0;
  int64_t tokens = 0;
  double seconds = 0;  // spent in training, over all sessions
  bool has_best = false;
  double best_metric = 0;
  int64_t best_step = 0;
  int64_t stale_evaluations = 0;  // since the best one
  bool finished = false;
  std::map<std::string, std::pair<double, int64_t>> window;  // sum and count since the last log
  std::vector<LogEntry> log_history;
  std::map<std::string, std::string> options;  // that decide the result; compared on resume
};

class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Steps of all complete checkpoints, ascending.
  std::vector<int64_t> steps() const;
  std::filesystem::path path(int64_t step) const;
  bool contains(int64_t step) const;
  // Removes what a killed process left half written.
  void remove_leftovers() const;

  // Writes checkpoint-<global_step>, then removes the oldest ones until `limit` are left; the best
  // one and the one just written always stay.
  void save(const TrainerState& state, const std::map<std::string, ParameterMap>& parts,
            int64_t limit) const;
  TrainerState load_state(int64_t step) const;
  std::filesystem::path part(int64_t step, const std::string& name) const;  // its file
  // Copies the tensors of a checkpoint into `parameters`; names and shapes must match exactly
  // (kInput).
  void load_parameters(int64_t step, ParameterMap& parameters) const;

 private:
  void remove_old(int64_t newest, int64_t best, int64_t limit) const;
  std::filesystem::path folder_;
};

}  // namespace etrlrec
