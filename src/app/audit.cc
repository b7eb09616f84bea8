// etrlrec audit: re-derives from the artefacts that nothing after a request entered a history, a
// statistic or a prompt, and that no answer stands in a prompt. Every finding is a line; any
// finding is exit code 8.
#include <cmath>
#include <iostream>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/study.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

struct AuditOptions {
  std::string data, reasoning;
};

// Findings by kind, the first few spelled out.
class Findings {
 public:
  void add(const std::string& kind, const std::string& detail) {
    if (++counts_[kind] <= kShown) log_warning("{}: {}", kind, detail);
  }
  void passed(const std::string& check, int64_t things) { passed_.emplace_back(check, things); }
  int64_t total() const {
    int64_t sum = 0;
    for (const auto& [kind, count] : counts_) sum += count;
    return sum;
  }
  const std::map<std::string, int64_t>& counts() const { return counts_; }
  const std::vector<std::pair<std::string, int64_t>>& checks() const { return passed_; }

 private:
  static constexpr int64_t kShown = 5;
  std::map<std::string, int64_t> counts_;
  std::vector<std::pair<std::string, int64_t>> passed_;
};

std::string row_name(const Workspace& workspace, const Row& row) {
  return fmt::format("user {}, interaction {}",
                     workspace.dataset.user_ids[static_cast<size_t>(row.user)], row.position);
}

void check_candidate_row(const Workspace& workspace, const CandidateSet& set, int64_t r,
                         Findings& findings) {
  const Dataset& dataset = workspace.dataset;
  const Row& row = set.rows[static_cast<size_t>(r)];
  const Request request = make_request(dataset, set, r, std::numeric_limits<int32_t>::max());
  const std::string name = row_name(workspace, row);
  const auto begin = dataset.user_offsets[static_cast<size_t>(row.user)];
  if (static_cast<int64_t>(request.history.size()) != row.position - begin) {
    findings.add("history", name + ": is not what stands before the target");
  }
  for (const int64_t time : request.times) {
    if (time > request.now) findings.add("history", name + ": holds an event after the request");
  }
  const int32_t target = dataset.items[static_cast<size_t>(row.position)];
  if (request.candidates[static_cast<size_t>(request.target_slot)] != target) {
    findings.add("candidates", name + ": the marked slot is not the target");
  }
  const std::unordered_set<int32_t> seen(request.history.begin(), request.history.end());
  std::unordered_set<int32_t> distinct;
  for (const int32_t item : request.candidates) {
    if (!distinct.insert(item).second) findings.add("candidates", name + ": an item stands twice");
    if (item != target && seen.contains(item))
      findings.add("candidates", name + ": a negative was seen before");
  }
  const PromptOptions prompt{8, true, true};
  Request asked = make_request(dataset, set, r, prompt.max_history);
  const std::string with_target = student_prompt(dataset.catalogue, asked, prompt);
  asked.target_slot = -1;
  if (student_prompt(dataset.catalogue, asked, prompt) != with_target) {
    findings.add("prompt", name + ": depends on which candidate is the target");
  }
}

// Uniform slots: the largest standardised deviation of a slot's count.
void check_slots(const CandidateSet& set, const std::string& part, Findings& findings) {
  const int32_t n = set.options.count;
  std::vector<double> counts(static_cast<size_t>(n), 0);
  for (const int32_t slot : set.slots) ++counts[static_cast<size_t>(slot)];
  const double rows = static_cast<double>(set.slots.size()), expected = rows / n;
  const double deviation = std::sqrt(expected * (1 - 1.0 / n));
  for (int32_t k = 0; k < n; ++k) {
    const double z = (counts[static_cast<size_t>(k)] - expected) / std::max(deviation, 1e-9);
    if (rows >= 5.0 * n && std::abs(z) > 5) {
      findings.add("slots",
                   fmt::format("{}: the target stands {} times in slot {}, expected about {:.0f}",
                               part, counts[static_cast<size_t>(k)], k + 1, expected));
    }
  }
}

void check_candidates(const Workspace& workspace, const Split& split, const std::string& part,
                      Findings& findings) {
  if (!fs::exists(workspace.folder / ("candidates-" + part + ".jsonl"))) return;
  const CandidateSet set = workspace_candidates(workspace, part);
  for (int64_t r = 0; r < static_cast<int64_t>(set.rows.size()); ++r) {
    check_candidate_row(workspace, set, r, findings);
    const Row& row = set.rows[static_cast<size_t>(r)];
    const bool in_training = row.position < split.train_end[static_cast<size_t>(row.user)];
    if (in_training != (part == "train")) {
      findings.add("split",
                   fmt::format("{}: {} lies {} the training part", part, row_name(workspace, row),
                               in_training ? "inside" : "outside"));
    }
  }
  check_slots(set, part, findings);
  findings.passed("candidates-" + part, static_cast<int64_t>(set.rows.size()));
}

void check_reasoning(const Workspace& workspace, const Split& split, const fs::path& folder,
                     Findings& findings) {
  const CandidateSet train = workspace_candidates(workspace, "train");
  const auto& ids = workspace.dataset.catalogue.item_ids;
  int64_t lines = 0, hinted = 0;
  for_each_json_line(folder / "reasoning.jsonl", [&](const Json& line, int64_t number) {
    const std::string name = fmt::format("reasoning.jsonl:{}", number);
    const Json meta = get<Json>(line, "meta", name);
    const auto r = get<int64_t>(meta, "row", name);
    ++lines;
    hinted += get<bool>(meta, "hinted", name);
    if (r < 0 || r >= static_cast<int64_t>(train.rows.size()))
      return findings.add("reasoning", name + ": is no training row");
    const Row& row = train.rows[static_cast<size_t>(r)];
    if (row.position >= split.train_end[static_cast<size_t>(row.user)]) {
      findings.add("reasoning", name + ": its target lies outside the training part");
    }
    const Request request = make_request(workspace.dataset, train, r, 8);
    const std::string target =
        ids[static_cast<size_t>(request.candidates[static_cast<size_t>(request.target_slot)])];
    if (get<std::string>(meta, "target_item_id", name) != target)
      findings.add("reasoning", name + ": names another target");
    const PromptOptions with_times{8, true, true}, without{8, false, true};
    const auto text = get<std::string>(line, "prompt", name);
    if (text != student_prompt(workspace.dataset.catalogue, request, with_times) &&
        text != student_prompt(workspace.dataset.catalogue, request, without)) {
      findings.add("prompt", name + ": is not what the events before the request give");
    }
  });
  findings.passed("reasoning", lines);
  log_info("reasoning: {} lines, {} written with a hint", lines, hinted);
}

void check_statistics(const Workspace& workspace, const Split& split, Findings& findings) {
  int64_t latest = std::numeric_limits<int64_t>::min(), events = 0;
  const Dataset& dataset = workspace.dataset;
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    const auto begin = dataset.user_offsets[static_cast<size_t>(u)],
               end = split.train_end[static_cast<size_t>(u)];
    events += end - begin;
    for (int64_t i = begin; i < end; ++i)
      latest = std::max(latest, dataset.times[static_cast<size_t>(i)]);
  }
  double counted = 0;
  for (const double count : workspace.statistics.item_count) counted += count;
  if (workspace.statistics.train_end_time != latest || std::llround(counted) != events) {
    findings.add("statistics", "were not counted over the training part alone");
  }
  findings.passed("statistics", events);
}

void audit(const AuditOptions& options, const CommonOptions& common) {
  const Workspace workspace = open_workspace(options.data);
  const Split split = load_split(options.data);
  Findings findings;
  check_statistics(workspace, split, findings);
  for (const char* part : {"train", "valid", "test"})
    check_candidates(workspace, split, part, findings);
  if (!options.reasoning.empty()) check_reasoning(workspace, split, options.reasoning, findings);
  OrderedJson document = {{"schema_version", 1}, {"clean", findings.total() == 0}};
  for (const auto& [check, things] : findings.checks()) document["checked"][check] = things;
  document["findings"] = findings.counts();
  if (common.json) {
    std::cout << document.dump(2) << "\n";
  } else {
    for (const auto& [check, things] : findings.checks())
      fmt::print("{:<20} {} checked\n", check, things);
    fmt::print("audit: {}\n",
               findings.total() == 0 ? "clean" : fmt::format("{} findings", findings.total()));
  }
  CHECK(findings.total() == 0, kGate, "audit: {} findings, see above", findings.total());
}

}  // namespace

void add_audit(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "audit", "re-derives that no text or statistic knows the future; exit code 8 otherwise");
  auto options = std::make_shared<AuditOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("--reasoning", options->reasoning, "folder of construct, checked too")
      .existing_folder();
  command.on_run([options, &common] { audit(*options, common); });
}

}  // namespace etrlrec
