// JSON for files and messages. Include this header in .cc files only; headers use
// nlohmann/json_fwd.hpp. Typed getters whose errors (kInput) name the document, the path inside it,
// expected and actual.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/check.h"

// Generated once, in json.cc: a unit that reads JSON compiles in two thirds of the time.
extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace etrlrec {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Parses a whole document; `name` (a path or "request") is used in errors. Depth is limited to 64.
Json parse_json(std::string_view text, const std::string& name);
Json read_json(const std::filesystem::path& path);
void write_json_atomic(const std::filesystem::path& path, const OrderedJson& value);
// One JSON value per line; errors name path:line. Blank lines are refused.
void for_each_json_line(const std::filesystem::path& path,
                        const std::function<void(const Json& value, int64_t line)>& on_value);

// get<int64_t>(json, "hidden_size", "config.json"): error when absent or of another type.
template <typename T>
T get(const Json& object, const std::string& key, const std::string& name) {
  CHECK(object.is_object() && object.contains(key), kInput, "{}: key \"{}\" is missing", name, key);
  try {
    return object.at(key).get<T>();
  } catch (const nlohmann::json::exception&) {
    fail(ExitCode::kInput, "{}: key \"{}\" has the wrong type: {}", name, key,
         object.at(key).dump());
  }
}

// The same with a default when the key is absent or null.
template <typename T>
T get_or(const Json& object, const std::string& key, T fallback, const std::string& name) {
  if (!object.is_object() || !object.contains(key) || object.at(key).is_null()) return fallback;
  return get<T>(object, key, name);
}

}  // namespace etrlrec
