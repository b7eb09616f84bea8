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
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

struct LogEntry {
  int64_t step = 0;
  std::map<std::string, double> values;
};

// What logs show that a person should know. A collapse ends the training.
struct Finding {
  std::string name, text;
  bool is_collapse = false;
  int64_t step = 0;        // of the last log that shows it
  int64_t good_until = 0;  // the last step whose policy the log before has seen
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
  std::map<std::string, Finding> findings;     // by name, the first of each
  int64_t rolled_back_to = -1;                 // the step that is kept after a collapse; -1: none
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
  // one and the one just written always stay. With `good_until` the newest one up to it stays, too,
  // or the oldest one, and the next one, which will take its place.
  void save(const TrainerState& state, const std::map<std::string, ParameterMap>& parts,
            int64_t limit, std::optional<int64_t> good_until = {}) const;
  // The newest checkpoint up to `step`, -1 where there is none.
  int64_t newest_until(int64_t step) const;
  TrainerState load_state(int64_t step) const;
  std::filesystem::path part(int64_t step, const std::string& name) const;  // its file
  // Copies the tensors of a checkpoint into `parameters`; names and shapes must match exactly
  // (kInput).
  void load_parameters(int64_t step, ParameterMap& parameters) const;

 private:
  void remove_old(std::span<const int64_t> kept, int64_t limit) const;
  std::filesystem::path folder_;
};

}  // namespace etrlrec
