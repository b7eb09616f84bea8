// etrlrec compare: a table of evaluated runs with paired tests on the same rows. Tables refuse to
// mix candidate sets.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "app/command.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/metrics.h"
#include "eval/predictions.h"

namespace etrlrec {
namespace {

struct CompareOptions {
  std::vector<std::string> runs;
  std::string metric = "hit@1";
  int64_t draws = 10000;
  bool latex = false, force = false;
};

std::vector<double> values_of(const Predictions& run, const std::string& metric) {
  std::vector<double> values;
  for (const Prediction& row : run.rows) {
    values.push_back(metric == "hit@1"    ? hit_at(row.rank, 1)
                     : metric == "mrr"    ? reciprocal_rank(row.rank)
                     : metric == "hit@10" ? hit_at(row.rank, 10)
                                          : ndcg_at(row.rank, 10));
  }
  return values;
}

std::vector<int64_t> users_of(const Predictions& run) {
  std::vector<int64_t> users;
  for (const Prediction& row : run.rows) users.push_back(row.user);
  return users;
}

struct Comparison {
  std::string first, second, test;
  PairedResult result;
  double adjusted = 1;
};

Comparison compare_pair(const Predictions& first, const Predictions& second,
                        const CompareOptions& options, uint64_t seed) {
  Comparison comparison{first.model, second.model, "paired bootstrap by user", {}, 1};
  const auto a = values_of(first, options.metric), b = values_of(second, options.metric);
  comparison.result = paired_bootstrap(a, b, users_of(first), options.draws, seed);
  if (options.metric == "hit@1") {
    int64_t only_a = 0, only_b = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      only_a += a[i] > b[i];
      only_b += b[i] > a[i];
    }
    comparison.result.p_value = mcnemar_exact(only_a, only_b);
    comparison.test = "exact McNemar";
  }
  return comparison;
}

OrderedJson to_json(const std::vector<Predictions>& runs, const std::vector<Comparison>& pairs,
                    const std::string& metric, uint64_t seed) {
  OrderedJson document = {{"schema_version", 1}, {"metric", metric}};
  document["rows"] = OrderedJson::array();
  for (const Predictions& run : runs) {
    const MetricRow row = summarize(run, seed);
    document["rows"].push_back({{"model", row.model},
                                {"stage", row.stage},
                                {"protocol", row.protocol},
                                {"n", row.n},
                                {"hit@1", row.hit1.mean},
                                {"hit@1_low", row.hit1.low},
                                {"hit@1_high", row.hit1.high},
                                {"hit@5", row.hit5},
                                {"hit@10", row.hit10},
                                {"ndcg@5", row.ndcg5},
                                {"ndcg@10", row.ndcg10},
                                {"mrr", row.mrr},
                                {"valid_ratio", row.valid_ratio}});
  }
  document["pairs"] = OrderedJson::array();
  for (const Comparison& pair : pairs) {
    document["pairs"].push_back({{"first", pair.first},
                                 {"second", pair.second},
                                 {"test", pair.test},
                                 {"difference", pair.result.difference},
                                 {"low", pair.result.low},
                                 {"high", pair.result.high},
                                 {"p", pair.result.p_value},
                                 {"p_holm", pair.adjusted}});
  }
  return document;
}

void print_text(const std::vector<Predictions>& runs, const std::vector<Comparison>& pairs,
                const CompareOptions& options, uint64_t seed) {
  const char* separator = options.latex ? " & " : "  ";
  const char* end = options.latex ? " \\\\\n" : "\n";
  fmt::print("{:<28}{}{:>6}{}{:>7}{}{:>17}{}{:>7}{}{:>7}{}{:>6}{}", "model", separator, "n",
             separator, "hit@1", separator, "95% interval", separator, "ndcg@10", separator, "mrr",
             separator, "valid", end);
  for (const Predictions& run : runs) {
    const MetricRow row = summarize(run, seed);
    fmt::print("{:<28}{}{:>6}{}{:>7.4f}{}  [{:.4f}, {:.4f}]{}{:>7.4f}{}{:>7.4f}{}{:>6.3f}{}",
               row.model, separator, row.n, separator, row.hit1.mean, separator, row.hit1.low,
               row.hit1.high, separator, row.ndcg10, separator, row.mrr, separator, row.valid_ratio,
               end);
  }
  fmt::print("\n{} differences on the same {} rows, {}\n", options.metric, runs[0].rows.size(),
             runs[0].protocol);
  for (const Comparison& pair : pairs) {
    fmt::print("{} - {}: {:+.4f} [{:+.4f}, {:+.4f}]  p = {:.2g} ({}), Holm {:.2g}\n", pair.first,
               pair.second, pair.result.difference, pair.result.low, pair.result.high,
               pair.result.p_value, pair.test, pair.adjusted);
  }
}

void compare(const CompareOptions& options, const CommonOptions& common) {
  std::vector<Predictions> runs;
  for (const std::string& run : options.runs) {
    const std::filesystem::path path(run);
    runs.push_back(
        load_predictions(std::filesystem::is_directory(path) ? path / "predictions.jsonl" : path));
    CHECK(runs.back().candidates_hash == runs[0].candidates_hash &&
              runs.back().rows.size() == runs[0].rows.size(),
          kUsage,
          "{}: other candidate rows than {}\nhint: evaluate both on the same --candidates file",
          run, options.runs[0]);
    CHECK(options.force || runs.back().protocol == runs[0].protocol ||
              runs.back().protocol.starts_with("score") || runs[0].protocol.starts_with("score"),
          kUsage, "{}: protocol {} is not {}\nhint: --force compares them all the same", run,
          runs.back().protocol, runs[0].protocol);
  }
  std::vector<Comparison> pairs;
  for (size_t i = 0; i + 1 < runs.size(); ++i) {
    for (size_t j = i + 1; j < runs.size(); ++j)
      pairs.push_back(compare_pair(runs[j], runs[i], options, common.seed));
  }
  std::vector<double> p_values;
  for (const Comparison& pair : pairs) p_values.push_back(pair.result.p_value);
  const auto adjusted = holm(p_values);
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i].adjusted = adjusted[i];
  if (common.json) {
    std::cout << to_json(runs, pairs, options.metric, common.seed).dump(2) << "\n";
  } else {
    print_text(runs, pairs, options, common.seed);
  }
}

}  // namespace

void add_compare(CLI::App& app, CommonOptions& common) {
  CLI::App* command =
      app.add_subcommand("compare", "table of evaluated runs with paired tests on the same rows");
  auto options = std::make_shared<CompareOptions>();
  command
      ->add_option("runs", options->runs,
                   "folders of `etrlrec evaluate` (or predictions.jsonl files)")
      ->required()
      ->expected(2, 64);
  command->add_option("--metric", options->metric, "what the paired tests compare")
      ->check(CLI::IsMember({"hit@1", "hit@10", "ndcg@10", "mrr"}))
      ->capture_default_str();
  command->add_option("--draws", options->draws, "bootstrap draws")
      ->check(CLI::Range(100, 1000000))
      ->capture_default_str();
  command->add_flag("--latex", options->latex, "rows for a LaTeX table");
  command->add_flag("--force", options->force, "compare different protocols all the same");
  command->callback([options, &common] { compare(*options, common); });
}

}  // namespace etrlrec
