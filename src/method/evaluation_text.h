// What an evaluation looks like: a JSON document for programs, lines for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "method/evaluation.h"

namespace etrlrec {

// summary.json: the metrics with their intervals, and those of chance.
nlohmann::ordered_json summary_of(const Evaluation& evaluation);
// The same in lines for a person.
std::string format_evaluation(const Evaluation& evaluation);

}  // namespace etrlrec
