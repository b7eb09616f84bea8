// What a teacher was asked with and what it wrote must not know (method.md F.1, G.2): what came
// after the request, and the answer where it was not to be told.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "method/audit_report.h"
#include "method/construct_options.h"
#include "method/row.h"
#include "temporal/guidance.h"

namespace etrlrec {

class TextAudit {
 public:
  // `folder`: of construct, about rows of `source`. `guidance`: the file of --guidance, empty: the
  // texts of a domain. Error (kUsage) where the teacher was asked with other texts.
  TextAudit(const RowSource& source, const std::filesystem::path& folder,
            const std::string& guidance);
  // Whether the teacher was asked by calls, so that their messages are checked.
  bool knows_calls() const { return !model_.empty(); }
  // Adds what is wrong with what a line of reasoning.jsonl says; `view` of its row, `meta` as it
  // stands there. Kinds:
  // "teacher messages": not those that the events before the request give, made again without the
  // target where no hint was to be given; "betrayal": says that the answer was known; "later item":
  // names a title that the user chose only later; "later day": names a day (2024-05-31) after the
  // request. A title of one word is no name here: it may be any word. One that history, candidates
  // or the prompt hold may be named.
  void check(const RowView& view, std::string_view said, const nlohmann::json& meta,
             const std::string& name, AuditReport& report) const;

 private:
  void check_messages(const RowView& view, const nlohmann::json& meta, const std::string& name,
                      AuditReport& report) const;
  void check_words(const RowView& view, std::string_view said, int64_t row, const std::string& name,
                   AuditReport& report) const;

  const RowSource& source_;
  bool free_text_ = false;
  std::string model_, parameters_;  // of the calls
  int32_t draws_ = 0;
  ConstructOptions options_;  // those that decide the messages
  GuidanceTexts guidance_;
};

}  // namespace etrlrec
