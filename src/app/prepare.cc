// prepare: a log and a catalogue (or the synthetic world) become a dataset folder: filtered, split,
// with candidate files. Says on stderr what it understood, and writes the same as prepare.json;
// rejected rows go to rejected.tsv.
#include <fmt/ranges.h>

#include <charconv>
#include <iostream>
#include <memory>
#include <numeric>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/candidates.h"
#include "data/dataset.h"
#include "data/filters.h"
#include "data/readers.h"
#include "data/split.h"
#include "data/synthetic.h"

namespace etrlrec {
namespace {

struct PrepareOptions {
  std::string input, out, format = "auto";
  ReaderOptions reader;
  std::vector<std::string> map;
  std::string delimiter, header = "auto", quoting = "auto";
  WorldOptions world;
  FilterOptions filters;
  bool drop_untitled = false;
  double min_rating = 0;
  std::string split = "global-time", valid = "0.8", test = "0.9", target = "all";
  std::vector<double> ratio = {0.6, 0.1, 0.3};
  std::string candidates = "uniform";
  int32_t num_candidates = 20, min_history = 3;
  int64_t train_candidates = 200000;
  bool replace = false;
};

// What reading and filtering left behind, for the report.
struct Prepared {
  Dataset dataset;
  std::optional<World> world;
  ReadReport report;
  std::vector<FilterStep> steps;
};

const std::vector<std::string> kWorldOptions = {"--users", "--num-items", "--informative"};
const std::vector<std::string> kLogOptions = {"--input",         "--items",
                                              "--map",           "--title",
                                              "--attributes",    "--item-column",
                                              "--delimiter",     "--header",
                                              "--quoting",       "--keep-duplicates",
                                              "--strict",        "--min-rating",
                                              "--drop-untitled", "--attribute-separator"};

void refuse_options(const Command& command, const std::vector<std::string>& names,
                    const std::string& format) {
  for (const std::string& name : names) {
    CHECK(!command.is_changed(name), kUsage, "{}: has no effect with --format {}", name, format);
  }
}

std::optional<bool> tri_state(const std::string& text) {
  if (text == "auto") return std::nullopt;
  return text == "on";
}

ReaderOptions reader_options(const PrepareOptions& options) {
  ReaderOptions reader = options.reader;
  reader.format = log_format(options.format);
  for (const std::string& pair : options.map) {
    const size_t equals = pair.find('=');
    CHECK(equals != std::string::npos && equals > 0 && equals + 1 < pair.size(), kUsage,
          "--map: expected role=column, found \"{}\"", pair);
    reader.map[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  reader.log_table.delimiter = options.delimiter == "tab" ? "\t" : options.delimiter;
  reader.log_table.header = tri_state(options.header);
  reader.log_table.quoting = tri_state(options.quoting);
  return reader;
}

std::string shown_delimiter(const std::string& delimiter) {
  return delimiter == "\t" ? "tab" : "\"" + delimiter + "\"";
}

void log_file(const FileReport& file) {
  const TableInfo& table = file.table;
  std::string columns, how(table_kind_name(table.kind));
  if (table.kind == TableKind::kDelimited) {
    how = fmt::format("{}, {}", shown_delimiter(table.delimiter),
                      table.header ? "header" : "no header");
  }
  if (!table.compression.empty()) how += ", " + table.compression;
  for (const auto& [role, column] : file.columns) {
    columns += fmt::format(" {}={}", role, to_utf8(column));
  }
  log_info("read {}: {}, {} · {} rows ·{}", table.path.string(), how, file.encoding, file.rows,
           columns);
  for (const auto& row : table.first_rows) {
    std::string text = to_utf8(fmt::format("{}", fmt::join(row, " | ")));
    if (text.size() > 150) text = to_utf8(text.substr(0, 147)) + "...";
    log_info("  {}", text);
  }
  if (file.blank > 0) log_info("  {} blank rows passed over", file.blank);
}

void log_rejected(const ReadReport& report) {
  if (report.rejected.empty()) return;
  std::map<std::string, int64_t> reasons;
  for (const RejectedRow& row : report.rejected) ++reasons[row.reason];
  std::string list;
  for (const auto& [reason, count] : reasons) {
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", count, reason);
  }
  log_warning("rejected {} rows ({}) -> rejected.tsv", report.rejected.size(), list);
}

void log_report(const Prepared& prepared) {
  const ReadReport& report = prepared.report;
  log_file(report.log);
  if (report.items) log_file(*report.items);
  const auto& times = prepared.dataset.times;
  const auto [first, last] = std::minmax_element(times.begin(), times.end());
  log_info("times: {}, {} ... {} · {} ties with the previous event of the user", report.time_unit,
           format_iso_time(*first), format_iso_time(*last), report.ties);
  log_rejected(report);
  if (report.duplicates > 0) log_info("{} exact repeats of user, item and time", report.duplicates);
  if (!report.untitled.empty()) {
    std::string ids;
    for (size_t i = 0; i < std::min<size_t>(report.untitled.size(), 5); ++i) {
      ids += " " + prepared.dataset.catalogue.item_ids[report.untitled[i]];
    }
    log_warning("{} items without a title, their id stands in:{}{}{}", report.untitled.size(), ids,
                report.untitled.size() > 5 ? " ..." : "",
                report.items ? "" : " (no catalogue was given: --items FILE --title COLUMN)");
  }
  if (report.duplicate_titles > 0) {
    log_info("{} items share a title with another: no candidate list holds both",
             report.duplicate_titles);
  }
}

Prepared read_input(const PrepareOptions& options, const Command& command) {
  Prepared prepared;
  FilterOptions filters = options.filters;
  if (options.format == "synthetic") {
    refuse_options(command, kLogOptions, options.format);
    CHECK(filters.k_core == 0 && !filters.drop_repeats, kUsage,
          "--k-core and --drop-repeats: would break the world's known probabilities");
    prepared.world = make_world(options.world);
    prepared.dataset = prepared.world->dataset;
    return prepared;
  }
  refuse_options(command, kWorldOptions, options.format);
  CHECK(!options.input.empty(), kUsage,
        "--input: expected a file or folder\nhint: or --format synthetic");
  ReadResult result = read_log(options.input, reader_options(options));
  prepared.dataset = std::move(result.dataset);
  prepared.report = std::move(result.report);
  log_report(prepared);
  if (options.drop_untitled) filters.drop_items = prepared.report.untitled;
  if (command.is_changed("--min-rating"))
    filters.min_rating = static_cast<float>(options.min_rating);
  prepared.dataset = filter_dataset(prepared.dataset, filters, &prepared.steps);
  for (const FilterStep& step : prepared.steps) {
    log_info("{}: {} users · {} items · {} interactions", step.name, step.users, step.items,
             step.interactions);
  }
  return prepared;
}

// A number is a quantile, anything else must be a date.
void read_cut(const std::string& text, const char* option, double& quantile,
              std::optional<int64_t>& time) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) {
    CHECK(value > 0 && value <= 1, kUsage, "{}: expected a quantile in (0, 1] or a date, found {}",
          option, text);
    quantile = value;
    return;
  }
  const auto seconds = parse_iso_time(text);
  CHECK(seconds, kUsage,
        "{}: expected a quantile in (0, 1] or a date like 2024-05-01, found \"{}\"", option, text);
  time = static_cast<int64_t>(*seconds);
}

SplitOptions split_options(const PrepareOptions& options, const CommonOptions& common) {
  SplitOptions split;
  split.kind = split_kind(options.split);
  split.target = time_target(options.target);
  split.seed = common.seed;
  read_cut(options.valid, "--valid", split.valid_quantile, split.valid_time);
  read_cut(options.test, "--test", split.test_quantile, split.test_time);
  CHECK(options.ratio.size() == 3, kUsage, "--ratio: expected three shares, found {}",
        options.ratio.size());
  std::copy(options.ratio.begin(), options.ratio.end(), split.ratio.begin());
  return split;
}

void log_split(const Split& split, const SplitOptions& options) {
  log_info("split {}: {} train rows · {} valid rows · {} test rows", split.protocol,
           split.train.size(), split.valid.size(), split.test.size());
  if (options.kind == SplitKind::kLeaveOneOut) {
    log_warning(
        "leave-one-out leaks the future: other users' training events may be later than a test "
        "event\nhint: --split global-time");
  }
  if (split.test.empty()) log_warning("the split leaves no test row");
}

// At most `limit` of the training rows with enough history and enough possible negatives, by seed,
// in stored order.
std::vector<Row> train_rows(const Dataset& dataset, const Split& split,
                            const PrepareOptions& options, const CandidateOptions& candidates) {
  std::vector<Row> rows;
  for (const Row& row : split.train) {
    if (row.position - dataset.user_offsets[row.user] >= options.min_history) rows.push_back(row);
  }
  const auto counts = count_negatives(dataset, split, rows, candidates);
  std::vector<Row> possible;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (counts[r] == candidates.count - 1) possible.push_back(rows[r]);
  }
  if (possible.size() < rows.size()) {
    log_info("{} train rows get no candidates: too few items to draw from at their time",
             rows.size() - possible.size());
  }
  const auto limit = static_cast<size_t>(options.train_candidates);
  if (possible.size() <= limit) return possible;
  log_info("{} of {} train rows get candidates (--train-candidates)", limit, possible.size());
  std::vector<size_t> chosen(possible.size());
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  Rng rng(candidates.seed, "prepare/train_rows");
  rng.shuffle(chosen);
  chosen.resize(limit);
  std::sort(chosen.begin(), chosen.end());
  std::vector<Row> kept;
  for (const size_t r : chosen) kept.push_back(possible[r]);
  return kept;
}

// Draws and saves one candidate file; returns its entry of the report.
OrderedJson write_candidates(const Dataset& dataset, const Split& split, std::span<const Row> rows,
                             const CandidateOptions& options, const fs::path& path) {
  const CandidateSet set = draw_candidates(dataset, split, rows, options);
  save_candidates(set, dataset, path);
  return {{"rows", rows.size()}, {"hash", set.hash}};
}

OrderedJson report_json(const Prepared& prepared, const Split& split, const std::string& out) {
  const ReadReport& report = prepared.report;
  OrderedJson json = {{"schema_version", 1},
                      {"users", prepared.dataset.num_users()},
                      {"items", prepared.dataset.catalogue.num_items()},
                      {"interactions", prepared.dataset.num_interactions()},
                      {"rejected", report.rejected.size()},
                      {"ties", report.ties},
                      {"duplicates", report.duplicates},
                      {"items_without_title", report.untitled.size()},
                      {"duplicate_titles", report.duplicate_titles},
                      {"train_rows", split.train.size()},
                      {"valid_rows", split.valid.size()},
                      {"test_rows", split.test.size()},
                      {"split", split.protocol},
                      {"out", out}};
  json["format"] = prepared.world ? "synthetic" : report.format;
  if (prepared.world) return json;
  json["time_unit"] = report.time_unit;
  for (const auto& [role, column] : report.log.columns) json["columns"][role] = to_utf8(column);
  json["filters"] = OrderedJson::array();
  for (const FilterStep& step : prepared.steps) {
    json["filters"].push_back({{"step", step.name},
                               {"users", step.users},
                               {"items", step.items},
                               {"interactions", step.interactions}});
  }
  return json;
}

void prepare(const PrepareOptions& options, const Command& command, const CommonOptions& common) {
  const Stopwatch watch;
  FolderWriter writer(options.out, options.replace);
  PrepareOptions seeded = options;
  seeded.world.seed = common.seed;
  const Prepared prepared = read_input(seeded, command);
  const SplitOptions how = split_options(options, common);
  const Split split = split_dataset(prepared.dataset, how);
  log_split(split, how);
  save_dataset(prepared.dataset, split, writer.path());
  if (prepared.world) save_world(*prepared.world, writer.path());
  if (!prepared.report.rejected.empty()) {
    write_file_atomic(writer.path() / "rejected.tsv", rejected_tsv(prepared.report.rejected));
  }
  const CandidateOptions candidates{candidate_kind(options.candidates), options.num_candidates,
                                    common.seed};
  OrderedJson json = report_json(prepared, split, options.out);
  const auto train = options.train_candidates > 0
                         ? train_rows(prepared.dataset, split, options, candidates)
                         : std::vector<Row>();
  for (const auto& [part, rows] : {std::pair<const char*, std::span<const Row>>{"train", train},
                                   {"valid", split.valid},
                                   {"test", split.test}}) {
    if (rows.empty()) continue;
    json["candidates"][part] =
        write_candidates(prepared.dataset, split, rows, candidates,
                         writer.path() / fmt::format("candidates-{}.jsonl", part));
  }
  write_json_atomic(writer.path() / "prepare.json", json);
  std::map<std::string, fs::path> inputs;
  if (!prepared.world) {
    inputs["log"] = prepared.report.log.table.path;
    if (prepared.report.items) inputs["items"] = prepared.report.items->table.path;
  }
  write_run_record(writer.path(), command, common, inputs, watch.seconds());
  writer.commit();
  if (common.json) {
    std::cout << json.dump(2) << "\n";
    return;
  }
  fmt::print(
      "{}: {} users · {} items · {} interactions · {} train, {} valid, {} test rows · {}\n"
      "next: etrlrec inspect {}\n",
      options.out, prepared.dataset.num_users(), prepared.dataset.catalogue.num_items(),
      prepared.dataset.num_interactions(), split.train.size(), split.valid.size(),
      split.test.size(), split.protocol, options.out);
}

void add_reading(Command& command, PrepareOptions& options) {
  command.add_option("-i,--input", options.input, "log: a file, or a MovieLens or RecBole folder")
      .group("Reading");
  command.add_option("--items", options.reader.items, "catalogue file").group("Reading");
  command.add_option("--format", options.format, "layout of the input")
      .one_of({"auto", "movielens", "recbole", "table", "synthetic"})
      .group("Reading");
  command
      .add_option("--map", options.map,
                  "columns of the log, e.g. user=cust,item=sku,time=ts,rating=stars; without a "
                  "header: numbers from 1")
      .separated_by(',')
      .group("Reading");
  command.add_option("--item-column", options.reader.item_column, "id column of the catalogue")
      .group("Reading");
  command.add_option("--title", options.reader.title, "title column of the catalogue")
      .group("Reading");
  command
      .add_option("--attributes", options.reader.attributes, "attribute columns of the catalogue")
      .separated_by(',')
      .group("Reading");
  command
      .add_option("--attribute-separator", options.reader.attribute_separator,
                  "between the values of an attribute column; default | where it occurs, else ,")
      .group("Reading");
  command.add_option("--delimiter", options.delimiter, "of the log: one character, :: or tab")
      .group("Reading");
  for (const auto& [name, value, help] :
       {std::tuple{"--header", &options.header, "first line of the log names the columns"},
        std::tuple{"--quoting", &options.quoting, "fields of the log may be quoted"}}) {
    command.add_option(name, *value, help).one_of({"auto", "on", "off"}).group("Reading");
  }
  command
      .add_flag("--keep-duplicates", options.reader.keep_duplicates,
                "keep exact repeats of user, item and time")
      .group("Reading");
  command.add_flag("--strict", options.reader.strict, "stop at rows that cannot be used")
      .group("Reading");
}

void add_world(Command& command, PrepareOptions& options) {
  command.add_option("--users", options.world.users, "users of the synthetic world")
      .group("Synthetic world");
  command.add_option("--num-items", options.world.items, "items of the synthetic world")
      .group("Synthetic world");
  command.add_option("--informative", options.world.informative, "which rules say something")
      .one_of({"all", "order", "gaps", "season"})
      .group("Synthetic world");
}

void add_selection(Command& command, PrepareOptions& options) {
  command.add_option("--k-core", options.filters.k_core, "events every user and item must keep")
      .at_least(0);
  command.add_option("--min-rating", options.min_rating, "drop events rated lower; 0: none");
  command.add_flag("--drop-repeats", options.filters.drop_repeats,
                   "drop an event whose item is the user's previous one");
  command.add_flag("--drop-untitled", options.drop_untitled, "drop items without a title");
  command.add_option("--split", options.split, "protocol")
      .one_of({"leave-one-out", "global-time", "user-ratio"});
  command.add_option("--valid", options.valid,
                     "global-time: quantile or date behind which validation begins");
  command.add_option("--test", options.test,
                     "global-time: quantile or date behind which the test begins");
  command
      .add_option("--target", options.target, "global-time: events of a user and part to predict")
      .one_of({"last", "first", "all"});
  command
      .add_option("--ratio", options.ratio,
                  "user-ratio: shares of train, valid, test users; default 0.6,0.1,0.3")
      .separated_by(',');
  command.add_option("--candidates", options.candidates, "how negatives are drawn")
      .one_of({"uniform", "popular"});
  command.add_option("--num-candidates", options.num_candidates, "per row, the target included")
      .range(2, 1000);
  command
      .add_option("--train-candidates", options.train_candidates,
                  "training rows that get candidates (for distill and reinforce), 0: none")
      .at_least(0);
  command
      .add_option("--min-history", options.min_history,
                  "earlier events a training row needs to get candidates")
      .range(1, 1000);
}

}  // namespace

void add_prepare(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "prepare",
      "a log and a catalogue become a data set folder: filtered, split, with candidates");
  auto options = std::make_shared<PrepareOptions>();
  add_reading(command, *options);
  add_world(command, *options);
  add_selection(command, *options);
  command.add_option("-o,--out", options->out, "data set folder to write").required();
  command.add_flag("--replace", options->replace, "replace an existing --out");
  command.on_run([options, command, &common] { prepare(*options, command, common); });
}

}  // namespace etrlrec
