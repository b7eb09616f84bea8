// reasoning.jsonl and quarantine.jsonl from the lines that stage 1 has written for each row.
#pragma once

#include <filesystem>

#include "method/construct_filters.h"
#include "method/row.h"

namespace etrlrec {

struct ReasoningFiles {
  std::filesystem::path part;        // what is read
  std::filesystem::path reasoning;   // prompt, completion and meta of each kept draw
  std::filesystem::path quarantine;  // each refused draw of free text; empty: there is none
  std::filesystem::path messages;    // the kept draws as chats; empty: none is written
};
// Lines of reasoning and messages are usable as they are by other trainers.
ConstructSummary collect_reasoning(const ReasoningFiles& files, const RowSource& source);

}  // namespace etrlrec
