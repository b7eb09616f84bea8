// The program: its command line and the outermost error handler. Exit codes: base/check.h.
#include <cstdio>
#include <new>

#include "app/commands.h"
#include "base/check.h"

namespace etrlrec {
namespace {

constexpr const char* kFooter =
    "The whole method on an embedded synthetic world, ending with a report:\n"
    "  etrlrec demo --out runs/demo\n"
    "On your own log, with sizes that fit it and the time you have:\n"
    "  etrlrec own log.csv --items items.csv --map user=u,item=i,time=t --title name --hours 1\n"
    "A run of several arms as data: etrlrec run --list\n"
    "Each command has its own --help. Every command takes --config FILE (TOML; keys are option "
    "names).";

void run(int argc, char** argv) {
  CommandLine app(
      "etrlrec: from an interaction log to a language model that reasons about time, recommends "
      "the next item and explains why",
      kFooter);
  CommonOptions common;
  add_commands(app, common);
  app.run({argv + 1, argv + argc});
}

}  // namespace
}  // namespace etrlrec

int main(int argc, char** argv) {
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
