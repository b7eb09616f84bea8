// The program: a table of commands and the outermost error handler. Exit codes: base/check.h.
#include <ATen/Parallel.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>
#include <numeric>

#include "app/command.h"
#include "base/check.h"
#include "base/log.h"

namespace etrlrec {
namespace {

constexpr std::array<AddCommand, 17> kCommands = {
    add_demo,      add_movielens, add_prepare,   add_inspect,    add_fit,     add_new_lm,
    add_construct, add_distill,   add_reinforce, add_evaluate,   add_compare, add_audit,
    add_recommend, add_generate,  add_doctor,    add_candidates, add_score};

constexpr const char* kFooter =
    "The whole method on an embedded synthetic world, ending with a report:\n"
    "  etrlrec demo --out runs/demo\n"
    "On your own log:\n"
    "  etrlrec prepare --input log.csv --items items.csv --map user=u,item=i,time=t --title name "
    "--out shop\n"
    "  etrlrec fit --data shop --out runs/sasrec\n"
    "Each command has its own --help. Every command takes --config FILE (TOML; keys are option "
    "names).";

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : known) {
    const size_t distance = edit_distance(word, name);
    if (distance < best_distance) best = name, best_distance = distance;
  }
  return best;
}

// Options every command understands, added to each so that they may stand behind its name.
void add_common(CLI::App& command, CommonOptions& common) {
  const std::string group = "Common";
  command.add_option("-s,--seed", common.seed, "seed of all random streams")
      ->capture_default_str()
      ->group(group);
  command.add_option("-t,--threads", common.threads, "threads, 0: all cores")
      ->capture_default_str()
      ->group(group);
  command.add_flag("--json", common.json, "one JSON document on stdout")->group(group);
  command.add_flag("-q,--quiet", common.quiet, "only warnings and errors")->group(group);
  command.add_flag("--no-progress", common.no_progress, "no progress bars")->group(group);
}

void apply_common(const CommonOptions& common) {
  LogOptions log;
  log.quiet = common.quiet;
  log.progress = !common.no_progress;
  set_log_options(log);
  if (common.threads > 0) at::set_num_threads(common.threads);
}

// --num_generations is accepted for --num-generations, as Hugging Face users type it.
std::vector<std::string> normalized_arguments(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    const size_t end = std::min(argument.find('='), argument.size());
    std::replace(argument.begin(), argument.begin() + static_cast<int64_t>(end), '_', '-');
  }
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  return arguments;
}

std::string suggestion(const CLI::App& app, const std::vector<std::string>& reversed) {
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  if (reversed.empty()) return "";
  const std::string& first = reversed.back();
  if (!first.starts_with("-") &&
      std::find(commands.begin(), commands.end(), first) == commands.end()) {
    const std::string near = nearest(first, commands);
    return near.empty() ? "hint: etrlrec --help lists the commands"
                        : "hint: did you mean \"" + near + "\"?";
  }
  const auto parsed = app.get_subcommands();
  if (parsed.empty()) return "hint: etrlrec --help";
  std::vector<std::string> options;
  for (const CLI::Option* option : parsed[0]->get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  for (const std::string& argument : reversed) {
    const std::string name = argument.substr(0, argument.find('='));
    if (!name.starts_with("--") || std::find(options.begin(), options.end(), name) != options.end())
      continue;
    const std::string near = nearest(name, options);
    if (!near.empty()) return "hint: did you mean \"" + near + "\"?";
  }
  return "hint: etrlrec " + parsed[0]->get_name() + " --help";
}

int run(int argc, char** argv) {
  CLI::App app{
      "etrlrec: from an interaction log to a language model that reasons about time, recommends "
      "the next item "
      "and explains why"};
  app.name("etrlrec");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("etrlrec ") + kVersion);
  app.require_subcommand(1);
  app.set_config("-c,--config", "", "read options from a TOML file, one table per command");
  app.allow_config_extras(CLI::config_extras_mode::error);
  CommonOptions common;
  for (const AddCommand add : kCommands) add(app, common);
  for (CLI::App* command : app.get_subcommands({})) {
    add_common(*command, common);
    command->fallthrough();  // --config may stand behind the command
    command->parse_complete_callback([&common] { apply_common(common); });
  }
  const std::vector<std::string> arguments = normalized_arguments(argc, argv);
  try {
    std::vector<std::string> consumed = arguments;
    app.parse(std::move(consumed));
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "error: {}\n{}\n", error.what(), suggestion(app, arguments));
    return static_cast<int>(ExitCode::kUsage);
  }
  return 0;
}

}  // namespace
}  // namespace etrlrec

int main(int argc, char** argv) {
  try {
    return etrlrec::run(argc, argv);
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
