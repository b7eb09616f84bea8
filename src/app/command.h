// What every command shares: its registration, the common options, and the run record beside its
// result.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace CLI {
class App;
}

namespace etrlrec {

inline constexpr const char* kVersion = "0.1.0";

struct CommonOptions {
  uint64_t seed = 42;
  int32_t threads = 0;  // 0: all cores
  bool json = false, quiet = false, no_progress = false;
};

// Each command file defines one such function: it adds a subcommand to `app`, binds its options
// struct and sets a callback that runs it. `common` outlives the parse.
using AddCommand = void (*)(CLI::App& app, CommonOptions& common);

void add_prepare(CLI::App& app, CommonOptions& common);
void add_candidates(CLI::App& app, CommonOptions& common);
void add_score(CLI::App& app, CommonOptions& common);
void add_inspect(CLI::App& app, CommonOptions& common);
void add_fit(CLI::App& app, CommonOptions& common);
void add_new_lm(CLI::App& app, CommonOptions& common);
void add_construct(CLI::App& app, CommonOptions& common);
void add_distill(CLI::App& app, CommonOptions& common);
void add_reinforce(CLI::App& app, CommonOptions& common);
void add_evaluate(CLI::App& app, CommonOptions& common);
void add_compare(CLI::App& app, CommonOptions& common);
void add_audit(CLI::App& app, CommonOptions& common);
void add_recommend(CLI::App& app, CommonOptions& common);
void add_generate(CLI::App& app, CommonOptions& common);
void add_demo(CLI::App& app, CommonOptions& common);
void add_movielens(CLI::App& app, CommonOptions& common);
void add_doctor(CLI::App& app, CommonOptions& common);

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Writes run.json (command, effective options, seed, version, threads, CPU, input hashes, seconds,
// peak memory) and options.toml (can be given back as --config) into a result folder. `inputs` maps
// a name to a file or folder whose identity is recorded: a file by its SHA-256, a folder by that of
// its run.json when it has one.
void write_run_record(const std::filesystem::path& folder, const CLI::App& command,
                      const CommonOptions& common,
                      const std::map<std::string, std::filesystem::path>& inputs, double seconds);

// Name of the CPU and the vector extensions that matter here.
std::string cpu_description();

}  // namespace etrlrec
