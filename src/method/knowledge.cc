#include "method/knowledge.h"

#include <utility>

#include "base/check.h"
#include "base/json.h"

namespace etrlrec {

void write_knowledge(const PromptOptions& prompt, const std::optional<PatternRecord>& pattern,
                     OrderedJson& json) {
  if (prompt.list_candidates) json["list_candidates"] = true;
  if (prompt.knowledge == Knowledge::kNone) return;
  json["knowledge"] = knowledge_name(prompt.knowledge);
  json["knowledge_items"] = prompt.knowledge_items;
  if (!pattern) return;
  json["pattern"] = {{"recommender", pattern->recommender}, {"fit_hash", pattern->fit_hash}};
  if (!prompt.recommender.empty()) json["pattern"]["named"] = true;
}

std::optional<PatternRecord> read_knowledge(const Json& json, const std::string& name,
                                            PromptOptions& prompt) {
  prompt.list_candidates = get_or<bool>(json, "list_candidates", false, name);
  CHECK(!prompt.list_candidates || prompt.answer == AnswerKind::kTitle, kInput,
        "{}: list_candidates: expected answers by title, found answers by number", name);
  prompt.knowledge = knowledge(get_or<std::string>(json, "knowledge", "none", name));
  if (prompt.knowledge == Knowledge::kNone) return {};
  // Older versions knew patterns alone and named their length after them.
  const char* items = json.contains("pattern_items") ? "pattern_items" : "knowledge_items";
  prompt.knowledge_items = get<int32_t>(json, items, name);
  if (!knows_pattern(prompt.knowledge)) return {};
  const Json pattern = get<Json>(json, "pattern", name);
  PatternRecord record{get<std::string>(pattern, "recommender", name),
                       get<std::string>(pattern, "fit_hash", name)};
  prompt.recommender = get_or<bool>(pattern, "named", false, name) ? record.recommender : "";
  return record;
}

KnowledgeSource::KnowledgeSource(std::unique_ptr<const PatternSource> pattern,
                                 std::unique_ptr<const CrossFittedLists> lists,
                                 std::unique_ptr<const Moments> moments, int32_t items)
    : pattern_(std::move(pattern)),
      lists_(std::move(lists)),
      moments_(std::move(moments)),
      items_(items) {}

std::optional<PatternRecord> KnowledgeSource::record() const {
  if (lists_) return lists_->record();
  return pattern_ ? std::optional(pattern_->record()) : std::nullopt;
}

bool KnowledgeSource::may_ask(const Dataset& dataset, const Row& row) const {
  if (lists_) return lists_->may_ask(row);
  return !pattern_ || dataset.times[static_cast<size_t>(row.position)] > pattern_->trained_until();
}

std::vector<KnownItems> KnowledgeSource::known(std::span<const Request> whole,
                                               bool mask_seen) const {
  std::vector<KnownItems> known(whole.size());
  if (moments_)
    for (size_t r = 0; r < whole.size(); ++r)
      known[r] = moments_->known(whole[r], items_, mask_seen);
  if (!pattern_ && !lists_) return known;
  std::vector<std::vector<int32_t>> patterns =
      lists_ ? lists_->lists(whole) : pattern_->patterns(whole, mask_seen);
  for (size_t r = 0; r < whole.size(); ++r) known[r].pattern = std::move(patterns[r]);
  return known;
}

std::vector<KnownItems> KnowledgeSource::known_in_training(const RowSource& rows,
                                                           std::span<const int64_t> asked) const {
  std::vector<KnownItems> found(asked.size());
  if (lists_) {
    std::vector<Row> wanted;
    for (const int64_t row : asked) wanted.push_back(rows.set().rows[static_cast<size_t>(row)]);
    std::vector<std::vector<int32_t>> lists = lists_->lists(wanted);
    for (size_t i = 0; i < found.size(); ++i) found[i].pattern = std::move(lists[i]);
  } else {
    std::vector<Request> requests = rows.recommender_requests(asked);
    for (Request& request : requests) request.target_slot = -1;
    found = known(requests, false);
  }
  std::vector<KnownItems> all(static_cast<size_t>(rows.size()));
  for (size_t i = 0; i < found.size(); ++i)
    all[static_cast<size_t>(asked[i])] = std::move(found[i]);
  return all;
}

void KnowledgeSource::fill(std::span<const Request> whole, bool mask_seen,
                           std::span<Request> requests) const {
  std::vector<KnownItems> found = known(whole, mask_seen);
  for (size_t r = 0; r < requests.size(); ++r) requests[r].known = std::move(found[r]);
}

std::unique_ptr<const KnowledgeSource> open_knowledge(
    const PromptOptions& prompt, const std::optional<PatternRecord>& trained,
    const std::vector<std::string>& folders, const std::string& protocol, const Dataset& dataset,
    const Numerics& numerics, const std::string& artefact) {
  if (prompt.knowledge == Knowledge::kNone) return nullptr;
  const int32_t items = prompt.knowledge_items;
  CHECK(items > 0, kUsage, "--knowledge-items: expected at least 1, found {}", items);
  const bool is_list = prompt.knowledge == Knowledge::kList;
  CHECK(!is_list || prompt.answer == AnswerKind::kTitle, kUsage,
        "--knowledge list: its items need not be candidates, and {} answers by number\n"
        "hint: --knowledge pattern, or answers by title",
        artefact);
  auto moments = knows_time(prompt.knowledge) ? std::make_unique<const Moments>(dataset) : nullptr;
  if (!knows_pattern(prompt.knowledge))
    return std::make_unique<const KnowledgeSource>(nullptr, nullptr, std::move(moments), items);
  const std::string type = trained ? trained->recommender : "recommender";
  CHECK(!folders.empty(), kUsage,
        "{}: expected a {} whose patterns its prompts show, found none\n"
        "hint: --recommender FOLDER of fit",
        artefact, type);
  CHECK(is_list || folders.size() == 1, kUsage,
        "--recommender: expected one, found {}; those of several folds of users make lists\n"
        "hint: --knowledge list",
        folders.size());
  std::unique_ptr<const PatternSource> pattern;
  std::unique_ptr<const CrossFittedLists> lists;
  if (is_list)
    lists = std::make_unique<const CrossFittedLists>(folders, dataset, protocol, numerics, items);
  else
    pattern = std::make_unique<const PatternSource>(folders.front(), dataset, numerics, items);
  const PatternRecord record = is_list ? lists->record() : pattern->record();
  CHECK(!trained || record.recommender == type, kModel,
        "{}: made with the patterns of a {}, found a {} in {}\n"
        "hint: --recommender of the same type",
        artefact, type, record.recommender, folders.front());
  return std::make_unique<const KnowledgeSource>(std::move(pattern), std::move(lists),
                                                 std::move(moments), items);
}

std::unique_ptr<const KnowledgeSource> open_knowledge(const PromptOptions& prompt,
                                                      const std::optional<PatternRecord>& trained,
                                                      const std::string& folder,
                                                      const Dataset& dataset,
                                                      const Numerics& numerics,
                                                      const std::string& artefact) {
  std::vector<std::string> folders;
  if (!folder.empty()) folders.push_back(folder);
  return open_knowledge(prompt, trained, folders, "", dataset, numerics, artefact);
}

void check_no_pattern(const PromptOptions& prompt, const std::string& folder,
                      const std::string& artefact) {
  CHECK(folder.empty() || knows_pattern(prompt.knowledge), kUsage,
        "--recommender: {} was made without knowledge of a recommender\n"
        "hint: leave the option out, or construct --knowledge pattern",
        artefact);
}

void check_no_pattern(const PromptOptions& prompt, const std::vector<std::string>& folders,
                      const std::string& artefact) {
  check_no_pattern(prompt, folders.empty() ? std::string() : folders.front(), artefact);
}

std::vector<Request> knowing_requests(const Dataset& dataset, const CandidateSet& set,
                                      std::span<const int64_t> rows, int32_t max_history,
                                      const KnowledgeSource* source) {
  std::vector<Request> requests = make_requests(dataset, set, rows, max_history);
  if (source != nullptr)
    source->fill(make_requests(dataset, set, rows, kRecommenderHistory), false, requests);
  return requests;
}

std::vector<int64_t> add_training_knowledge(const KnowledgeSource& source, RowSource& rows) {
  std::vector<int64_t> open;
  for (int64_t row = 0; row < rows.size(); ++row)
    if (source.may_ask(rows.study().dataset, rows.set().rows[static_cast<size_t>(row)]))
      open.push_back(row);
  std::vector<KnownItems> known = source.known_in_training(rows, open);
  if (source.record())
    std::erase_if(open,
                  [&](int64_t row) { return known[static_cast<size_t>(row)].pattern.empty(); });
  rows.set_known(std::move(known));
  CHECK(!open.empty(), kInput,
        "--recommender: it has learned from all {} training rows or from later events\n"
        "hint: fit --train-share 0.5, whose patterns of later rows are honest, or for --knowledge "
        "list several of fit --folds 2",
        rows.size());
  return open;
}

double list_precision(const RowSource& source, std::span<const int64_t> rows,
                      std::vector<int32_t> KnownItems::*list) {
  int64_t right = 0, listed = 0;
  for (const int64_t row : rows) {
    const std::vector<int32_t>& items = source.known(row).*list;
    if (items.empty()) continue;
    const auto position = static_cast<size_t>(source.set().rows[static_cast<size_t>(row)].position);
    ++listed;
    right += items.front() == source.study().dataset.items[position];
  }
  return listed == 0 ? 0 : static_cast<double>(right) / static_cast<double>(listed);
}

}  // namespace etrlrec
