#include "method/compare.h"

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/candidate_file.h"
#include "data/split.h"
#include "eval/report_text.h"
#include "eval/significance.h"
#include "method/slices.h"

namespace etrlrec {
namespace {

OrderedJson difference_json(const PairedResult& result) {
  return {{"difference", result.difference},
          {"low", result.low},
          {"high", result.high},
          {"p", result.p_value}};
}

OrderedJson arm_json(const ArmSummary& arm) {
  OrderedJson json = to_json(arm.row);
  if (arm.seeds == 1) return json;
  json["seeds"] = arm.seeds;
  json["hit@1_sd"] = arm.hit1_sd;
  json["ndcg@10_sd"] = arm.ndcg10_sd;
  return json;
}

void add_json(const std::vector<ArmSummary>& rows, const std::vector<Comparison>& pairs,
              OrderedJson& document) {
  document["rows"] = OrderedJson::array();
  for (const ArmSummary& row : rows) document["rows"].push_back(arm_json(row));
  document["pairs"] = OrderedJson::array();
  for (const Comparison& pair : pairs) {
    document["pairs"].push_back(
        {{"first", pair.first},
         {"second", pair.second},
         {"n", pair.n},
         {"hit@1", difference_json(pair.hit1)},
         {"hit@1_p_holm", pair.hit1_adjusted},
         {"hit@1_discordance", pair.discordance},
         {"hit@1_detectable", detectable_difference(pair.discordance, pair.n)},
         {"rows_for_80_percent_power",
          pair.rows_needed ? OrderedJson(*pair.rows_needed) : OrderedJson()},
         {"ndcg@10", difference_json(pair.ndcg10)}});
  }
}

// Of every arm its seeds.
using Arms = std::vector<std::vector<Predictions>>;

// Every later arm against every earlier one.
std::vector<Comparison> pairs_of(const Arms& arms, const CompareOptions& options) {
  std::vector<Comparison> pairs;
  for (size_t i = 0; i + 1 < arms.size(); ++i)
    for (size_t j = i + 1; j < arms.size(); ++j)
      pairs.push_back(compare_arms(arms[j], arms[i], options.draws, options.seed));
  return pairs;
}

// Some of the rows of a run; `rows` ascend.
Predictions part_of(const Predictions& run, std::span<const int64_t> rows) {
  Predictions part = run;
  std::erase_if(part.rows, [&](const Prediction& row) {
    return !std::binary_search(rows.begin(), rows.end(), row.row);
  });
  return part;
}

std::vector<ComparedSlice> compare_slices(const Arms& arms, const CompareOptions& options) {
  const Dataset dataset = load_dataset(options.data);
  const fs::path file = options.candidates.empty()
                            ? fs::path(options.data) / "candidates-test.jsonl"
                            : fs::path(options.candidates);
  const CandidateSet set = load_candidates(file, dataset);
  CHECK(
      set.hash == arms[0][0].candidates_hash, kUsage,
      "{}: other rows than those of {}, {}\nhint: --candidates names the file that was evaluated; "
      "the whole catalogue has no slices",
      file.string(), options.runs[0], arms[0][0].protocol);
  std::vector<ComparedSlice> slices;
  std::vector<Comparison> family;
  for (const Slice& slice : slices_of(dataset, load_split(options.data), set.rows)) {
    Arms parts;
    for (const std::vector<Predictions>& arm : arms) {
      std::vector<Predictions>& part = parts.emplace_back();
      for (const Predictions& run : arm) part.push_back(part_of(run, slice.rows));
    }
    if (parts[0][0].rows.empty()) continue;  // --limit
    ComparedSlice& compared = slices.emplace_back();
    compared.name = slice.name;
    for (const std::vector<Predictions>& part : parts)
      compared.rows.push_back(summarize_arm(part, options.seed));
    compared.pairs = pairs_of(parts, options);
    family.insert(family.end(), compared.pairs.begin(), compared.pairs.end());
  }
  adjust_comparisons(family);
  auto adjusted = family.begin();
  for (ComparedSlice& slice : slices)
    for (Comparison& pair : slice.pairs) pair = *adjusted++;
  return slices;
}

// The files of an arm: one path, or those of its seeds.
std::vector<std::string> paths_of(const std::string& word) {
  if (fs::exists(word) || word.find(',') == std::string::npos) return {word};
  std::vector<std::string> paths;
  for (size_t begin = 0; begin <= word.size();) {
    const size_t end = std::min(word.find(',', begin), word.size());
    paths.push_back(word.substr(begin, end - begin));
    CHECK(!paths.back().empty(), kUsage,
          "{}: expected folders joined by commas, found an empty one", word);
    begin = end + 1;
  }
  return paths;
}

// Errors (kUsage): other rows than those of `first`, another protocol.
void check_comparable(const std::string& path, const Predictions& run,
                      const std::string& first_path, const Predictions& first, bool force) {
  CHECK(run.candidates_hash == first.candidates_hash && run.rows.size() == first.rows.size(),
        kUsage,
        "{}: other candidate rows than {}: {} is not {}\nhint: evaluate both with the same "
        "--candidates (and --mask-seen, --limit)",
        path, first_path, run.protocol, first.protocol);
  CHECK(force || run.protocol == first.protocol || run.protocol.starts_with("score") ||
            first.protocol.starts_with("score"),
        kUsage, "{}: protocol {} is not {}\nhint: --force compares them all the same", path,
        run.protocol, first.protocol);
}

Arms load_arms(const CompareOptions& options) {
  Arms arms;
  for (const std::string& word : options.runs) {
    arms.emplace_back();
    for (const std::string& path : paths_of(word)) {
      Predictions run = load_predictions(
          fs::is_directory(path) ? fs::path(path) / "predictions.jsonl" : fs::path(path));
      const Predictions& first = arms[0].empty() ? run : arms[0][0];
      check_comparable(path, run, options.runs[0], first, options.force);
      CHECK(arms.back().empty() || options.force || run.stage == arms.back()[0].stage, kUsage,
            "{}: expected the seeds of one arm, found stages {} and {}\nhint: --force takes them "
            "together all the same",
            word, arms.back()[0].stage, run.stage);
      arms.back().push_back(std::move(run));
    }
  }
  return arms;
}

}  // namespace

OrderedJson to_json(const ComparedRuns& compared) {
  OrderedJson document = {{"schema_version", 1}};
  add_json(compared.rows, compared.pairs, document);
  if (!compared.slices.empty()) document["slices"] = OrderedJson::array();
  for (const ComparedSlice& slice : compared.slices) {
    OrderedJson json = {{"name", slice.name}};
    add_json(slice.rows, slice.pairs, json);
    document["slices"].push_back(std::move(json));
  }
  return document;
}

ComparedRuns compare_runs(const CompareOptions& options) {
  CHECK(options.candidates.empty() || !options.data.empty(), kUsage,
        "--candidates: only with --data, the folder of its data set");
  const Arms arms = load_arms(options);
  ComparedRuns compared;
  for (const std::vector<Predictions>& arm : arms)
    compared.rows.push_back(summarize_arm(arm, options.seed));
  compared.pairs = pairs_of(arms, options);
  adjust_comparisons(compared.pairs);
  if (!options.data.empty()) compared.slices = compare_slices(arms, options);
  return compared;
}

namespace {

constexpr const char* kTests =
    "paired on the same {} rows; p: exact McNemar for hit@1 (of several seeds bootstrap over seeds "
    "and users), Holm over all pairs, bootstrap by user for ndcg@10; last column: rows that this "
    "difference of hit@1 needs for p < .05 with 80 % power";

std::string interval_cell(double low, double high) {
  return fmt::format("[{:+.4f}, {:+.4f}]", low, high);
}

void add_parts(const std::vector<ArmSummary>& rows, const std::vector<Comparison>& pairs,
               std::vector<DocumentPart>& parts) {
  parts.push_back({DocumentPart::kTable, {}, arm_table(rows)});
  parts.push_back({DocumentPart::kTable, {}, pair_table(pairs)});
}

}  // namespace

TableRows arm_table(const std::vector<ArmSummary>& arms) {
  TableRows rows = {{"model", "n", "hit@1", "95 %", "sd", "ndcg@10", "mrr", "valid"}};
  const bool seeds =
      std::any_of(arms.begin(), arms.end(), [](const ArmSummary& arm) { return arm.seeds > 1; });
  for (const ArmSummary& arm : arms) {
    const MetricRow& row = arm.row;
    rows.push_back({row.model, std::to_string(row.n), fmt::format("{:.4f}", row.hit1.mean),
                    fmt::format("[{:.4f}, {:.4f}]", row.hit1.low, row.hit1.high),
                    arm.seeds > 1 ? fmt::format("{:.4f}", arm.hit1_sd) : "",
                    fmt::format("{:.4f}", row.ndcg10), fmt::format("{:.4f}", row.mrr),
                    fmt::format("{:.3f}", row.valid_ratio)});
  }
  if (!seeds)
    for (std::vector<std::string>& row : rows) row.erase(row.begin() + 4);
  return rows;
}

TableRows pair_table(const std::vector<Comparison>& pairs) {
  TableRows rows = {
      {"pair", "hit@1", "95 %", "p", "Holm p", "ndcg@10", "95 %", "p", "rows for power"}};
  for (const Comparison& pair : pairs)
    rows.push_back(
        {fmt::format("{} - {}", pair.first, pair.second),
         fmt::format("{:+.4f}", pair.hit1.difference), interval_cell(pair.hit1.low, pair.hit1.high),
         fmt::format("{:.2g}", pair.hit1.p_value), fmt::format("{:.2g}", pair.hit1_adjusted),
         fmt::format("{:+.4f}", pair.ndcg10.difference),
         interval_cell(pair.ndcg10.low, pair.ndcg10.high),
         fmt::format("{:.2g}", pair.ndcg10.p_value),
         pair.rows_needed ? std::to_string(*pair.rows_needed) : "–"});
  return rows;
}

std::string format_comparison(const ComparedRuns& compared, DocumentFormat format) {
  std::vector<DocumentPart> parts;
  parts.push_back({DocumentPart::kTable, {}, arm_table(compared.rows)});
  parts.push_back(
      {DocumentPart::kParagraph, fmt::format(fmt::runtime(kTests), compared.rows[0].row.n), {}});
  parts.push_back({DocumentPart::kTable, {}, pair_table(compared.pairs)});
  if (!compared.slices.empty())
    parts.push_back({DocumentPart::kParagraph,
                     "by how much was known of item and user, and the time since the last event; "
                     "Holm over the pairs of all slices",
                     {}});
  for (const ComparedSlice& slice : compared.slices) {
    parts.push_back({DocumentPart::kHeading, slice.name, {}});
    add_parts(slice.rows, slice.pairs, parts);
  }
  return render(parts, format);
}

}  // namespace etrlrec
