#include "models/config_fields.h"

#include "base/check.h"
#include "base/json.h"

namespace etrlrec {

void require_size(const std::string& name, const char* key, int64_t value, ExitCode code) {
  require(value > 0 && value <= (int64_t{1} << 31), code,
          "{}: {}: expected a positive value, found {}", name, key, value);
}

void require_dropout(const std::string& name, double value, ExitCode code) {
  require(value >= 0 && value < 1, code, "{}: dropout: expected a value in [0, 1), found {}", name,
          value);
}

void check_positive(const std::string& name, const char* key, int64_t value) {
  CHECK(value > 0, kModel, "{}: {}: expected a positive number, found {}", name, key, value);
}

std::vector<int64_t> read_end_tokens(const Json& json, int64_t fallback, const std::string& name) {
  if (!json.contains("eos_token_id") || json["eos_token_id"].is_null()) return {fallback};
  if (!json["eos_token_id"].is_array()) return {get<int64_t>(json, "eos_token_id", name)};
  auto ids = get<std::vector<int64_t>>(json, "eos_token_id", name);
  CHECK(!ids.empty(), kModel, "{}: eos_token_id: expected at least one token", name);
  return ids;
}

OrderedJson end_tokens_json(const std::vector<int64_t>& ids) {
  return ids.size() == 1 ? OrderedJson(ids[0]) : OrderedJson(ids);
}

void refuse_quantization(const Json& json, const std::string& name) {
  CHECK(!json.contains("quantization_config") || json["quantization_config"].is_null(), kModel,
        "{}: quantization_config is not supported", name);
}

}  // namespace etrlrec
