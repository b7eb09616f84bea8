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
  if (pattern)
    json["pattern"] = {{"recommender", pattern->recommender}, {"fit_hash", pattern->fit_hash}};
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
  return PatternRecord{get<std::string>(pattern, "recommender", name),
                       get<std::string>(pattern, "fit_hash", name)};
}

KnowledgeSource::KnowledgeSource(std::unique_ptr<const PatternSource> pattern,
                                 std::unique_ptr<const Moments> moments, int32_t items)
    : pattern_(std::move(pattern)), moments_(std::move(moments)), items_(items) {}

std::optional<PatternRecord> KnowledgeSource::record() const {
  return pattern_ ? std::optional(pattern_->record()) : std::nullopt;
}

std::optional<int64_t> KnowledgeSource::trained_until() const {
  return pattern_ ? std::optional(pattern_->trained_until()) : std::nullopt;
}

std::vector<KnownItems> KnowledgeSource::known(std::span<const Request> whole,
                                               bool mask_seen) const {
  std::vector<KnownItems> known(whole.size());
  if (moments_)
    for (size_t r = 0; r < whole.size(); ++r)
      known[r] = moments_->known(whole[r], items_, mask_seen);
  if (!pattern_) return known;
  std::vector<std::vector<int32_t>> patterns = pattern_->patterns(whole, mask_seen);
  for (size_t r = 0; r < whole.size(); ++r) known[r].pattern = std::move(patterns[r]);
  return known;
}

void KnowledgeSource::fill(std::span<const Request> whole, bool mask_seen,
                           std::span<Request> requests) const {
  std::vector<KnownItems> found = known(whole, mask_seen);
  for (size_t r = 0; r < requests.size(); ++r) requests[r].known = std::move(found[r]);
}

std::unique_ptr<const KnowledgeSource> open_knowledge(const PromptOptions& prompt,
                                                      const std::optional<PatternRecord>& trained,
                                                      const std::string& folder,
                                                      const Dataset& dataset,
                                                      const Numerics& numerics,
                                                      const std::string& artefact) {
  if (prompt.knowledge == Knowledge::kNone) return nullptr;
  CHECK(prompt.knowledge_items > 0, kUsage, "--knowledge-items: expected at least 1, found {}",
        prompt.knowledge_items);
  std::unique_ptr<const PatternSource> pattern;
  if (knows_pattern(prompt.knowledge)) {
    const std::string type = trained ? trained->recommender : "recommender";
    CHECK(!folder.empty(), kUsage,
          "{}: expected a {} whose patterns its prompts show, found none\n"
          "hint: --recommender FOLDER of fit",
          artefact, type);
    pattern =
        std::make_unique<const PatternSource>(folder, dataset, numerics, prompt.knowledge_items);
    CHECK(!trained || pattern->record().recommender == type, kModel,
          "{}: made with the patterns of a {}, found a {} in {}\n"
          "hint: --recommender of the same type",
          artefact, type, pattern->record().recommender, folder);
  }
  auto moments = knows_time(prompt.knowledge) ? std::make_unique<const Moments>(dataset) : nullptr;
  return std::make_unique<const KnowledgeSource>(std::move(pattern), std::move(moments),
                                                 prompt.knowledge_items);
}

void check_no_pattern(const PromptOptions& prompt, const std::string& folder,
                      const std::string& artefact) {
  CHECK(folder.empty() || knows_pattern(prompt.knowledge), kUsage,
        "--recommender: {} was made without knowledge of a recommender\n"
        "hint: leave the option out, or construct --knowledge pattern",
        artefact);
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
  const std::optional<int64_t> until = source.trained_until();
  std::vector<int64_t> open;
  for (int64_t row = 0; row < rows.size(); ++row)
    if (!until || rows.request_time(row) > *until) open.push_back(row);
  std::vector<KnownItems> found = source.known(rows.recommender_requests(open), false);
  std::vector<KnownItems> known(static_cast<size_t>(rows.size()));
  for (size_t i = 0; i < open.size(); ++i)
    known[static_cast<size_t>(open[i])] = std::move(found[i]);
  rows.set_known(std::move(known));
  CHECK(!open.empty(), kInput,
        "--recommender: it has learned from all {} training rows or from later events\n"
        "hint: fit --train-share 0.5; its patterns of later rows are honest",
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
