// The program: a table of commands and the outermost error handler. Exit codes: base/check.h.
#include <ATen/Parallel.h>
#include <unistd.h>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/log.h"
#include "base/startup.h"

namespace etrlrec {

// Each command is in the file of its name: it adds itself to the command line, binds its options
// struct and says what runs. `CommonOptions` outlives the parse.
using AddCommand = void(CommandLine&, CommonOptions&);
AddCommand add_demo, add_movielens, add_prepare, add_inspect, add_fit, add_new_lm, add_construct,
    add_pretrain, add_distill, add_reinforce, add_evaluate, add_compare, add_audit, add_recommend,
    add_generate, add_export, add_doctor, add_candidates, add_score;

namespace {

constexpr AddCommand* kCommands[] = {add_demo,    add_movielens,  add_prepare,  add_inspect,
                                     add_fit,     add_new_lm,     add_pretrain, add_construct,
                                     add_distill, add_reinforce,  add_evaluate, add_compare,
                                     add_audit,   add_recommend,  add_generate, add_export,
                                     add_doctor,  add_candidates, add_score};

constexpr const char* kFooter =
    "The whole method on an embedded synthetic world, ending with a report:\n"
    "  etrlrec demo --out runs/demo\n"
    "On your own log:\n"
    "  etrlrec prepare --input log.csv --items items.csv --map user=u,item=i,time=t --title name "
    "--out shop\n"
    "  etrlrec fit --data shop --out runs/sasrec\n"
    "Each command has its own --help. Every command takes --config FILE (TOML; keys are option "
    "names).";

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

void apply_common(const CommonOptions& common) {
  LogOptions log;
  log.quiet = common.quiet;
  log.progress = !common.no_progress;
  set_log_options(log);
  at::init_num_threads();  // LibTorch's choice, which kernels/parallel finds in OpenMP
  if (common.threads > 0) at::set_num_threads(common.threads);
  common.numerics();  // refuses what the machine cannot do before a command begins
}

void run(int argc, char** argv) {
  CommandLine app(
      "etrlrec: from an interaction log to a language model that reasons about time, recommends "
      "the next item and explains why",
      kFooter);
  CommonOptions common;
  for (AddCommand* add : kCommands) add(app, common);
  for (Command& command : app.commands()) add_common(command, common);
  app.before_run([&common] { apply_common(common); });
  app.run({argv + 1, argv + argc});
}

}  // namespace
}  // namespace etrlrec

int main(int argc, char** argv) {
  etrlrec::keep_freed_memory();
  try {
    etrlrec::run(argc, argv);
    return 0;
  } catch (const etrlrec::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\nhint: a smaller batch, or --limit\n");
    return static_cast<int>(etrlrec::ExitCode::kMemory);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return static_cast<int>(etrlrec::ExitCode::kFailure);
  }
}
