// etrlrec audit: prints what was checked and found; any finding is exit code 8.
#include "method/audit.h"

#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/json.h"

namespace etrlrec {
namespace {

void report_audit(const AuditReport& report, const CommonOptions& common) {
  const int64_t findings = report.total();
  if (common.json) {
    std::cout << to_json(report).dump(2) << "\n";
  } else {
    for (const auto& [check, things] : report.checked)
      fmt::print("{:<20} {} checked\n", check, things);
    fmt::print("audit: {}\n", findings == 0 ? "clean" : fmt::format("{} findings", findings));
  }
  CHECK(findings == 0, kGate, "audit: {} findings, see above", findings);
}

}  // namespace

void add_audit(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "audit", "re-derives that no text or statistic knows the future; exit code 8 otherwise");
  command.example("audit --data shop --reasoning shop-reasoning");
  auto options = std::make_shared<AuditOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("--reasoning", options->reasoning, "folder of construct, checked too")
      .existing_folder();
  command
      .add_option(
          "--guidance", options->guidance,
          "file of construct --guidance, where the teacher of --reasoning was asked with it")
      .existing_file()
      .only_with("--reasoning", [=] { return !options->reasoning.empty(); });
  command
      .add_option("--model", options->model,
                  "folder of soft-prompt, or of distill --knowledge list: that its recommenders "
                  "were cross-fitted is checked")
      .existing_folder();
  command
      .add_option("--recommender", options->recommenders,
                  "of a reasoning with --knowledge pattern or list: what it was written with; of "
                  "--model: all whose lists it was trained with, repeatable")
      .repeatable()
      .existing_folder()
      .only_with("--reasoning or --model",
                 [=] { return !options->reasoning.empty() || !options->model.empty(); });
  command.on_run([options, &common] { report_audit(audit(*options), common); });
}

}  // namespace etrlrec
