// etrlrec prepare: a log and a catalogue (or the synthetic world) become a data set folder.
#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/reader_plan.h"
#include "method/prepare_words.h"

namespace etrlrec {
namespace {

struct PrepareFlags {
  double min_rating = 0;
  bool replace = false;
};

void run_prepare(PrepareWords words, const PrepareFlags& flags, const Command& command,
                 const CommonOptions& common) {
  const Stopwatch watch;
  if (command.is_changed("--min-rating")) words.min_rating = flags.min_rating;
  const PrepareOptions options = prepare_options(words, common.seed);
  FolderWriter writer(options.out, flags.replace);
  OrderedJson report;
  const PrepareSummary summary = prepare(options, writer.path(), &report);
  write_run_record(writer.path(), command, common, summary.inputs, watch.seconds());
  writer.commit();
  if (common.json) {
    std::cout << report.dump(2) << "\n";
    return;
  }
  fmt::print(
      "{}: {} users · {} items · {} interactions · {} train, {} valid, {} test rows · {}\n"
      "next: etrlrec inspect {}\n",
      options.out, summary.users, summary.items, summary.interactions, summary.train_rows,
      summary.valid_rows, summary.test_rows, summary.protocol, options.out);
}

void add_reading(Command& command, PrepareWords& options) {
  ReaderOptions& reader = options.prepare.reader;
  const auto is_log = [&options] { return options.format != "synthetic"; };
  const auto of_log = [is_log](Option option) {
    return option.group("Reading").only_with("a log, not --format synthetic", is_log);
  };
  const auto add = [&](const char* names, auto& value, const char* text) {
    return of_log(command.add_option(names, value, text));
  };
  const auto add_flag = [&](const char* names, bool& value, const char* text) {
    return of_log(command.add_flag(names, value, text));
  };
  std::vector<std::string> formats = log_formats();
  formats.push_back("synthetic");
  add("-i,--input", options.input, "log: a file, or a folder in a layout that --format names");
  add("--items", reader.items, "catalogue file");
  command.add_option("--format", options.format, "layout of the input")
      .group("Reading")
      .one_of(formats);
  add("--map", options.map,
      "columns of the log, e.g. user=cust,item=sku,time=ts,rating=stars; without a header: numbers "
      "from 1")
      .separated_by(',');
  add("--item-column", reader.item_column, "id column of the catalogue");
  add("--title", reader.title, "title column of the catalogue");
  add("--attributes", reader.attributes, "attribute columns of the catalogue").separated_by(',');
  add("--attribute-separator", reader.attribute_separator,
      "between the values of an attribute column; default | where it occurs, else ,");
  add("--delimiter", options.delimiter, "of the log: one character, :: or tab");
  const std::vector<std::string> states{"auto", "on", "off"};
  add("--header", options.header, "first line of the log names the columns").one_of(states);
  add("--quoting", options.quoting, "fields of the log may be quoted").one_of(states);
  add("--items-delimiter", options.items_delimiter, "of the catalogue, as --delimiter");
  add("--items-header", options.items_header, "first line of the catalogue names the columns")
      .one_of(states);
  add("--items-quoting", options.items_quoting, "fields of the catalogue may be quoted")
      .one_of(states);
  const auto has_times = [&options] { return options.time != "order"; };
  add("--time", options.time,
      "column; order: the log has no times, its rows stand in the order of the events")
      .one_of({"column", "order"});
  add("--time-unit", reader.time.unit, "of times that are numbers; default: told by their size")
      .one_of(time_units())
      .only_with("--time column", has_times);
  add("--time-format", reader.time.format,
      "of times that are texts, as strptime has it, e.g. %d/%m/%Y; default: found out")
      .only_with("--time column", has_times);
  add("--missing", reader.missing_words,
      "words that stand for nothing, whatever their case; \"\": none")
      .separated_by(',');
  add_flag("--allow-rejects", options.prepare.allow_rejects,
           "go on although more than 20 % of the rows cannot be used")
      .only_with("rows that may be rejected, not with --strict",
                 [&reader] { return !reader.strict; });
  add_flag("--keep-duplicates", reader.keep_duplicates,
           "keep exact repeats of user, item and time");
  add_flag("--strict", reader.strict, "stop at rows that cannot be used");
}

void add_world(Command& command, PrepareWords& options) {
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text)
        .group("Synthetic world")
        .only_with("--format synthetic", [&options] { return options.format == "synthetic"; });
  };
  add("--users", options.world.users, "users of the synthetic world");
  add("--num-items", options.world.items, "items of the synthetic world");
  add("--informative", options.world.informative, "which rules say something")
      .one_of({"all", "order", "gaps", "season"});
}

void add_selection(Command& command, PrepareWords& options, PrepareFlags& flags) {
  command
      .add_option("--k-core", options.prepare.filters.k_core,
                  "events every user and item must keep")
      .at_least(0);
  const auto is_log = [&options] { return options.format != "synthetic"; };
  command.add_option("--min-rating", flags.min_rating, "drop events rated lower; 0: none")
      .only_with("a log, not --format synthetic", is_log);
  command.add_flag("--drop-repeats", options.prepare.filters.drop_repeats,
                   "drop an event whose item is the user's previous one");
  command.add_flag("--drop-untitled", options.prepare.drop_untitled, "drop items without a title")
      .only_with("a log, not --format synthetic", is_log);
  command.add_option("--split", options.split, "protocol")
      .one_of({"leave-one-out", "global-time", "user-ratio"});
  const auto is_cut = [&options] { return options.split == "global-time"; };
  const std::string cut = "--split global-time";
  command
      .add_option("--valid", options.valid,
                  "global-time: quantile or date behind which validation begins")
      .only_with(cut, is_cut);
  command
      .add_option("--test", options.test,
                  "global-time: quantile or date behind which the test begins")
      .only_with(cut, is_cut);
  command
      .add_option("--target", options.target, "global-time: events of a user and part to predict")
      .one_of({"last", "first", "all"})
      .only_with(cut, is_cut);
  command
      .add_option("--ratio", options.ratio,
                  "user-ratio: shares of train, valid, test users; default 0.6,0.1,0.3")
      .separated_by(',')
      .only_with("--split user-ratio", [&options] { return options.split == "user-ratio"; });
  command.add_option("--candidates", options.candidates, "how negatives are drawn")
      .one_of({"uniform", "popular"});
  command
      .add_option("--num-candidates", options.prepare.candidates.count,
                  "per row, the target included")
      .range(2, 1000);
  command
      .add_option("--train-candidates", options.prepare.train.rows,
                  "training rows that get candidates (for distill and reinforce), 0: none, -1: all")
      .at_least(-1);
  command
      .add_option("--train-negatives", options.train_negatives,
                  "how negatives of training rows are drawn, default as --candidates says; alive: "
                  "among what somebody had chosen before, so that what is to come is not taught as "
                  "unlikely")
      .one_of({"uniform", "popular", "alive"});
  command
      .add_option("--valid-candidates", options.prepare.valid.rows,
                  "validation rows that get candidates, 0: none, -1: all")
      .at_least(-1);
  command
      .add_option("--test-candidates", options.prepare.test.rows,
                  "test rows that get candidates, 0: none, -1: all")
      .at_least(-1);
  command
      .add_option("--min-history", options.prepare.train.min_history,
                  "earlier events a training row needs to get candidates")
      .range(1, 1000)
      .only_with("--train-candidates above 0",
                 [&options] { return options.prepare.train.rows != 0; });
  command
      .add_option("--min-test-history", options.min_test_history,
                  "earlier events a validation or test row needs to get candidates")
      .range(1, 1000);
}

}  // namespace

void add_prepare(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "prepare",
      "a log and a catalogue become a data set folder: filtered, split, with candidates");
  command.example(
      "prepare --input events.csv --items products.csv --map user=cust,item=sku,time=ts --title "
      "name --attributes category --out shop");
  auto options = std::make_shared<PrepareWords>();
  auto flags = std::make_shared<PrepareFlags>();
  add_reading(command, *options);
  add_world(command, *options);
  add_selection(command, *options, *flags);
  command.add_option("-o,--out", options->prepare.out, "data set folder to write").required();
  command.add_flag("--replace", flags->replace, "replace an existing --out");
  command.on_run([=, &common] { run_prepare(*options, *flags, command, common); });
}

}  // namespace etrlrec
