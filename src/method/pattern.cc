#include "method/pattern.h"

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/sha256.h"
#include "eval/full_ranking.h"
#include "method/fit.h"

namespace etrlrec {
namespace {

constexpr size_t kTogether = 256;  // histories scored at once

}  // namespace

void write_knowledge(const PromptOptions& prompt, const std::optional<PatternRecord>& pattern,
                     OrderedJson& json) {
  if (prompt.knowledge == Knowledge::kNone) return;
  json["knowledge"] = knowledge_name(prompt.knowledge);
  json["pattern_items"] = prompt.pattern_items;
  if (pattern)
    json["pattern"] = {{"recommender", pattern->recommender}, {"fit_hash", pattern->fit_hash}};
}

std::optional<PatternRecord> read_knowledge(const Json& json, const std::string& name,
                                            PromptOptions& prompt) {
  prompt.knowledge = knowledge(get_or<std::string>(json, "knowledge", "none", name));
  if (prompt.knowledge == Knowledge::kNone) return {};
  prompt.pattern_items = get<int32_t>(json, "pattern_items", name);
  const Json pattern = get<Json>(json, "pattern", name);
  return PatternRecord{get<std::string>(pattern, "recommender", name),
                       get<std::string>(pattern, "fit_hash", name)};
}

PatternSource::PatternSource(const fs::path& folder, const Catalogue& catalogue,
                             const Numerics& numerics, int32_t items)
    : recommender_(load_recommender_of(folder, catalogue, numerics)),
      record_{recommender_->name(), sha256_file(folder / "inputs.json")},
      trained_until_(etrlrec::trained_until(folder)),
      items_(items) {
  CHECK(items > 0, kUsage, "--pattern-items: expected at least 1, found {}", items);
}

std::vector<std::vector<int32_t>> PatternSource::patterns(std::span<const Request> requests,
                                                          bool mask_seen) const {
  std::vector<std::vector<int32_t>> patterns;
  for (size_t begin = 0; begin < requests.size(); begin += kTogether) {
    const auto batch = requests.subspan(begin, std::min(kTogether, requests.size() - begin));
    std::vector<HistoryView> views;
    for (const Request& request : batch)
      views.push_back({request.history, request.times, request.now});
    const at::Tensor scores = recommender_->score(views).contiguous();  // [B, N]
    const auto items = static_cast<size_t>(scores.size(1));
    for (size_t r = 0; r < batch.size(); ++r) {
      const std::span row(scores.const_data_ptr<float>() + r * items, items);
      patterns.push_back(batch[r].candidates.empty()
                             ? best_items(row, {views[r], -1}, mask_seen, items_)
                             : best_items(row, batch[r].candidates, items_));
    }
  }
  return patterns;
}

std::unique_ptr<const PatternSource> open_pattern(const PromptOptions& prompt,
                                                  const std::optional<PatternRecord>& trained,
                                                  const std::string& folder,
                                                  const Catalogue& catalogue,
                                                  const Numerics& numerics,
                                                  const std::string& artefact) {
  if (prompt.knowledge != Knowledge::kPattern) return nullptr;
  const std::string type = trained ? trained->recommender : "recommender";
  CHECK(!folder.empty(), kUsage,
        "{}: expected a {} whose patterns its prompts show, found none\n"
        "hint: --recommender FOLDER of fit",
        artefact, type);
  auto source =
      std::make_unique<const PatternSource>(folder, catalogue, numerics, prompt.pattern_items);
  CHECK(
      !trained || source->record().recommender == type, kModel,
      "{}: made with the patterns of a {}, found a {} in {}\nhint: --recommender of the same type",
      artefact, type, source->record().recommender, folder);
  return source;
}

void check_no_pattern(const PromptOptions& prompt, const std::string& folder,
                      const std::string& artefact) {
  CHECK(folder.empty() || prompt.knowledge == Knowledge::kPattern, kUsage,
        "--recommender: {} was made without knowledge of a recommender\n"
        "hint: leave the option out, or construct --knowledge pattern",
        artefact);
}

void add_patterns(const PatternSource& source, std::span<const Request> whole, bool mask_seen,
                  std::span<Request> requests) {
  std::vector<std::vector<int32_t>> patterns = source.patterns(whole, mask_seen);
  for (size_t r = 0; r < requests.size(); ++r) requests[r].pattern = std::move(patterns[r]);
}

std::vector<Request> pattern_requests(const Dataset& dataset, const CandidateSet& set,
                                      std::span<const int64_t> rows, int32_t max_history,
                                      const PatternSource* source) {
  std::vector<Request> requests = make_requests(dataset, set, rows, max_history);
  if (source != nullptr)
    add_patterns(*source, make_requests(dataset, set, rows, kRecommenderHistory), false, requests);
  return requests;
}

std::vector<int64_t> add_training_patterns(const PatternSource& source, RowSource& rows) {
  std::vector<int64_t> open;
  for (int64_t row = 0; row < rows.size(); ++row)
    if (rows.request_time(row) > source.trained_until()) open.push_back(row);
  std::vector<std::vector<int32_t>> patterns(static_cast<size_t>(rows.size()));
  std::vector<std::vector<int32_t>> found = source.patterns(rows.recommender_requests(open));
  for (size_t i = 0; i < open.size(); ++i)
    patterns[static_cast<size_t>(open[i])] = std::move(found[i]);
  rows.set_patterns(std::move(patterns));
  CHECK(!open.empty(), kInput,
        "--recommender: it has learned from all {} training rows or from later events\n"
        "hint: fit --train-share 0.5; its patterns of later rows are honest",
        rows.size());
  return open;
}

double pattern_precision(const RowSource& source, std::span<const int64_t> rows) {
  int64_t right = 0;
  for (const int64_t row : rows) {
    const CandidateSet& set = source.set();
    const auto position = static_cast<size_t>(set.rows[static_cast<size_t>(row)].position);
    right += source.pattern(row).at(0) == source.study().dataset.items[position];
  }
  return rows.empty() ? 0 : static_cast<double>(right) / static_cast<double>(rows.size());
}

}  // namespace etrlrec
