// What an audit has looked at and found.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace etrlrec {

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
nlohmann::ordered_json to_json(const AuditReport& report);

}  // namespace etrlrec
