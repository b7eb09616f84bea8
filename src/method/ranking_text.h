// What a ranking looks like: a JSON document for programs, lines for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/dataset.h"
#include "method/ranking_service.h"

namespace etrlrec {

// {"schema_version", "items": [{"item_id", "title", "score", "rank"}], "explanation": {"reasoning",
// "claims": [{"claim", "verdict"}], "valid"}}. The reasoning may hold bytes that are no UTF-8.
nlohmann::ordered_json to_json(const Ranking& ranking, const Catalogue& catalogue);
// A line for each item: rank, id, title, attributes, score. `explain` adds the reasoning, a line
// for each of its claims with the verdict, and a note where the reasoning was closed by force.
std::string format_ranking(const Ranking& ranking, const Catalogue& catalogue, bool explain);

}  // namespace etrlrec
