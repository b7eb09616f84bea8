// What a ranking looks like: a JSON document for programs, lines for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/dataset.h"
#include "method/ranking_service.h"

namespace etrlrec {

// {"schema_version", "items": [{"item_id", "title", "score", "rank"}], "explanation": {"decision",
// "claims": [{"dimension", "sentence", "verdict", "number", "claim"}], "reasoning", "valid"}}:
// sentences for people, `claim` and `reasoning` as the model wrote them (maybe no UTF-8).
nlohmann::ordered_json to_json(const Ranking& ranking, const Catalogue& catalogue);

enum class ExplanationForm : int8_t { kNone, kSentences, kRaw };
// A line for each item: rank, id, title, attributes, score. Then what the reasoning claims, in
// sentences (temporal/explanation.h) or as the model wrote it, with verdicts, and a note where the
// reasoning was closed by force.
std::string format_ranking(const Ranking& ranking, const Catalogue& catalogue,
                           ExplanationForm form);

}  // namespace etrlrec
