// The audit re-derives from the artefacts that nothing after a request entered a history, a
// statistic or a prompt, that no prompt holds an answer (method.md G.7), and that no list of a
// recommender comes from one that has learned from the row or from later events of its user (B.9).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "method/study.h"
#include "temporal/style.h"

namespace etrlrec {

struct AuditOptions {
  std::string data;
  std::string reasoning;  // folder of construct; empty: not checked
  // That it was written with, none or one; or all that made the lists of `model`.
  std::vector<std::string> recommenders{};
  std::string model{};  // folder of soft-prompt, or of distill --knowledge list; empty: not checked
};

// Findings by kind, the first few of each are logged, and what was checked.
struct AuditReport {
  std::map<std::string, int64_t> counts;
  std::vector<std::pair<std::string, int64_t>> checked;  // what, how many things

  void add(const std::string& kind, const std::string& detail);
  void passed(const std::string& check, int64_t things) { checked.emplace_back(check, things); }
  int64_t total() const;

 private:
  static constexpr int64_t kShown = 5;
};

AuditReport audit(const AuditOptions& options);
// The same on an opened data set. `reasoning` and `recommender` may be empty. Errors: kUsage where
// the reasoning speaks of a recommender's patterns and none is given, or the reverse.
AuditReport audit(const Study& study, const Split& split, const std::filesystem::path& reasoning,
                  const std::string& recommender = {});
// Adds what is wrong with the request of one row, which has its whole history: kinds history,
// candidates and prompt.
void audit_request(const Study& study, const Row& row, const Request& request,
                   const PromptOptions& prompt, AuditReport& report);
// Adds what is wrong with the recommenders that made the lists which a model was trained with: kind
// recommender where they are others than its folder records, and cross-fitting where one has
// learned from other events than it says. What it says is checked by its training log, made again
// from the data set. Errors: kUsage where the model was trained with no lists or none of the
// recommenders is given.
void audit_cross_fitting(const Study& study, const Split& split, const std::filesystem::path& model,
                         const std::vector<std::string>& recommenders, AuditReport& report);
nlohmann::ordered_json to_json(const AuditReport& report);

}  // namespace etrlrec
