// What every command shares: its registration, the common options, and the run record beside its
// result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "method/run_record.h"

namespace etrlrec {

class Command;
class CommandLine;

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

// Writes run.json (method/run_record.h) and options.toml, which can be given back as --config, into
// a result folder.
void write_run_record(const std::filesystem::path& folder, const Command& command,
                      const CommonOptions& common,
                      const std::map<std::string, std::filesystem::path>& inputs, double seconds);

}  // namespace etrlrec
