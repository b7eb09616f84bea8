// Reading of the steps that tokenizer.json lists: their types, Sequences taken apart, patterns.
// Internal to text/.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/text_pattern.h"

namespace etrlrec {

// The steps of root[key]: none for null, the elements of a Sequence (their list is called `list`)
// in order, those of Sequences inside of it, too. Error: kInput.
std::vector<nlohmann::json> steps_of(const nlohmann::json& root, const char* key, const char* list,
                                     const std::string& name);
// {"String": ...} or {"Regex": ...}.
TextPattern read_pattern(const nlohmann::json& step, const std::string& name);
// Of a Metaspace step: its replacement of spaces, and "always", "first" or "never" as `scheme`.
std::string read_metaspace(const nlohmann::json& step, std::string& scheme,
                           const std::string& name);
std::string read_character(const nlohmann::json& step, const char* key, const std::string& fallback,
                           const std::string& name);
[[noreturn]] void refuse_type(const char* part, const nlohmann::json& step, std::string_view known,
                              const std::string& name);

}  // namespace etrlrec
