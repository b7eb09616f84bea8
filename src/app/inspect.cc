// etrlrec inspect: what is in a data set folder, in numbers and as advice.
#include "method/inspect.h"

#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"

namespace etrlrec {
void add_inspect(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("inspect", "what is in a data set folder, in numbers and as advice");
  command.example("inspect shop");
  auto folder = std::make_shared<std::string>();
  command.add_option("folder,-d,--data", *folder, "data set folder").required();
  command.on_run([folder, &common] {
    const OrderedJson json = inspect(*folder);
    if (common.json) {
      std::cout << json.dump(2) << "\n";
    } else {
      fmt::print("{}", format_inspection(json));
    }
  });
}

}  // namespace etrlrec
