// What is in a data set folder, in numbers and as advice.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace etrlrec {

// The document that `inspect --json` prints (docs/formats.md): sizes, lengths of histories, times,
// popularity, attributes, the split, candidate files, and "warnings" (data/log_warnings.h) and
// "advice", sentences for a person.
nlohmann::ordered_json inspect(const std::filesystem::path& folder);
// The same in lines for a person.
std::string format_inspection(const nlohmann::ordered_json& json);

}  // namespace etrlrec
