// What every command shares: its registration, the common options, and the run record beside its
// result.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace etrlrec {

class Command;
class CommandLine;

inline constexpr const char* kVersion = "0.1.0";

struct CommonOptions {
  uint64_t seed = 42;
  int32_t threads = 0;              // 0: all cores
  std::string arithmetic = "auto";  // of frozen bfloat16 and int8 weights
  bool json = false, quiet = false, no_progress = false;
};

// Each command file defines one such function: it adds a subcommand to `app`, binds its options
// struct and sets a callback that runs it. `common` outlives the parse.
using AddCommand = void (*)(CommandLine& app, CommonOptions& common);

void add_prepare(CommandLine& app, CommonOptions& common);
void add_candidates(CommandLine& app, CommonOptions& common);
void add_score(CommandLine& app, CommonOptions& common);
void add_inspect(CommandLine& app, CommonOptions& common);
void add_fit(CommandLine& app, CommonOptions& common);
void add_new_lm(CommandLine& app, CommonOptions& common);
void add_construct(CommandLine& app, CommonOptions& common);
void add_distill(CommandLine& app, CommonOptions& common);
void add_reinforce(CommandLine& app, CommonOptions& common);
void add_evaluate(CommandLine& app, CommonOptions& common);
void add_compare(CommandLine& app, CommonOptions& common);
void add_audit(CommandLine& app, CommonOptions& common);
void add_recommend(CommandLine& app, CommonOptions& common);
void add_generate(CommandLine& app, CommonOptions& common);
void add_demo(CommandLine& app, CommonOptions& common);
void add_movielens(CommandLine& app, CommonOptions& common);
void add_export(CommandLine& app, CommonOptions& common);
void add_doctor(CommandLine& app, CommonOptions& common);

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Writes run.json (command, effective options, seed, version, threads, arithmetic of frozen
// weights, CPU, input hashes, seconds,
// peak memory) and options.toml (can be given back as --config) into a result folder. `inputs` maps
// a name to a file or folder whose identity is recorded: a file by its SHA-256, a folder by that of
// its run.json when it has one.
void write_run_record(const std::filesystem::path& folder, const Command& command,
                      const CommonOptions& common,
                      const std::map<std::string, std::filesystem::path>& inputs, double seconds);

// Name of the CPU and the vector extensions that matter here.
std::string cpu_description();

}  // namespace etrlrec
