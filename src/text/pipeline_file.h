// From a parsed tokenizer.json to its pipeline. Steps of an unknown type are refused by name;
// truncation, padding and the post-processor are not used. Internal to text/.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace etrlrec {

// `config` (tokenizer_config.json or special_tokens_map.json, may be empty) names the end token;
// `name` is used in errors (kInput).
std::unique_ptr<Tokenizer> read_pipeline(const nlohmann::json& root, std::string_view config,
                                         const std::string& name);

}  // namespace etrlrec
