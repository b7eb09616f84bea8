#include "app/commands.h"

#include <ATen/Parallel.h>

#include "base/check.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "base/print_to_file.h"

namespace etrlrec {

// Each command is in the file of its name: it adds itself to the command line, binds its options
// struct and says what runs. `CommonOptions` outlives the parse.
using AddCommand = void(CommandLine&, CommonOptions&);
AddCommand add_own, add_run, add_demo, add_movielens, add_delrec, add_prepare, add_inspect, add_fit,
    add_new_lm, add_construct, add_pretrain, add_soft_prompt, add_distill, add_reinforce,
    add_evaluate, add_compare, add_audit, add_recommend, add_generate, add_import, add_embed,
    add_export, add_doctor, add_candidates, add_score;

namespace {

constexpr AddCommand* kCommands[] = {
    add_own,         add_run,       add_demo,      add_movielens,  add_delrec,
    add_prepare,     add_inspect,   add_fit,       add_new_lm,     add_pretrain,
    add_soft_prompt, add_construct, add_distill,   add_reinforce,  add_evaluate,
    add_compare,     add_audit,     add_recommend, add_generate,   add_import,
    add_embed,       add_export,    add_doctor,    add_candidates, add_score};

// Options every command understands, added to each so that they may come after its name.
void add_common(Command& command, CommonOptions& common) {
  const std::string group = "Common";
  command.add_option("-s,--seed", common.seed, "seed of all random streams").group(group);
  command.add_option("-t,--threads", common.threads, "threads, 0: all cores").group(group);
  command
      .add_option("--arithmetic", common.arithmetic,
                  "products with frozen bfloat16 or int8 weights; auto: bfloat16 where the machine "
                  "has instructions for it; reference: plain, slow operations everywhere")
      .one_of({"auto", "float32", "bfloat16", "reference"})
      .group(group);
  command.add_flag("--json", common.json, "one JSON document on stdout").group(group);
  command.add_flag("-q,--quiet", common.quiet, "only warnings and errors").group(group);
  command.add_flag("--no-progress", common.no_progress, "no progress bars").group(group);
}

// A log comes and goes in a few large columns: with freed memory kept, the peak of reading 20
// million rows was 2,077 MiB instead of half of it.
bool keeps_memory(const std::string& command) { return command != "prepare"; }

void apply_common(const CommonOptions& common, const std::string& command) {
  if (keeps_memory(command)) keep_freed_memory();
  LogOptions log;
  log.quiet = common.quiet;
  log.progress = !common.no_progress;
  set_log_options(log);
  at::init_num_threads();  // LibTorch's choice, which kernels/parallel finds in OpenMP
  if (common.threads > 0) at::set_num_threads(common.threads);
  common.numerics();  // refuses what the machine cannot do before a command begins
}

// A command line of its own for one call.
struct Program {
  Program() : app("etrlrec", "") {
    add_commands(app, common);
    for (const Command& command : app.commands()) names.push_back(command.name());
  }
  Command command(const std::string& name) const {
    for (const Command& each : app.commands())
      if (each.name() == name) return each;
    fail(ExitCode::kUsage, "unknown command \"{}\"", name);
  }
  CommonOptions common;
  CommandLine app;
  std::vector<std::string> names;
};

}  // namespace

void add_commands(CommandLine& app, CommonOptions& common) {
  for (AddCommand* add : kCommands) add(app, common);
  for (Command& command : app.commands()) add_common(command, common);
  app.before_run([&common](const std::string& command) { apply_common(common, command); });
}

ProgramCommands program_commands() {
  return {Program().names,
          [](const std::string& name) { return Program().command(name).option_names(); },
          [](const std::vector<std::string>& words) { return Program().app.complaint(words); },
          [](const std::vector<std::string>& words) { return Program().app.without_effect(words); },
          [](const std::vector<std::string>& words, const fs::path& printed) {
            const PrintToFile redirected(printed);
            Program().app.run(words);
          }};
}

std::vector<std::string> words_for_stages(const CommonOptions& common) {
  std::vector<std::string> words = {fmt::format("--threads={}", common.threads),
                                    "--arithmetic=" + common.arithmetic};
  if (common.quiet) words.emplace_back("--quiet");
  if (common.no_progress) words.emplace_back("--no-progress");
  return words;
}

std::vector<RecipeOption> options_of_prepare(std::vector<std::string> words) {
  Program program;
  words.insert(words.begin(), "prepare");
  const std::string complaint = program.app.complaint(words);
  CHECK(complaint.empty(), kUsage, "{}\nhint: etrlrec prepare --help", complaint);
  std::vector<RecipeOption> options;
  for (const Command::Given& given : program.command("prepare").given()) {
    const bool is_list = given.values.size() > 1;
    options.push_back({given.name, {given.values, is_list, given.values.front() != "true"}, {}});
  }
  return options;
}

}  // namespace etrlrec
