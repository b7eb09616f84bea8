#include "app/command.h"

#include "app/command_line.h"
#include "base/io.h"
#include "temporal/prompts.h"

namespace etrlrec {

void add_style(Command& command, std::string& style) {
  if (const auto names = style_names(); names.size() > 1)
    command.add_option("--style", style, "of writing, of prompts and answers").one_of(names);
}

void write_run_record(const fs::path& folder, const Command& command, const CommonOptions& common,
                      const std::map<std::string, fs::path>& inputs, double seconds,
                      const RunNotes& notes) {
  RunRequest request{command.name(), common.seed, common.numerics(), {}, notes};
  for (const auto& [name, values] : command.given()) request.options.emplace_back(name, values);
  write_run_record(folder, request, inputs, seconds);
  write_file_atomic(folder / "options.toml", command.to_toml());
}

}  // namespace etrlrec
