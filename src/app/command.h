// What every command shares: the common options, and the run record next to its result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "method/run_record.h"

namespace etrlrec {

class Command;

struct CommonOptions {
  uint64_t seed = 42;
  int32_t threads = 0;              // 0: all cores
  std::string arithmetic = "auto";  // of the models, see numerics()
  bool json = false, quiet = false, no_progress = false;

  Numerics numerics() const { return {parse_arithmetic(arithmetic)}; }
};

// --style: how prompts and answers are written (temporal/prompts.h), where there is a choice.
void add_style(Command& command, std::string& style);
// Writes run.json (method/run_record.h) and options.toml, which can be given back as --config, into
// a result folder.
void write_run_record(const std::filesystem::path& folder, const Command& command,
                      const CommonOptions& common,
                      const std::map<std::string, std::filesystem::path>& inputs, double seconds,
                      const RunNotes& notes = {});

}  // namespace etrlrec
