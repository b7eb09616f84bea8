#include "method/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <unordered_set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/split.h"
#include "method/audit_texts.h"
#include "method/construct.h"
#include "method/cross_fitted_lists.h"
#include "method/fit.h"
#include "method/model_folder.h"
#include "method/row.h"
#include "method/user_folds.h"

namespace etrlrec {
namespace {

std::string row_name(const Study& study, const Row& row) {
  return fmt::format("user {}, interaction {}",
                     study.dataset.user_ids[static_cast<size_t>(row.user)], row.position);
}

std::string shown(const Study& study, const Request& request, const PromptOptions& prompt) {
  return RowView(study.dataset.catalogue, nullptr, request, prompt).prompt();
}

// Uniform slots: the largest standardised deviation of a slot's count.
void check_slots(const CandidateSet& set, const std::string& part, AuditReport& findings) {
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

void check_candidates(const Study& study, const Split& split, const std::string& part,
                      const PromptOptions& prompt, AuditReport& findings) {
  if (!fs::exists(study.folder / ("candidates-" + part + ".jsonl"))) return;
  const CandidateSet set = study.candidates(part);
  for (int64_t r = 0; r < static_cast<int64_t>(set.rows.size()); ++r) {
    const Row& row = set.rows[static_cast<size_t>(r)];
    audit_request(study, row,
                  make_request(study.dataset, set, r, std::numeric_limits<int32_t>::max()), prompt,
                  findings);
    const bool in_training = row.position < split.train_end[static_cast<size_t>(row.user)];
    if (in_training != (part == "train")) {
      findings.add("split", fmt::format("{}: {} lies {} the training part", part,
                                        row_name(study, row), in_training ? "inside" : "outside"));
    }
  }
  check_slots(set, part, findings);
  findings.passed("candidates-" + part, static_cast<int64_t>(set.rows.size()));
}

// What a line of reasoning.jsonl says about its row, against the row itself; `parsed`: its
// completion.
void check_line(const Study& study, const RowView& view, const ParsedCompletion& parsed,
                const Json& line, const std::string& name, AuditReport& findings) {
  const auto& ids = study.dataset.catalogue.item_ids;
  const Json meta = get<Json>(line, "meta", name);
  const Request& request = view.request();
  const std::string& target = ids[static_cast<size_t>(request.candidates[request.target_slot])];
  if (get<std::string>(meta, "target_item_id", name) != target ||
      get<int32_t>(meta, "target", name) != request.target_slot + 1)
    findings.add("reasoning", name + ": names another target");
  std::vector<std::string> candidates;
  for (const int32_t item : request.candidates) candidates.push_back(ids[item]);
  if (get<std::vector<std::string>>(meta, "candidates", name) != candidates ||
      get<int64_t>(meta, "now", name) != request.now)
    findings.add("reasoning", name + ": names other candidates or another request time");
  if (parsed.code != AnswerCode::kValid || parsed.answer != get<int32_t>(meta, "answer", name))
    findings.add("answer", name + ": the completion does not give the answer of its record");
  if (get<std::string>(line, "prompt", name) != view.prompt())
    findings.add("prompt", name + ": is not what the events before the request give");
}

// What a recommender said of rows that it has learned from would be no prediction. Everything that
// prompts show is made again from requests that name no target, so that what knows it gives another
// prompt.
void check_knowledge(const KnowledgeSource& knowledge, const ReasoningRecord& record,
                     RowSource& source, AuditReport& findings) {
  if (knowledge.record() != record.pattern)
    findings.add("pattern", "the reasoning was written with another recommender");
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < source.size(); ++row) rows.push_back(row);
  source.set_known(knowledge.known_in_training(source, rows));
}

// At the history length that construct.json records.
void check_reasoning(const Study& study, const Split& split, const fs::path& folder,
                     const ReasoningRecord& record, const KnowledgeSource* knowledge,
                     const std::string& guidance, AuditReport& findings) {
  RowSource source(study, study.candidates("train"), record.prompt);
  if (record.candidates != source.set().hash || record.catalogue_hash != study.catalogue_hash)
    return findings.add("reasoning", folder.string() + ": written for another candidate file");
  if (knowledge != nullptr) check_knowledge(*knowledge, record, source, findings);
  const TextAudit texts(source, folder, guidance);
  int64_t lines = 0, hinted = 0;
  for_each_json_line(folder / "reasoning.jsonl", [&](const Json& line, int64_t number) {
    const std::string name = fmt::format("reasoning.jsonl:{}", number);
    const Json meta = get<Json>(line, "meta", name);
    const auto r = get<int64_t>(meta, "row", name);
    ++lines;
    hinted += get<bool>(meta, "hinted", name);
    if (r < 0 || r >= source.size())
      return findings.add("reasoning", name + ": is no training row");
    const Row& row = source.set().rows[static_cast<size_t>(r)];
    if (row.position >= split.train_end[static_cast<size_t>(row.user)])
      findings.add("reasoning", name + ": its target lies outside the training part");
    if (knowledge != nullptr && !knowledge->may_ask(study.dataset, row)) {
      findings.add("pattern", name + ": the recommender has learned from this row or later events");
      if (record.prompt.knowledge == Knowledge::kList) return;  // it makes no list for such a row
    }
    const RowView view = source.view(r);
    const auto completion = get<std::string>(line, "completion", name);
    const ParsedCompletion parsed = view.parse(completion);
    check_line(study, view, parsed, line, name, findings);
    texts.check(view, parsed.code == AnswerCode::kValid ? parsed.reasoning : completion, meta, name,
                findings);
  });
  findings.passed("reasoning", lines);
  if (texts.knows_calls()) findings.passed("teacher messages", lines);
  log_info("reasoning: {} lines, {} written with a hint", lines, hinted);
}

// The recommenders that a folder records are those that are given.
void check_recorded(const Study& study, const fs::path& model, const CrossFittedLists& lists,
                    AuditReport& findings) {
  const fs::path path = model / "soft_prompt.json";
  if (!fs::exists(path)) {
    const ModelCard card = open_model_folder(model, study.catalogue_hash).card;
    CHECK(card.prompt.knowledge == Knowledge::kList && card.pattern, kUsage,
          "--model: {}: was trained with no recommender's lists", model.string());
    if (*card.pattern != lists.record())
      findings.add("recommender", model.string() + ": was trained with lists of others");
    return;
  }
  const Json json = read_json(path);
  CHECK(json.contains("recommenders"), kUsage,
        "--model: {}: was trained with no recommender's lists", model.string());
  std::set<std::string> recorded, given;
  const auto key = [](const std::string& fit_hash, const UserFold& left_out) {
    return fmt::format("{} without fold {} of {}", fit_hash, left_out.fold, left_out.count);
  };
  for (const Json& one : json.at("recommenders"))
    recorded.insert(
        key(get<std::string>(one, "fit_hash", path.string()), read_user_fold(one, path.string())));
  for (const auto& [pattern, left_out] : lists.records())
    given.insert(key(pattern.fit_hash, left_out));
  if (recorded != given)
    findings.add("recommender", model.string() + ": was trained with lists of others");
}

// A recommender has learned from what it says, and from no event of a user from a row on about
// which it would be asked.
void check_learned(const Study& study, const Split& split, const fs::path& folder,
                   AuditReport& findings) {
  const Dataset& dataset = study.dataset;
  const fs::path path = folder / "inputs.json";
  const Json inputs = read_json(path);
  const UserFold left_out = read_user_fold(inputs, path.string());
  const int64_t until = trained_until(folder);
  InteractionLog log = training_log_until(dataset, split, until);
  leave_out(left_out, dataset, log);
  if (get_or<std::string>(inputs, "training_log", "", path.string()) != training_log_hash(log))
    findings.add("cross-fitting", folder.string() + ": has learned from other events than it says");
  int64_t asked = 0;
  for (const Row& row : study.candidates("train").rows) {
    const auto user = static_cast<size_t>(row.user);
    const bool may = left_out.count > 0 ? left_out.contains(dataset.user_ids[user])
                                        : dataset.times[static_cast<size_t>(row.position)] > until;
    if (!may) continue;
    ++asked;
    if (log.user_offsets[user + 1] - log.user_offsets[user] >
        row.position - dataset.user_offsets[user])
      findings.add("cross-fitting",
                   fmt::format("{}: {}: is asked about it and has learned from it or later events",
                               folder.string(), row_name(study, row)));
  }
  findings.passed(fmt::format("lists of {}", folder.string()), asked);
}

void check_statistics(const Study& study, const Split& split, AuditReport& findings) {
  int64_t latest = std::numeric_limits<int64_t>::min(), events = 0;
  const Dataset& dataset = study.dataset;
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    const auto begin = dataset.user_offsets[static_cast<size_t>(u)],
               end = split.train_end[static_cast<size_t>(u)];
    events += end - begin;
    for (int64_t i = begin; i < end; ++i)
      latest = std::max(latest, dataset.times[static_cast<size_t>(i)]);
  }
  double counted = 0;
  for (const double count : study.statistics.item_count) counted += count;
  if (study.statistics.train_end_time != latest || std::llround(counted) != events) {
    findings.add("statistics", "were not counted over the training part alone");
  }
  findings.passed("statistics", events);
}

}  // namespace

void audit_request(const Study& study, const Row& row, const Request& request,
                   const PromptOptions& prompt, AuditReport& report) {
  const Dataset& dataset = study.dataset;
  const std::string name = row_name(study, row);
  const auto begin = dataset.user_offsets[static_cast<size_t>(row.user)];
  if (static_cast<int64_t>(request.history.size()) != row.position - begin) {
    report.add("history", name + ": is not what stands before the target");
  }
  const bool knows_future = std::any_of(request.times.begin(), request.times.end(),
                                        [&](int64_t time) { return time > request.now; });
  if (knows_future) report.add("history", name + ": holds an event after the request");
  const int32_t target = dataset.items[static_cast<size_t>(row.position)];
  if (request.candidates[static_cast<size_t>(request.target_slot)] != target) {
    report.add("candidates", name + ": the marked slot is not the target");
  }
  const std::unordered_set<int32_t> seen(request.history.begin(), request.history.end());
  std::unordered_set<int32_t> distinct;
  for (const int32_t item : request.candidates) {
    if (!distinct.insert(item).second) report.add("candidates", name + ": an item stands twice");
    if (item != target && seen.contains(item))
      report.add("candidates", name + ": a negative was seen before");
  }
  if (knows_future) return;  // no prompt can be written
  Request asked = request;
  const std::string with_target = shown(study, asked, prompt);
  asked.target_slot = -1;
  if (shown(study, asked, prompt) != with_target) {
    report.add("prompt", name + ": depends on which candidate is the target");
  }
}

AuditReport audit(const AuditOptions& options) {
  const Study study = open_study(options.data);
  const Split split = load_split(options.data);
  CHECK(options.reasoning.empty() || options.model.empty(), kUsage,
        "audit: expected a reasoning or a model whose recommenders are checked, found both\n"
        "hint: one after the other");
  CHECK(options.recommenders.size() <= 1 || options.reasoning.empty(), kUsage,
        "--recommender: a reasoning was written with one, found {}", options.recommenders.size());
  if (options.model.empty())
    return audit(study, split, options.reasoning,
                 options.recommenders.empty() ? "" : options.recommenders.front(),
                 options.guidance);
  AuditReport report = audit(study, split, {});
  audit_cross_fitting(study, split, options.model, options.recommenders, report);
  return report;
}

AuditReport audit(const Study& study, const Split& split, const fs::path& reasoning,
                  const std::string& recommender, const std::string& guidance) {
  AuditReport report;
  check_statistics(study, split, report);
  std::optional<ReasoningRecord> record;
  if (!reasoning.empty()) record = read_reasoning_record(reasoning);
  PromptOptions prompt = record ? record->prompt : PromptOptions{};
  check_no_pattern(prompt, recommender, reasoning.empty() ? "the data set" : reasoning.string());
  const auto knowledge = open_knowledge(prompt, record ? record->pattern : std::nullopt,
                                        recommender, study.dataset, {}, reasoning.string());
  prompt.knowledge = Knowledge::kNone;  // of rows that were not written about
  for (const char* part : {"train", "valid", "test"})
    check_candidates(study, split, part, prompt, report);
  if (record) check_reasoning(study, split, reasoning, *record, knowledge.get(), guidance, report);
  return report;
}

void audit_cross_fitting(const Study& study, const Split& split, const fs::path& model,
                         const std::vector<std::string>& recommenders, AuditReport& report) {
  CHECK(!recommenders.empty(), kUsage,
        "{}: expected the recommenders whose lists it was trained with, found none\n"
        "hint: --recommender FOLDER of each",
        model.string());
  const CrossFittedLists lists(recommenders, study.dataset, split.protocol, {}, 2);
  check_recorded(study, model, lists, report);
  for (const std::string& folder : recommenders) check_learned(study, split, folder, report);
}

}  // namespace etrlrec
