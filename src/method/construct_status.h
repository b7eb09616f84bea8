// What a folder of stage 1 holds, while it is written or after: `construct --status` and `--audit`.
// Both only read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "method/construct_filters.h"
#include "remote/call_store.h"

namespace etrlrec {

struct ConstructStatus {
  std::string teacher;
  int64_t rows_done = 0;                 // lines of the part file
  std::optional<CallCensus> calls;       // of language models
  std::optional<ConstructSummary> made;  // of construct.json
  bool complete = false;                 // construct.json is there and nobody gave up
};
// Error (kInput): no folder of construct.
ConstructStatus construct_status(const std::filesystem::path& folder);
nlohmann::ordered_json to_json(const ConstructStatus& status);
std::string format_status(const ConstructStatus& status);

// Findings by kind: what is wrong with the calls (audit_calls), training lines whose call is not
// there or gave another answer, and training lines that hold more than the teacher said.
struct ConstructAudit {
  CallAudit calls;
  int64_t lines = 0;  // of reasoning.jsonl
  std::map<std::string, int64_t> findings;
  int64_t total() const;
};
// Error (kInput): no folder of construct, or one of the program, which makes no calls.
ConstructAudit audit_construct(const std::filesystem::path& folder);
nlohmann::ordered_json to_json(const ConstructAudit& audit);
std::string format_audit(const ConstructAudit& audit);

}  // namespace etrlrec
