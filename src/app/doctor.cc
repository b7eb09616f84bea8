// etrlrec doctor: what this machine is, how fast the arithmetic of the language models runs on it,
// and which kernel computes which product.
#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"
#include "method/machine.h"

namespace etrlrec {

void add_doctor(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("doctor", "what this machine is and how fast its arithmetic runs");
  command.example("doctor");
  command.alias("env");
  command.on_run([&common] {
    const Machine machine = examine_machine(common.numerics());
    if (common.json) {
      fmt::print("{}\n", to_json(machine).dump(2));
    } else {
      fmt::print("{}next: etrlrec demo --quick\n", format_machine(machine));
    }
  });
}

}  // namespace etrlrec
