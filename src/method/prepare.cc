#include "method/prepare.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/calendar.h"
#include "data/candidate_file.h"
#include "data/log_warnings.h"
#include "data/world_file.h"
#include "kernels/parallel.h"
#include "method/candidate_draw.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

// What reading and filtering left behind, for the report.
struct Prepared {
  Dataset dataset;
  std::optional<World> world;
  ReadReport report;
  std::vector<FilterStep> steps;
};

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

void log_times(const Dataset& dataset, const ReadReport& report) {
  if (report.order_only) {
    log_warning(
        "times: the order of the rows is all there is: texts tell no gap and no season, and nobody "
        "can say what was known at the time of an event");
    return;
  }
  const auto [first, last] = std::minmax_element(dataset.times.begin(), dataset.times.end());
  log_info("times: {}, {} ... {} · {} ties with the previous event of the user", report.time_unit,
           format_iso_time(*first), format_iso_time(*last), report.ties);
}

void log_report(const Prepared& prepared) {
  const ReadReport& report = prepared.report;
  log_file(report.log);
  if (report.items) log_file(*report.items);
  log_times(prepared.dataset, report);
  for (const std::string& warning : report.warnings) log_warning("{}", warning);
  log_rejected(report);
  if (report.duplicates > 0) log_info("{} exact repeats of user, item and time", report.duplicates);
  if (report.duplicate_titles > 0) {
    log_info("{} items share a title with another: no candidate list holds both",
             report.duplicate_titles);
  }
}

// A file of which so many rows are unusable is read wrongly, as a rule.
void check_rejected(const ReadReport& report) {
  constexpr double kMostRejected = 0.2;
  for (const FileReport* file : {&report.log, report.items ? &*report.items : nullptr}) {
    if (file == nullptr || file->rows == 0) continue;
    const double share = static_cast<double>(file->rejected) / static_cast<double>(file->rows);
    const std::string name = file->table.path.filename().string();
    const auto first = std::find_if(report.rejected.begin(), report.rejected.end(),
                                    [&](const RejectedRow& row) { return row.file == name; });
    CHECK(share <= kMostRejected || first == report.rejected.end(), kInput,
          "{}: {} of {} rows cannot be used, first line {}: {}: {}\nhint: --allow-rejects goes on "
          "without them",
          file->table.path.string(), file->rejected, file->rows, first->line, first->reason,
          first->text);
  }
}

void add_warnings(const Dataset& dataset, ReadReport& report) {
  const FileReport &log = report.log, *items = report.items ? &*report.items : nullptr;
  const RowCounts counts{log.rows + (items ? items->rows : 0),
                         log.rejected + (items ? items->rejected : 0)};
  for (std::string& warning : log_warnings(dataset, counts, seconds_now()))
    report.warnings.push_back(std::move(warning));
}

Prepared read_input(const PrepareOptions& options) {
  Prepared prepared;
  FilterOptions filters = options.filters;
  if (options.world) {
    CHECK(filters.k_core == 0 && !filters.drop_repeats, kUsage,
          "--k-core and --drop-repeats: would break the world's known probabilities");
    prepared.world = make_world(*options.world);
    prepared.dataset = prepared.world->dataset;
    return prepared;
  }
  CHECK(!options.input.empty(), kUsage,
        "--input: expected a file or folder\nhint: or --format synthetic");
  ReaderOptions reader = options.reader;
  reader.threads = static_cast<int32_t>(num_threads());
  ReadResult result = read_log(options.input, reader);
  prepared.dataset = std::move(result.dataset);
  prepared.report = std::move(result.report);
  add_warnings(prepared.dataset, prepared.report);
  log_report(prepared);
  if (!options.allow_rejects) check_rejected(prepared.report);
  if (options.drop_untitled) filters.drop_items = prepared.report.untitled;
  prepared.dataset = filter_dataset(std::move(prepared.dataset), filters, &prepared.steps);
  for (const FilterStep& step : prepared.steps) {
    log_info("{}: {} users · {} items · {} interactions", step.name, step.users, step.items,
             step.interactions);
  }
  return prepared;
}

void log_split(const Split& split, const SplitOptions& options, bool order_only) {
  log_info("split {}: {} train rows · {} valid rows · {} test rows", split.protocol,
           split.train.size(), split.valid.size(), split.test.size());
  if (options.kind == SplitKind::kLeaveOneOut) {
    log_warning(
        "leave-one-out leaks the future: other users' training events may be later than a test "
        "event{}",
        order_only ? "" : "\nhint: --split global-time");
  }
  if (split.test.empty()) log_warning("the split leaves no test row");
}

std::vector<Row> with_negatives(const Dataset& dataset, const Split& split, const std::string& part,
                                const std::vector<Row>& rows, const CandidateOptions& candidates) {
  const auto counts = count_negatives(dataset, split, rows, candidates);
  std::vector<Row> possible;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (counts[r] == candidates.count - 1) possible.push_back(rows[r]);
  }
  CHECK(part == "train" || rows.empty() || !possible.empty(), kInput,
        "--num-candidates {}: no {} row has {} items that its user had not chosen\nhint: fewer "
        "candidates",
        candidates.count, part, candidates.count - 1);
  if (possible.size() < rows.size()) {
    log_info(
        "{} {} rows get no candidates: fewer than {} items could be drawn that their user had not "
        "chosen (--num-candidates)",
        rows.size() - possible.size(), part, candidates.count - 1);
  }
  return possible;
}

// At most options.rows of the rows with enough history, by seed, in stored order.
std::vector<Row> choose_rows(const Dataset& dataset, const Split& split, const std::string& part,
                             std::vector<Row> rows, const PartOptions& options,
                             const CandidateOptions& candidates) {
  if (options.rows == 0) return {};
  std::erase_if(rows, [&](const Row& row) {
    return row.position - dataset.user_offsets[static_cast<size_t>(row.user)] < options.min_history;
  });
  rows = with_negatives(dataset, split, part, rows, candidates);
  const auto count = static_cast<int64_t>(rows.size());
  if (options.rows == PartOptions::kAll || count <= options.rows) return rows;
  log_info("{} of {} {} rows get candidates (--{}-candidates)", options.rows, count, part, part);
  return draw_rows(std::move(rows), options.rows, candidates.seed, "pipeline rows/" + part);
}

// Draws and saves one candidate file; returns its entry of the report.
OrderedJson write_candidates(const Dataset& dataset, const Split& split, std::span<const Row> rows,
                             const CandidateOptions& options, const fs::path& path) {
  const auto threads = static_cast<int32_t>(num_threads());
  const CandidateSet set = draw_candidates(dataset, split, rows, options, {}, threads);
  save_candidates(set, dataset, path, threads);
  return {{"rows", rows.size()}, {"hash", set.hash}};
}

OrderedJson report_json(const Prepared& prepared, const Split& split, const std::string& out) {
  const ReadReport& report = prepared.report;
  OrderedJson json = {{"schema_version", 1},
                      {"users", prepared.dataset.num_users()},
                      {"items", prepared.dataset.catalogue.num_items()},
                      {"interactions", prepared.dataset.num_interactions()},
                      {"rows", report.log.rows + (report.items ? report.items->rows : 0)},
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
  json["warnings"] = report.warnings;
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

std::map<std::string, fs::path> input_files(const Prepared& prepared) {
  if (prepared.world) return {};
  std::map<std::string, fs::path> inputs{{"log", prepared.report.log.table.path}};
  if (prepared.report.items) inputs["items"] = prepared.report.items->table.path;
  return inputs;
}

}  // namespace

PrepareSummary prepare(const PrepareOptions& options, const fs::path& folder, OrderedJson* report) {
  const Prepared prepared = read_input(options);
  const Dataset& dataset = prepared.dataset;
  CHECK(
      !dataset.order_only || options.split.kind != SplitKind::kGlobalTime, kUsage,
      "--time order: a log without times cannot be split by time\nhint: --split leave-one-out, or "
      "user-ratio");
  const Split split = split_dataset(dataset, options.split);
  log_split(split, options.split, dataset.order_only);
  save_dataset(dataset, split, folder);
  if (prepared.world) save_world(*prepared.world, folder);
  if (!prepared.report.rejected.empty())
    write_file_atomic(folder / "rejected.tsv", rejected_tsv(prepared.report.rejected));
  OrderedJson json = report_json(prepared, split, options.out);
  for (const auto& [part, all, chosen] : {std::tuple{"train", &split.train, &options.train},
                                          std::tuple{"valid", &split.valid, &options.valid},
                                          std::tuple{"test", &split.test, &options.test}}) {
    CandidateOptions candidates = options.candidates;
    candidates.kind = chosen->kind.value_or(candidates.kind);
    const auto rows = choose_rows(dataset, split, part, *all, *chosen, candidates);
    if (rows.empty()) continue;
    json["candidates"][part] = write_candidates(dataset, split, rows, candidates,
                                                folder / fmt::format("candidates-{}.jsonl", part));
  }
  write_json_atomic(folder / "prepare.json", json);
  const auto count = [](const std::vector<Row>& rows) { return static_cast<int64_t>(rows.size()); };
  PrepareSummary summary{
      input_files(prepared),      dataset.num_users(), dataset.catalogue.num_items(),
      dataset.num_interactions(), count(split.train),  count(split.valid),
      count(split.test),          split.protocol};
  if (report != nullptr) *report = std::move(json);
  return summary;
}

}  // namespace etrlrec
