// Internal to models/: fields of config.json that all families have. Errors (kModel) name the
// document and the key.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace etrlrec {

// CHECK with a code that the caller chooses: values of a document are kModel, options kUsage.
template <typename... Args>
void require(bool holds, ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) fail(code, format, std::forward<Args>(args)...);
}

// Error (`code`): a size of a recommender that is not in [1, 2^31], a dropout that is not in [0,
// 1).
void require_size(const std::string& name, const char* key, int64_t value, ExitCode code);
void require_dropout(const std::string& name, double value, ExitCode code);

void check_positive(const std::string& name, const char* key, int64_t value);
// eos_token_id: one id, a list of at least one, or absent: {fallback}.
std::vector<int64_t> read_end_tokens(const nlohmann::json& json, int64_t fallback,
                                     const std::string& name);
nlohmann::ordered_json end_tokens_json(const std::vector<int64_t>& ids);
void refuse_quantization(const nlohmann::json& json, const std::string& name);

}  // namespace etrlrec
