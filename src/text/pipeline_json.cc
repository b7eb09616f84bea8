#include "text/pipeline_json.h"

#include "base/check.h"
#include "base/json.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxStepsOfPart = 64;

void append_steps(const Json& step, const char* key, const char* list, const std::string& name,
                  std::vector<Json>& out) {
  if (type_of(step) != "Sequence") {
    CHECK(out.size() < kMaxStepsOfPart, kInput, "{}: {}: expected at most {} steps", name, key,
          kMaxStepsOfPart);
    out.push_back(step);
    return;
  }
  CHECK(step.contains(list) && step[list].is_array(), kInput,
        "{}: {} Sequence: \"{}\": expected an array", name, key, list);
  for (const Json& part : step[list]) append_steps(part, key, list, name, out);
}

}  // namespace

std::vector<Json> steps_of(const Json& root, const char* key, const char* list,
                           const std::string& name) {
  std::vector<Json> out;
  if (!absent(root, key)) append_steps(root[key], key, list, name, out);
  return out;
}

TextPattern read_pattern(const Json& step, const std::string& name) {
  const Json pattern = get<Json>(step, "pattern", name);
  if (pattern.is_object() && pattern.contains("String")) {
    std::string text = get<std::string>(pattern, "String", name);
    // An empty text is found between all characters, as an empty expression is.
    return text.empty() ? TextPattern::of_regex("", name) : TextPattern::of_text(std::move(text));
  }
  return TextPattern::of_regex(get<std::string>(pattern, "Regex", name), name);
}

std::string read_metaspace(const Json& step, std::string& scheme, const std::string& name) {
  const bool adds = get_or<bool>(step, "add_prefix_space", true, name);
  scheme = get_or<std::string>(step, "prepend_scheme", adds ? "always" : "never", name);
  CHECK(scheme == "always" || scheme == "first" || scheme == "never", kInput,
        "{}: Metaspace: unknown prepend_scheme {}; known: always, first, never", name, scheme);
  return read_character(step, "replacement", "\u2581", name);
}

std::string read_character(const Json& step, const char* key, const std::string& fallback,
                           const std::string& name) {
  std::string out = get_or<std::string>(step, key, fallback, name);
  CHECK(code_points(out) == 1, kInput, "{}: {}: {}: expected one character, found \"{}\"", name,
        type_of(step), key, out);
  return out;
}

void refuse_type(const char* part, const Json& step, std::string_view known,
                 const std::string& name) {
  fail(ExitCode::kInput, "{}: {} {} is not supported; known: {}", name, part, type_of(step), known);
}

}  // namespace etrlrec
