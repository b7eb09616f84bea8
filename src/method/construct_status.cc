#include "method/construct_status.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "temporal/guidance.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

constexpr size_t kShownFailures = 5;

Json begun_with(const fs::path& folder) {
  const fs::path path = folder / "construct.part.json";
  CHECK(fs::exists(path), kInput, "{}: no construct.part.json: not a folder of construct",
        folder.string());
  return read_json(path);
}

int64_t whole_lines(const fs::path& path) {
  if (!fs::exists(path)) return 0;
  const MappedFile file(path);
  const std::string_view text = file.text();
  return std::count(text.begin(), text.end(), '\n');
}

ConstructSummary read_summary(const Json& json, const std::string& name) {
  ConstructSummary summary;
  summary.rows = get<int64_t>(json, "rows", name);
  summary.rows_kept = get<int64_t>(json, "rows_kept", name);
  summary.draws = get<int64_t>(json, "draws", name);
  summary.kept = get<int64_t>(json, "kept", name);
  summary.hinted = get<int64_t>(json, "hinted", name);
  summary.rejected = get<std::map<std::string, int64_t>>(json, "rejected", name);
  const Json mined = get_or<Json>(json, "mined", Json(), name);
  if (mined.is_null()) return summary;
  MinedTotals& totals = summary.mined.emplace();
  totals.readings = get<int64_t>(mined, "readings", name);
  totals.sentences = get<int64_t>(mined, "sentences", name);
  totals.claim_sentences = get<int64_t>(mined, "claim_sentences", name);
  totals.verdicts = {get<int64_t>(mined, "true", name), get<int64_t>(mined, "false", name),
                     get<int64_t>(mined, "unverifiable", name)};
  totals.precision = get<double>(mined, "precision", name) * static_cast<double>(totals.readings);
  totals.coverage = get<double>(mined, "coverage", name) * static_cast<double>(totals.readings);
  return summary;
}

OrderedJson calls_json(const CallCensus& census) {
  const CallTotals& totals = census.totals;
  return {{"replies", totals.replies},
          {"failed", totals.failed},
          {"failed_for_good", totals.failed_for_good},
          {"prompt_tokens", totals.usage.prompt_tokens},
          {"completion_tokens", totals.usage.completion_tokens},
          {"usage_estimated", totals.usage_estimated},
          {"failures", census.failures}};
}

}  // namespace

ConstructStatus construct_status(const fs::path& folder) {
  ConstructStatus status;
  status.teacher = get<std::string>(begun_with(folder), "teacher", folder.string());
  status.rows_done = whole_lines(folder / "reasoning.part.jsonl");
  if (fs::exists(folder / "calls.jsonl")) status.calls = count_calls(folder / "calls.jsonl");
  const fs::path record = folder / "construct.json";
  if (!fs::exists(record)) return status;
  const Json json = read_json(record);
  status.made = read_summary(json, record.string());
  status.complete = get_or<bool>(json, "complete", true, record.string());
  return status;
}

OrderedJson to_json(const ConstructStatus& status) {
  OrderedJson json = {{"schema_version", 1},
                      {"teacher", status.teacher},
                      {"complete", status.complete},
                      {"rows_done", status.rows_done}};
  if (status.calls) json["calls"] = calls_json(*status.calls);
  if (status.made) json["summary"] = to_json(*status.made);
  return json;
}

std::string format_status(const ConstructStatus& status) {
  std::string text = fmt::format(
      "teacher {}, {}\n", status.teacher,
      status.complete ? "complete"
      : status.made   ? "not complete: the teacher gave up"
                      : fmt::format("not complete: {} rows are written", status.rows_done));
  if (status.calls) {
    const CallTotals& totals = status.calls->totals;
    text += fmt::format("calls answered {}, failed {} (refused for good {})\n", totals.replies,
                        totals.failed, totals.failed_for_good);
    text += fmt::format("tokens {} asked, {} answered{}\n", totals.usage.prompt_tokens,
                        totals.usage.completion_tokens,
                        totals.usage_estimated == 0
                            ? ""
                            : fmt::format(" (estimated in {} calls)", totals.usage_estimated));
    std::vector<std::pair<int64_t, std::string>> failures;
    for (const auto& [message, count] : status.calls->failures)
      failures.emplace_back(-count, message);
    std::sort(failures.begin(), failures.end());
    if (failures.size() > kShownFailures) failures.resize(kShownFailures);
    for (const auto& [count, message] : failures)
      text += fmt::format("  {} times: {}\n", -count, message);
  }
  return status.made ? text + format_summary(*status.made) : text;
}

int64_t ConstructAudit::total() const {
  int64_t sum = 0;
  for (const auto& [kind, count] : calls.findings) sum += count;
  for (const auto& [kind, count] : findings) sum += count;
  return sum;
}

ConstructAudit audit_construct(const fs::path& folder) {
  const Json begun = begun_with(folder);
  const fs::path calls = folder / "calls.jsonl";
  CHECK(fs::exists(calls), kInput,
        "{}: no calls.jsonl: its teacher made no calls\nhint: etrlrec audit --reasoning {} checks "
        "its rows",
        folder.string(), folder.string());
  ConstructAudit audit;
  audit.calls = audit_calls(calls);
  if (!fs::exists(folder / "reasoning.jsonl")) return audit;
  const auto keep = get<std::string>(get<Json>(begun, "llm", folder.string()), "keep", "llm");
  const bool whole =
      keep == "whole" ||
      (keep == "auto" && get<std::string>(begun, "style", folder.string()) == "natural");
  const ReplyReader replies(calls);
  for_each_json_line(folder / "reasoning.jsonl", [&](const Json& line, int64_t number) {
    ++audit.lines;
    const std::string name = fmt::format("reasoning.jsonl:{}", number);
    const Json meta = get<Json>(line, "meta", name);
    const auto reply = replies.reply(get_or<std::string>(meta, "key", "", name));
    if (!reply) {
      ++audit.findings["training line without a call"];
      return;
    }
    const auto candidates = static_cast<int32_t>(get<Json>(meta, "candidates", name).size());
    const TeacherAnswer said = read_teacher_answer(reply->text, candidates);
    if (!said.problem.empty() || said.answer != get<int32_t>(meta, "answer", name))
      ++audit.findings["training line with another answer than its call"];
    if (whole && !get<std::string>(line, "completion", name).starts_with(said.reasoning))
      ++audit.findings["training line with other words than its call"];
  });
  return audit;
}

OrderedJson to_json(const ConstructAudit& audit) {
  OrderedJson findings = OrderedJson::object();
  for (const auto& [kind, count] : audit.calls.findings) findings[kind] = count;
  for (const auto& [kind, count] : audit.findings) findings[kind] = count;
  return {{"schema_version", 1},           {"clean", audit.total() == 0},
          {"calls", audit.calls.replies},  {"failures", audit.calls.failures},
          {"training_lines", audit.lines}, {"findings", findings}};
}

std::string format_audit(const ConstructAudit& audit) {
  std::string text = fmt::format("calls {} answered, {} failures, {} training lines checked\n",
                                 audit.calls.replies, audit.calls.failures, audit.lines);
  for (const auto* findings : {&audit.calls.findings, &audit.findings})
    for (const auto& [kind, count] : *findings) text += fmt::format("  {}: {}\n", kind, count);
  return text + fmt::format("audit: {}\n", audit.total() == 0
                                               ? "clean"
                                               : fmt::format("{} findings", audit.total()));
}

}  // namespace etrlrec
