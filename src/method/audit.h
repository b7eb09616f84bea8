// The audit re-derives from the artefacts that nothing after a request entered a history, a
// statistic or a prompt, that no prompt holds an answer (method.md G.7), that no teacher was told
// or tells what came later (audit_texts), and that no list of a recommender comes from one that has
// learned from the row or from later events of its user (B.9).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "method/audit_report.h"
#include "method/study.h"
#include "temporal/style.h"

namespace etrlrec {

struct AuditOptions {
  std::string data;
  std::string reasoning;  // folder of construct; empty: not checked
  // That it was written with, none or one; or all that made the lists of `model`.
  std::vector<std::string> recommenders{};
  std::string model{};  // folder of soft-prompt, or of distill --knowledge list; empty: not checked
  std::string guidance{};  // the file that the teacher's guidance came from, if it did
};

AuditReport audit(const AuditOptions& options);
// The same on an opened data set. `reasoning`, `recommender` and `guidance` may be empty. Errors:
// kUsage where the reasoning speaks of a recommender's patterns and none is given, or the reverse,
// and where its teacher read other guidance.
AuditReport audit(const Study& study, const Split& split, const std::filesystem::path& reasoning,
                  const std::string& recommender = {}, const std::string& guidance = {});
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
}  // namespace etrlrec
