#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/nearest_word.h"
#include "method/run_record.h"

namespace etrlrec {
namespace {

bool is_empty_value(const std::string& text) {
  return text.empty() || text == "[]" || text == "{}";
}

// Given with another value than its default.
bool is_changed_option(const CLI::Option& option) {
  if (option.count() == 0) return false;
  std::string values;
  for (const std::string& value : option.results()) {
    if (!is_empty_value(value)) values += (values.empty() ? "" : ",") + value;
  }
  return values != option.get_default_str() && values != "false";
}

}  // namespace

struct OptionConditions {
  struct Condition {
    const CLI::Option* option;
    std::string what;
    std::function<bool()> holds;
  };
  std::vector<Condition> all;
  std::function<void()> prepare;

  // The first option that would do nothing, with what it needs; empty where there is none.
  std::string complaint() const {
    if (prepare) prepare();
    for (const Condition& condition : all) {
      if (is_changed_option(*condition.option) && !condition.holds())
        return fmt::format("--{}: only with {}", condition.option->get_single_name(),
                           condition.what);
    }
    return "";
  }
};

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
Option& Option::needs(const Option& other) {
  option_->needs(other.option_);
  return *this;
}
Option& Option::only_with(const std::string& what, std::function<bool()> holds) {
  conditions_->all.push_back({option_, what, std::move(holds)});
  return *this;
}

std::string Command::name() const { return command_->get_name(); }
Command& Command::alias(const std::string& name) {
  command_->alias(name);
  return *this;
}
Command& Command::example(const std::string& arguments) {
  command_->footer(
      fmt::format("Example:\n  etrlrec {}\nOptions may also stand in a TOML file, by their names: "
                  "--config FILE.",
                  arguments));
  return *this;
}
Command& Command::on_run(std::function<void()> run) {
  command_->callback(std::move(run));
  return *this;
}

Command& Command::before_conditions(std::function<void(const IsGiven& is_given)> prepare) {
  conditions_->prepare = [app = command_, prepare = std::move(prepare)] {
    prepare([app](const std::string& name) { return app->count(name) > 0; });
  };
  return *this;
}

template <typename T>
Option Command::add_option(const std::string& names, T& value, const std::string& help) {
  CLI::Option* option = command_->add_option(names, value, help)->capture_default_str();
  if (is_empty_value(option->get_default_str())) option->default_str("");
  return {option, conditions_};
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
  return {command_->add_flag(names, value, help), conditions_};
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
  return is_changed_option(*command_->get_option(name));
}

std::string Command::to_toml() const {
  return fmt::format("[{}]\n{}", name(), command_->config_to_str(false, false));
}

std::vector<std::string> Command::option_names() const {
  std::vector<std::string> names;
  for (const CLI::Option* option : std::as_const(*command_).get_options())
    names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
  return names;
}

Command& Command::keep_others() {
  command_->fallthrough(false)->allow_extras();
  return *this;
}

std::vector<std::string> Command::others() const { return command_->remaining(); }

void Command::check_conditions_then(std::function<void()> prepare) {
  command_->parse_complete_callback(
      [name = name(), conditions = conditions_, prepare = std::move(prepare)] {
        const std::string complaint = conditions->complaint();
        const bool has_hint = complaint.find("hint: ") != std::string::npos;
        CHECK(complaint.empty(), kUsage, "{}{}", complaint,
              has_hint ? "" : fmt::format("\nhint: etrlrec {} --help", name));
        prepare();
      });
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
  command->fallthrough();  // --config may come after the command
  const auto conditions = std::make_shared<OptionConditions>();
  conditions_[command] = conditions;
  Command made(command, conditions);
  made.check_conditions_then([] {});
  return made;
}

std::vector<Command> CommandLine::commands() const {
  std::vector<Command> all;
  for (CLI::App* command : app_->get_subcommands({}))
    all.emplace_back(command, conditions_.at(command));
  return all;
}

void CommandLine::before_run(const std::function<void(const std::string& command)>& prepare) {
  for (Command& command : commands())
    command.check_conditions_then([prepare, name = command.name()] { prepare(name); });
}

void CommandLine::check_command(const std::vector<std::string>& arguments) const {
  std::string first;  // the first word that is no option of the program itself
  for (size_t i = 0; i < arguments.size() && first.empty(); ++i) {
    if (arguments[i] == "-c" || arguments[i] == "--config") {
      ++i;
    } else if (!arguments[i].starts_with("-")) {
      first = arguments[i];
    } else if (!arguments[i].starts_with("--config=")) {
      return;  // --help, --version, or an option that the parser refuses
    }
  }
  CHECK(!first.empty(), kUsage, "expected a command\nhint: etrlrec --help lists the commands");
  std::vector<std::string> known;
  for (const CLI::App* command : app_->get_subcommands({})) {
    known.push_back(command->get_name());
    for (const std::string& alias : command->get_aliases()) known.push_back(alias);
  }
  CHECK(std::find(known.begin(), known.end(), first) != known.end(), kUsage,
        "unknown command \"{}\"{}\nhint: etrlrec --help lists the commands", first,
        did_you_mean(first, known));
}

void CommandLine::check_options(const std::vector<std::string>& arguments) const {
  const auto parsed = app_->get_subcommands();
  if (parsed.empty()) return;
  std::vector<std::string> known = {"--config"};
  for (const CLI::Option* option : parsed[0]->get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const std::string& argument : arguments) {
    const std::string name = argument.substr(0, argument.find('='));
    CHECK(name == "--" || !name.starts_with("--") ||
              std::find(known.begin(), known.end(), name) != known.end(),
          kUsage, "unknown option \"{}\" of {}{}\nhint: etrlrec {} --help lists the options", name,
          parsed[0]->get_name(), did_you_mean(name, known), parsed[0]->get_name());
  }
}

std::string CommandLine::hint() const {
  const auto parsed = app_->get_subcommands();
  return parsed.empty() ? "hint: etrlrec --help"
                        : "hint: etrlrec " + parsed[0]->get_name() + " --help";
}

void CommandLine::run(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    const size_t end = std::min(argument.find('='), argument.size());
    std::replace(argument.begin(), argument.begin() + static_cast<int64_t>(end), '_', '-');
  }
  check_command(arguments);
  try {
    app_->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& success) {
    app_->exit(success);
  } catch (const CLI::ParseError& error) {
    check_options(arguments);
    fail(ExitCode::kUsage, "{}\n{}", error.what(), hint());
  }
}

std::string CommandLine::complaint(const std::vector<std::string>& arguments) {
  // Thrown when all is parsed: a command's callback owns the values of its options, so it can
  // neither run nor be taken away.
  struct Parsed {};
  app_->parse_complete_callback([] { throw Parsed(); });
  for (CLI::App* command : app_->get_subcommands({})) {
    command->parse_complete_callback({});
    for (CLI::Option* option : command->get_options()) option->required(false);
  }
  try {
    app_->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return error.what();
  } catch (const Parsed&) {
  }
  return "";
}

std::string CommandLine::without_effect(const std::vector<std::string>& arguments) {
  if (!complaint(arguments).empty()) return "";
  std::string found;
  for (const CLI::App* command : app_->get_subcommands())
    found += conditions_.at(command)->complaint();
  return found;
}

}  // namespace etrlrec
