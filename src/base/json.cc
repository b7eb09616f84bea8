#include "base/json.h"

#include "base/io.h"

template class nlohmann::basic_json<>;
template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace etrlrec {
namespace {

constexpr int kMaxDepth = 64;

}  // namespace

Json parse_json(std::string_view text, const std::string& name) {
  try {
    return Json::parse(text, [&name](int depth, Json::parse_event_t, Json&) {
      CHECK(depth <= kMaxDepth, kInput, "{}: JSON is nested deeper than {} levels", name,
            kMaxDepth);
      return true;
    });
  } catch (const Json::parse_error& error) {
    fail(ExitCode::kInput, "{}: invalid JSON at byte {}: {}", name, error.byte, error.what());
  } catch (const Json::exception& error) {  // e.g. a number out of range
    fail(ExitCode::kInput, "{}: invalid JSON: {}", name, error.what());
  }
}

std::string json_text(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json read_json(const fs::path& path) { return parse_json(read_file(path), path.string()); }

void write_json_atomic(const fs::path& path, const OrderedJson& value) {
  write_file_atomic(path, value.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

void for_each_json_line(const fs::path& path,
                        const std::function<void(const Json& value, int64_t line)>& on_value) {
  for_each_line(path, [&](std::string_view line, int64_t number) {
    on_value(parse_json(line, fmt::format("{}:{}", path.string(), number)), number);
  });
}

}  // namespace etrlrec
