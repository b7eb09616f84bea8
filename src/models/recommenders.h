// The table of all types of recommenders. A new type is one unit that defines a RecommenderType,
// one row of this table, and one test.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/recommender.h"

namespace etrlrec {

std::span<const RecommenderType* const> recommender_types();
// The row of a name. Error (kUsage) for a name that is not in the table; it lists the names.
const RecommenderType& recommender_type(std::string_view name);
// Names of all types, separated by commas: for messages.
std::string recommender_names();
// A line for each type (name, what it looks at, paper and, where it is trained, its loss), and one
// for each loss.
std::string format_recommenders();
// Reads a folder of any type. Error (kModel) for a folder that holds no recommender.
std::unique_ptr<Recommender> load_recommender(const std::filesystem::path& folder,
                                              const Numerics& numerics = {});

}  // namespace etrlrec
