// What goes wrong in a reinforcement, in plain words (method.md G.9.8): a pure function from the
// logs of a training to findings.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "train/checkpoint.h"

namespace etrlrec {

struct DiagnosisContext {
  int64_t num_generations = 8;
  bool has_reasoning = true;  // else a completion is an answer
  bool exact = false;         // rewards are expectations over the answers
};

// Logs in a row that must show a symptom.
inline constexpr size_t kDiagnosisWindow = 3;

// What the last kDiagnosisWindow logs show, each of which must show it; nothing before there are
// so many. Values that a log lacks show nothing. A collapse is measured against the first log: the
// policy has lost what it had there. `good_until` of a finding is the last step whose
// policy the log before them has seen.
std::vector<Finding> diagnose(std::span<const LogEntry> logs, const DiagnosisContext& context);

}  // namespace etrlrec
