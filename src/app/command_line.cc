#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <numeric>

#include "app/command.h"
#include "base/check.h"

namespace etrlrec {
namespace {

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

bool is_empty_value(const std::string& text) {
  return text.empty() || text == "[]" || text == "{}";
}

}  // namespace

Option& Option::required() {
  option_->required();
  return *this;
}
Option& Option::group(const std::string& heading) {
  option_->group(heading);
  return *this;
}
Option& Option::separated_by(char delimiter) {
  option_->delimiter(delimiter);
  return *this;
}
Option& Option::count(int least, int most) {
  option_->expected(least, most);
  return *this;
}
Option& Option::repeatable() {
  option_->expected(1)->take_all();
  return *this;
}
Option& Option::one_of(std::vector<std::string> words) {
  option_->check(CLI::IsMember(std::move(words)));
  return *this;
}
Option& Option::range(int least, int most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
Option& Option::range(double least, double most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
Option& Option::at_least(double least) {
  const auto check = [least](const std::string& text) -> std::string {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= least) return "";
    return fmt::format("expected a number of at least {}, found {}", least, text);
  };
  option_->check(check, fmt::format("AT LEAST {}", least));
  return *this;
}
Option& Option::existing_folder() {
  option_->check(CLI::ExistingDirectory);
  return *this;
}
Option& Option::existing_file() {
  option_->check(CLI::ExistingFile);
  return *this;
}
Option& Option::excludes(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}

std::string Command::name() const { return command_->get_name(); }
Command& Command::alias(const std::string& name) {
  command_->alias(name);
  return *this;
}
Command& Command::on_run(std::function<void()> run) {
  command_->callback(std::move(run));
  return *this;
}

template <typename T>
Option Command::add_option(const std::string& names, T& value, const std::string& help) {
  CLI::Option* option = command_->add_option(names, value, help)->capture_default_str();
  if (is_empty_value(option->get_default_str())) option->default_str("");
  return Option(option);
}
template Option Command::add_option(const std::string&, int32_t&, const std::string&);
template Option Command::add_option(const std::string&, int64_t&, const std::string&);
template Option Command::add_option(const std::string&, uint64_t&, const std::string&);
template Option Command::add_option(const std::string&, float&, const std::string&);
template Option Command::add_option(const std::string&, double&, const std::string&);
template Option Command::add_option(const std::string&, std::string&, const std::string&);
template Option Command::add_option(const std::string&, std::filesystem::path&, const std::string&);
template Option Command::add_option(const std::string&, std::vector<int64_t>&, const std::string&);
template Option Command::add_option(const std::string&, std::vector<double>&, const std::string&);
template Option Command::add_option(const std::string&, std::vector<std::string>&,
                                    const std::string&);

Option Command::add_flag(const std::string& names, bool& value, const std::string& help) {
  return Option(command_->add_flag(names, value, help));
}

std::vector<Command::Given> Command::given() const {
  std::vector<Given> all;
  for (const CLI::Option* option : std::as_const(*command_).get_options()) {
    const std::string name = option->get_single_name();
    if (name != "help" && option->count() > 0) all.push_back({name, option->results()});
  }
  return all;
}

bool Command::is_given(const std::string& name) const { return command_->count(name) > 0; }

bool Command::is_changed(const std::string& name) const {
  const CLI::Option* option = command_->get_option(name);
  if (option->count() == 0) return false;
  std::string values;
  for (const std::string& value : option->results()) {
    if (!is_empty_value(value)) values += (values.empty() ? "" : ",") + value;
  }
  return values != option->get_default_str() && values != "false";
}

std::string Command::to_toml() const {
  return fmt::format("[{}]\n{}", name(), command_->config_to_str(false, false));
}

CommandLine::CommandLine(const std::string& description, const std::string& footer)
    : app_(std::make_unique<CLI::App>(description)) {
  app_->name("etrlrec");
  app_->footer(footer);
  app_->set_version_flag("--version", std::string("etrlrec ") + kVersion);
  app_->require_subcommand(1);
  app_->set_config("-c,--config", "", "read options from a TOML file, one table per command");
  app_->allow_config_extras(CLI::config_extras_mode::error);
}

CommandLine::~CommandLine() = default;

Command CommandLine::add_command(const std::string& name, const std::string& description) {
  CLI::App* command = app_->add_subcommand(name, description);
  command->fallthrough();  // --config may stand behind the command
  return Command(command);
}

std::vector<Command> CommandLine::commands() const {
  std::vector<Command> all;
  for (CLI::App* command : app_->get_subcommands({})) all.emplace_back(command);
  return all;
}

void CommandLine::before_run(std::function<void()> prepare) {
  for (CLI::App* command : app_->get_subcommands({})) command->parse_complete_callback(prepare);
}

std::string CommandLine::hint(const std::vector<std::string>& arguments) const {
  std::vector<std::string> commands;
  for (const Command& command : this->commands()) commands.push_back(command.name());
  if (arguments.empty()) return "hint: etrlrec --help";
  const std::string& first = arguments.front();
  if (!first.starts_with("-") &&
      std::find(commands.begin(), commands.end(), first) == commands.end()) {
    const std::string near = nearest(first, commands);
    return near.empty() ? "hint: etrlrec --help lists the commands"
                        : "hint: did you mean \"" + near + "\"?";
  }
  const auto parsed = app_->get_subcommands();
  if (parsed.empty()) return "hint: etrlrec --help";
  std::vector<std::string> options;
  for (const CLI::Option* option : parsed[0]->get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  for (const std::string& argument : arguments) {
    const std::string name = argument.substr(0, argument.find('='));
    if (!name.starts_with("--") || std::find(options.begin(), options.end(), name) != options.end())
      continue;
    const std::string near = nearest(name, options);
    if (!near.empty()) return "hint: did you mean \"" + near + "\"?";
  }
  return "hint: etrlrec " + parsed[0]->get_name() + " --help";
}

void CommandLine::run(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    const size_t end = std::min(argument.find('='), argument.size());
    std::replace(argument.begin(), argument.begin() + static_cast<int64_t>(end), '_', '-');
  }
  try {
    app_->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& success) {
    app_->exit(success);
  } catch (const CLI::ParseError& error) {
    fail(ExitCode::kUsage, "{}\n{}", error.what(), hint(arguments));
  }
}

}  // namespace etrlrec
