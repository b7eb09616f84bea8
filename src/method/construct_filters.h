// What a teacher's draw must pass to become training text (method.md G.2), and the count of what
// passed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "method/construct_options.h"
#include "temporal/prompts.h"
#include "temporal/teacher.h"

namespace etrlrec {

// How rows are shown to the student.
PromptOptions prompt_options(const ConstructOptions& options);
std::string completion_of(const TeacherReply& reply, const std::vector<std::string>& answers,
                          const PromptOptions& prompt);

// Whether a reasoning betrays that the answer was known. Language models have more ways to say it
// (`free_text`) than the program.
bool betrays(std::string_view reasoning, bool free_text);

// What language models said, over all draws that kept the contract.
struct MinedTotals {
  int64_t readings = 0, sentences = 0, claim_sentences = 0;
  std::array<int64_t, 3> verdicts{};   // of the claims, by Verdict
  double precision = 0, coverage = 0;  // sums over the readings
};

struct ConstructSummary {
  int64_t rows = 0, rows_kept = 0, draws = 0, kept = 0, hinted = 0;
  std::map<std::string, int64_t> rejected;  // by the first filter that refused
  std::optional<MinedTotals> mined{};       // of teachers that write free text
};
nlohmann::ordered_json to_json(const ConstructSummary& summary);
// Rows, draws, and what passed each filter of those that the filters before let through; of free
// text also what was mined.
std::string format_summary(const ConstructSummary& summary);

}  // namespace etrlrec
