// The record of a finished run next to its result: which program, on which machine, with which
// options and inputs, and how long it took.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nn/numerics.h"

namespace etrlrec {

inline constexpr const char* kVersion = "0.1.0";

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// What a run says beside its options.
struct RunNotes {
  std::vector<std::pair<std::string, std::string>> preset;  // options that a preset has set
  std::vector<std::string> findings;                        // what went wrong, in words
};

// What was asked for: the command's name, its seed, its arithmetic, and the options that were
// given, each with its values.
struct RunRequest {
  std::string command;
  uint64_t seed = 42;
  Numerics numerics;
  std::vector<std::pair<std::string, std::vector<std::string>>> options;
  RunNotes notes = {};
};

// Writes FOLDER/run.json: command, options, seed, version, threads, arithmetic of frozen weights,
// CPU, input hashes, seconds, peak memory, notes. `inputs` maps a name to a file or folder whose
// identity is recorded: a file by its SHA-256, a folder by that of its run.json when it has one.
void write_run_record(const std::filesystem::path& folder, const RunRequest& request,
                      const std::map<std::string, std::filesystem::path>& inputs, double seconds);

// Name of the CPU and the vector extensions that matter here.
std::string cpu_description();

}  // namespace etrlrec
