// etrlrec inspect: what is in a data set folder, in numbers and as advice.
#include "method/inspect.h"

#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"

namespace etrlrec {
namespace {

void print_summary(const OrderedJson& json) {
  fmt::print("{}: {} users · {} items · {} interactions · density {:.4f} %\n",
             json["path"].get<std::string>(), json["users"].get<int64_t>(),
             json["items"].get<int64_t>(), json["interactions"].get<int64_t>(),
             100 * json["density"].get<double>());
  std::string lengths;
  for (const auto& [name, value] : json["history_length"].items()) {
    lengths += fmt::format(" {} {}", name, value.get<int64_t>());
  }
  fmt::print("history length:{}\n", lengths);
  fmt::print("times: {} ... {} · {} ties · {} repeats of the previous item\n",
             json["first_time"].get<std::string>(), json["last_time"].get<std::string>(),
             json["ties"].get<int64_t>(), json["repeats"].get<int64_t>());
  fmt::print(
      "items: top 1 % has {:.1f} % of the events · {} without events · {} cold · {} with a "
      "title seen before\n",
      100 * json["top_percent_share"].get<double>(), json["unused_items"].get<int64_t>(),
      json["cold_items"].get<int64_t>(), json["duplicate_titles"].get<int64_t>());
  for (const auto& [field, count] : json["attributes"].items()) {
    fmt::print("attribute {}: {} values\n", field, count.get<int64_t>());
  }
  fmt::print("split {}: {} train, {} valid, {} test rows\n", json["split"].get<std::string>(),
             json["train_rows"].get<int64_t>(), json["valid_rows"].get<int64_t>(),
             json["test_rows"].get<int64_t>());
  for (const auto& [part, set] : json["candidates"].items()) {
    fmt::print("candidates {}: {} rows of {} ({}, seed {})\n", part, set["rows"].get<int64_t>(),
               set["count"].get<int64_t>(), set["kind"].get<std::string>(),
               set["seed"].get<uint64_t>());
  }
  for (const auto& line : json["advice"]) fmt::print("advice: {}\n", line.get<std::string>());
}

}  // namespace

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
      print_summary(json);
    }
  });
}

}  // namespace etrlrec
