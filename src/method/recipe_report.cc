#include "method/recipe_report.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/report_page.h"
#include "eval/report_text.h"
#include "method/construct.h"
#include "method/recipe_plan.h"
#include "method/report_data.h"
#include "method/row.h"
#include "method/run_record.h"
#include "method/study.h"
#include "temporal/claim_weights.h"

namespace etrlrec {
namespace {

// Ids with a meaning for the report.
constexpr const char* kPolicy = "etrlrec";
constexpr const char* kStudent = "reasoning";
constexpr const char* kLabelOnly = "label";
constexpr const char* kSasrec = "sasrec";
constexpr const char* kTimeline = "timeline";
constexpr const char* kBayes = "bayes";

const RecipeStep* stage_of(const Recipe& recipe, const std::string& id) {
  for (const RecipeStep& stage : recipe.stages)
    if (stage.id == id) return &stage;
  return nullptr;
}

// With seconds and tokens of training: of the model, and of those it started from.
ReportArm report_arm(const RecipeResults& results, const JudgedArm& judged) {
  ReportArm arm{judged.id, 0, 0, judged.reasoning};
  std::string model = judged.model;
  while (model.starts_with("@")) {
    const RecipeStep* stage = stage_of(*results.recipe, referenced_stage(model));
    const fs::path printed = results.out / "stages" / (stage->id + ".json");
    const Json report = fs::exists(printed) ? read_json(printed) : Json::object();
    arm.tokens += get_or<int64_t>(report, "tokens", 0, printed.string());
    if (report.contains("models")) {
      for (const Json& fitted : report["models"])
        if (model.ends_with("/" + get<std::string>(fitted, "model", printed.string())))
          arm.seconds += get<double>(fitted, "seconds", printed.string());
    } else {
      arm.seconds += get_or<double>(report, "seconds", 0, printed.string());
    }
    model = stage->word("model");
  }
  return arm;
}

class ReportBuilder {
 public:
  explicit ReportBuilder(const RecipeResults& results) : results_(results) {}
  ReportData build();

 private:
  const JudgedArm* find(const std::string& id) const;
  double hit1_of(const char* id) const { return find(id)->row.hit1.mean; }
  void add_rows();
  void add_comparisons();
  std::string summary_sentence() const;
  void add_facts();
  void add_examples();
  std::string data_folder() const;

  const RecipeResults& results_;
  ReportData report_;
};

const JudgedArm* ReportBuilder::find(const std::string& id) const {
  for (const JudgedArm& arm : results_.arms)
    if (arm.id == id) return &arm;
  return nullptr;
}

void ReportBuilder::add_rows() {
  for (const JudgedArm& arm : results_.arms) {
    report_.rows.push_back(arm.row);
    report_.arms.push_back(report_arm(results_, arm));
  }
  if (const JudgedArm* bayes = find(kBayes)) {
    const MetricRow& row = bayes->row;
    report_.bayes = {true, row.hit1.mean, row.hit5, row.hit10, row.ndcg5, row.ndcg10, row.mrr};
  }
}

void ReportBuilder::add_comparisons() {
  for (const auto& [first, second] : results_.recipe->compare)
    report_.tests.push_back(compare_predictions(find(first)->predictions, find(second)->predictions,
                                                10000, results_.seed));
  adjust_comparisons(report_.tests);
}

std::string ReportBuilder::summary_sentence() const {
  const auto best = std::max_element(
      results_.arms.begin(), results_.arms.end(),
      [](const JudgedArm& a, const JudgedArm& b) { return a.row.hit1.mean < b.row.hit1.mean; });
  for (const char* id : {kPolicy, kStudent, kLabelOnly, kSasrec})
    if (find(id) == nullptr)
      return fmt::format("On {} test rows of {} candidates {} is best, with hit@1 {:.3f}.",
                         best->predictions.rows.size(), report_.num_candidates, best->row.model,
                         best->row.hit1.mean);
  std::string text = fmt::format(
      "On {} test rows of {} candidates the reasoning student reaches hit@1 {:.3f}, reinforcement "
      "learning {:.3f}; SASRec "
      "{:.3f}, the same model trained on labels only {:.3f}.",
      find(kPolicy)->predictions.rows.size(), report_.num_candidates, hit1_of(kStudent),
      hit1_of(kPolicy), hit1_of(kSasrec), hit1_of(kLabelOnly));
  if (find(kTimeline) != nullptr)
    text +=
        fmt::format(" The model that has only read the log reaches {:.3f}.", hit1_of(kTimeline));
  if (report_.bayes.known) {
    text += fmt::format(" That is {:.0f} % of what the exact rule of this world reaches ({:.3f}).",
                        100 * hit1_of(kPolicy) / report_.bayes.hit1, report_.bayes.hit1);
  }
  return text;
}

std::string ReportBuilder::data_folder() const {
  const std::string data = results_.recipe->judges.front().word("data");
  return resolve_reference(data.empty() ? "@data" : data, results_.out);
}

void ReportBuilder::add_facts() {
  report_.peak_rss_mb = static_cast<double>(peak_rss_bytes()) / 1048576;
  report_.facts = {{"seed", std::to_string(results_.seed)},
                   {"split", load_split(data_folder()).protocol},
                   {"version", kVersion},
                   {"cpu", cpu_description()},
                   {"threads", std::to_string(at::get_num_threads())}};
  for (const RecipeStep& stage : results_.recipe->stages)
    if (stage.curves) add_curves(results_.out / stage.id, stage.heading, report_);
}

// Of the policy, or of the student where nothing is reinforced.
void ReportBuilder::add_examples() {
  const JudgedArm* shown = find(kPolicy) != nullptr ? find(kPolicy) : find(kStudent);
  const auto& stages = results_.recipe->stages;
  const auto construct = std::find_if(stages.begin(), stages.end(), [](const RecipeStep& stage) {
    return stage.command == "construct";
  });
  if (shown == nullptr || construct == stages.end()) return;
  const fs::path reasoning = results_.out / construct->id;
  const Study study = open_study(data_folder());
  const RowSource test(study, study.candidates("test"), read_reasoning_record(reasoning).prompt);
  const JudgedArm* bayes = find(kBayes);
  const ClaimWeights weights = read_claim_weights(reasoning / "claim_weights.json");
  for (const int64_t row : example_rows(shown->predictions, 5)) {
    const auto index = static_cast<size_t>(row);
    report_.examples.push_back(
        make_example(study, test.view(row), shown->predictions.rows[index],
                     bayes != nullptr ? &bayes->predictions.rows[index] : nullptr, weights));
  }
}

ReportData ReportBuilder::build() {
  report_.title = results_.recipe->title;
  report_.stage_seconds = results_.seconds;
  report_.num_candidates = results_.arms.front().predictions.num_candidates;
  add_rows();
  add_comparisons();
  report_.summary = summary_sentence();
  add_facts();
  add_examples();
  return std::move(report_);
}

// A measure of one arm over the seeds.
struct Spread {
  double mean = 0, least = 0, greatest = 0;
};

template <typename Measure>
Spread spread(const std::vector<ReportData>& seeds, size_t arm, const Measure& measure) {
  Spread result{0, measure(seeds[0].rows[arm]), measure(seeds[0].rows[arm])};
  for (const ReportData& seed : seeds) {
    const double value = measure(seed.rows[arm]);
    result.mean += value / static_cast<double>(seeds.size());
    result.least = std::min(result.least, value);
    result.greatest = std::max(result.greatest, value);
  }
  return result;
}

struct NamedMeasure {
  const char* name;
  double (*of)(const MetricRow&);
};
constexpr NamedMeasure kMeasures[] = {{"hit@1", [](const MetricRow& row) { return row.hit1.mean; }},
                                      {"hit@5", [](const MetricRow& row) { return row.hit5; }},
                                      {"ndcg@10", [](const MetricRow& row) { return row.ndcg10; }},
                                      {"mrr", [](const MetricRow& row) { return row.mrr; }}};

}  // namespace

ReportData write_recipe_report(const RecipeResults& results) {
  ReportData report = ReportBuilder(results).build();
  write_report(results.out / "report.html", report);
  write_json_atomic(results.out / "summary.json", summary_json(report));
  return report;
}

std::string format_seeds(const std::vector<ReportData>& seeds) {
  std::vector<std::vector<std::string>> rows = {{"model", "n"}};
  for (const NamedMeasure& measure : kMeasures) {
    rows[0].emplace_back(measure.name);
    rows[0].emplace_back("over seeds");
  }
  for (size_t arm = 0; arm < seeds[0].rows.size(); ++arm) {
    rows.push_back({seeds[0].rows[arm].model, std::to_string(seeds[0].rows[arm].n)});
    for (const NamedMeasure& measure : kMeasures) {
      const Spread found = spread(seeds, arm, measure.of);
      rows.back().push_back(fmt::format("{:.3f}", found.mean));
      rows.back().push_back(fmt::format("{:.3f}-{:.3f}", found.least, found.greatest));
    }
  }
  return format_table(rows);
}

OrderedJson seeds_json(const std::vector<ReportData>& seeds) {
  OrderedJson json = {{"rows", OrderedJson::array()}};
  for (size_t arm = 0; arm < seeds[0].rows.size(); ++arm) {
    OrderedJson row = {{"id", seeds[0].arms[arm].id},
                       {"model", seeds[0].rows[arm].model},
                       {"n", seeds[0].rows[arm].n}};
    for (const NamedMeasure& measure : kMeasures) {
      const Spread found = spread(seeds, arm, measure.of);
      const std::string name = measure.name;
      row[name] = found.mean;
      row[name + "_least"] = found.least;
      row[name + "_greatest"] = found.greatest;
    }
    json["rows"].push_back(std::move(row));
  }
  return json;
}

}  // namespace etrlrec
