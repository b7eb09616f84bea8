// Worked examples of the report: the history on a time line, candidates with probabilities, the
// reasoning with judged claims, answer and truth.
#pragma once

#include <span>
#include <string>

#include "eval/report.h"

namespace etrlrec {

std::string render_examples(std::span<const ReportExample> examples);
// Reasoning as HTML with every claim marked by its verdict.
std::string render_reasoning(const ReportExample& example);

}  // namespace etrlrec
