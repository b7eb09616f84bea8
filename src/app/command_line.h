// The command line: commands with typed options, help, one TOML table per command with --config,
// and hints after typing errors. The parser library is included in command_line.cc alone: its
// header costs about 15 s in each unit that sees it.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace etrlrec {

// Options of a command that do something only under a condition.
struct OptionConditions;

// A handle of one option; the methods chain. Values that break a rule are usage errors.
class Option {
 public:
  Option(CLI::Option* option, std::shared_ptr<OptionConditions> conditions)
      : option_(option), conditions_(std::move(conditions)) {}
  Option& required();
  Option& group(const std::string& heading);  // of the help
  Option& separated_by(char delimiter);       // several values in one word
  Option& count(int least, int most);         // of values
  Option& repeatable();                       // one value each time it is given
  Option& one_of(std::vector<std::string> words);
  Option& range(int least, int most);  // both included
  Option& range(double least, double most);
  Option& at_least(double least);
  Option& existing_folder();
  Option& existing_file();
  Option& excludes(const Option& other);
  Option& needs(const Option& other);
  // Refused where it is given with another value than its default while `holds` is false: it would
  // do nothing. `holds` is asked after parsing; `what` completes the message "--name: only with …".
  Option& only_with(const std::string& what, std::function<bool()> holds);

 private:
  CLI::Option* option_;
  std::shared_ptr<OptionConditions> conditions_;
};

// A handle of one command; it outlives neither its CommandLine nor the values it is bound to.
class Command {
 public:
  struct Given {
    std::string name;
    std::vector<std::string> values;
  };

  Command(CLI::App* command, std::shared_ptr<OptionConditions> conditions)
      : command_(command), conditions_(std::move(conditions)) {}
  std::string name() const;
  Command& alias(const std::string& name);
  Command& example(const std::string& arguments);  // the help ends in it
  Command& on_run(std::function<void()> run);
  // Called after parsing and before the conditions of only_with are asked, with what says whether
  // an option was given, e.g. to set what a preset says; may be called several times.
  using IsGiven = std::function<bool(const std::string& name)>;
  Command& before_conditions(std::function<void(const IsGiven& is_given)> prepare);
  // Binds `value`, which holds the default; a default that is not empty is shown in the help. T:
  // the integers, float, double, std::string, std::filesystem::path, and vectors of numbers or
  // strings.
  template <typename T>
  Option add_option(const std::string& names, T& value, const std::string& help);
  Option add_flag(const std::string& names, bool& value, const std::string& help);

  // After parsing: the options given on the command line or by --config, in the order of the help;
  // whether one was given; whether it was given with another value than its default (an
  // options.toml may repeat defaults); and the text of that file.
  std::vector<Given> given() const;
  bool is_given(const std::string& name) const;
  bool is_changed(const std::string& name) const;
  std::string to_toml() const;
  // The long names of all options, without dashes.
  std::vector<std::string> option_names() const;
  // Words that are no options of this command are kept instead of refused.
  Command& keep_others();
  std::vector<std::string> others() const;

 private:
  friend class CommandLine;
  void check_conditions_then(std::function<void()> prepare);

  CLI::App* command_;
  std::shared_ptr<OptionConditions> conditions_;
};

class CommandLine {
 public:
  CommandLine(const std::string& description, const std::string& footer);
  ~CommandLine();
  Command add_command(const std::string& name, const std::string& description);
  std::vector<Command> commands() const;
  // Called with the command's name after parsing and before it runs.
  void before_run(const std::function<void(const std::string& command)>& prepare);
  // Parses the words after the program's name and runs the command; --help and --version print.
  // --num_generations is accepted for --num-generations. Errors (kUsage): an unknown command or
  // option, with the nearest one that exists; every message ends in a hint where the help is.
  void run(std::vector<std::string> arguments);
  // Parses words that may lack required options, without running a command; returns what is wrong
  // with them, or nothing. A command line that was tried cannot run any more.
  std::string complaint(const std::vector<std::string>& arguments);
  // The first option among words without a complaint that would do nothing beside the others, with
  // what it needs, or nothing. The same holds for the command line.
  std::string without_effect(const std::vector<std::string>& arguments);

 private:
  void check_command(const std::vector<std::string>& arguments) const;
  void check_options(const std::vector<std::string>& arguments) const;
  std::string hint() const;

  std::unique_ptr<CLI::App> app_;
  std::map<const CLI::App*, std::shared_ptr<OptionConditions>> conditions_;
};

}  // namespace etrlrec
