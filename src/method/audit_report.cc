#include "method/audit_report.h"

#include "base/json.h"
#include "base/log.h"

namespace etrlrec {

void AuditReport::add(const std::string& kind, const std::string& detail) {
  if (++counts[kind] <= kShown) log_warning("{}: {}", kind, detail);
}

int64_t AuditReport::total() const {
  int64_t sum = 0;
  for (const auto& [kind, count] : counts) sum += count;
  return sum;
}

OrderedJson to_json(const AuditReport& report) {
  OrderedJson document = {{"schema_version", 1}, {"clean", report.total() == 0}};
  for (const auto& [check, things] : report.checked) document["checked"][check] = things;
  document["findings"] = report.counts;
  return document;
}

}  // namespace etrlrec
