#include "method/compare.h"

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

void add_json(const std::vector<MetricRow>& rows, const std::vector<Comparison>& pairs,
              OrderedJson& document) {
  document["rows"] = OrderedJson::array();
  for (const MetricRow& row : rows) document["rows"].push_back(to_json(row));
  document["pairs"] = OrderedJson::array();
  for (const Comparison& pair : pairs) {
    document["pairs"].push_back({{"first", pair.first},
                                 {"second", pair.second},
                                 {"n", pair.n},
                                 {"hit@1", difference_json(pair.hit1)},
                                 {"hit@1_p_holm", pair.hit1_adjusted},
                                 {"ndcg@10", difference_json(pair.ndcg10)}});
  }
}

// Every later run against every earlier one.
std::vector<Comparison> pairs_of(const std::vector<Predictions>& runs,
                                 const CompareOptions& options) {
  std::vector<Comparison> pairs;
  for (size_t i = 0; i + 1 < runs.size(); ++i)
    for (size_t j = i + 1; j < runs.size(); ++j)
      pairs.push_back(compare_predictions(runs[j], runs[i], options.draws, options.seed));
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

std::vector<ComparedSlice> compare_slices(const std::vector<Predictions>& runs,
                                          const CompareOptions& options) {
  const Dataset dataset = load_dataset(options.data);
  const fs::path file = options.candidates.empty()
                            ? fs::path(options.data) / "candidates-test.jsonl"
                            : fs::path(options.candidates);
  const CandidateSet set = load_candidates(file, dataset);
  CHECK(
      set.hash == runs[0].candidates_hash, kUsage,
      "{}: other rows than those of {}, {}\nhint: --candidates names the file that was evaluated; "
      "the whole catalogue has no slices",
      file.string(), options.runs[0], runs[0].protocol);
  std::vector<ComparedSlice> slices;
  std::vector<Comparison> family;
  for (const Slice& slice : slices_of(dataset, load_split(options.data), set.rows)) {
    std::vector<Predictions> parts;
    for (const Predictions& run : runs) parts.push_back(part_of(run, slice.rows));
    if (parts[0].rows.empty()) continue;  // --limit
    ComparedSlice& compared = slices.emplace_back();
    compared.name = slice.name;
    for (const Predictions& part : parts) compared.rows.push_back(summarize(part, options.seed));
    compared.pairs = pairs_of(parts, options);
    family.insert(family.end(), compared.pairs.begin(), compared.pairs.end());
  }
  adjust_comparisons(family);
  auto adjusted = family.begin();
  for (ComparedSlice& slice : slices)
    for (Comparison& pair : slice.pairs) pair = *adjusted++;
  return slices;
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
  std::vector<Predictions> runs;
  for (const std::string& run : options.runs) {
    const fs::path path(run);
    runs.push_back(load_predictions(fs::is_directory(path) ? path / "predictions.jsonl" : path));
    CHECK(runs.back().candidates_hash == runs[0].candidates_hash &&
              runs.back().rows.size() == runs[0].rows.size(),
          kUsage,
          "{}: other candidate rows than {}: {} is not {}\nhint: evaluate both with the same "
          "--candidates (and --mask-seen, --limit)",
          run, options.runs[0], runs.back().protocol, runs[0].protocol);
    CHECK(options.force || runs.back().protocol == runs[0].protocol ||
              runs.back().protocol.starts_with("score") || runs[0].protocol.starts_with("score"),
          kUsage, "{}: protocol {} is not {}\nhint: --force compares them all the same", run,
          runs.back().protocol, runs[0].protocol);
  }
  ComparedRuns compared;
  for (const Predictions& run : runs) compared.rows.push_back(summarize(run, options.seed));
  compared.pairs = pairs_of(runs, options);
  adjust_comparisons(compared.pairs);
  if (!options.data.empty()) compared.slices = compare_slices(runs, options);
  return compared;
}

namespace {

std::string table_text(const std::vector<MetricRow>& rows, bool latex) {
  const char* separator = latex ? " & " : "  ";
  const char* end = latex ? " \\\\\n" : "\n";
  std::string text = fmt::format("{:<28}{}{:>6}{}{:>7}{}{:>17}{}{:>7}{}{:>7}{}{:>6}{}", "model",
                                 separator, "n", separator, "hit@1", separator, "95% interval",
                                 separator, "ndcg@10", separator, "mrr", separator, "valid", end);
  for (const MetricRow& row : rows) {
    text += fmt::format(
        "{:<28}{}{:>6}{}{:>7.4f}{}  [{:.4f}, {:.4f}]{}{:>7.4f}{}{:>7.4f}{}{:>6.3f}{}", row.model,
        separator, row.n, separator, row.hit1.mean, separator, row.hit1.low, row.hit1.high,
        separator, row.ndcg10, separator, row.mrr, separator, row.valid_ratio, end);
  }
  return text;
}

std::string pairs_text(const std::vector<Comparison>& pairs) {
  std::string text;
  for (const Comparison& pair : pairs) {
    text += fmt::format(
        "{} - {}: hit@1 {:+.4f} [{:+.4f}, {:+.4f}] p = {:.2g} (Holm {:.2g}); ndcg@10 {:+.4f} "
        "[{:+.4f}, {:+.4f}] p = {:.2g}\n",
        pair.first, pair.second, pair.hit1.difference, pair.hit1.low, pair.hit1.high,
        pair.hit1.p_value, pair.hit1_adjusted, pair.ndcg10.difference, pair.ndcg10.low,
        pair.ndcg10.high, pair.ndcg10.p_value);
  }
  return text;
}

}  // namespace

std::string format_comparison(const ComparedRuns& compared, bool latex) {
  std::string text = table_text(compared.rows, latex);
  text += fmt::format(
      "\npaired on the same {} rows; p: exact McNemar for hit@1 (Holm over all pairs), bootstrap "
      "by user for ndcg@10\n",
      compared.rows[0].n);
  text += pairs_text(compared.pairs);
  if (!compared.slices.empty())
    text += "\nby how much was known of item and user; Holm over the pairs of all slices\n";
  for (const ComparedSlice& slice : compared.slices)
    text += fmt::format("\n{}\n{}{}", slice.name, table_text(slice.rows, latex),
                        pairs_text(slice.pairs));
  return text;
}

}  // namespace etrlrec
