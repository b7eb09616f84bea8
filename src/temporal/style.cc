#include "temporal/style.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr std::array<const char*, 5> kKnowledge{"none", "time", "pattern", "time+pattern", "list"};

}  // namespace

AnswerKind answer_kind(std::string_view name) {
  CHECK(name == "number" || name == "title", kUsage,
        "answer: expected number or title, found \"{}\"", name);
  return name == "title" ? AnswerKind::kTitle : AnswerKind::kNumber;
}

Knowledge knowledge(std::string_view name) {
  const auto found = std::find(kKnowledge.begin(), kKnowledge.end(), name);
  CHECK(found != kKnowledge.end(), kUsage, "knowledge: expected one of {}, found \"{}\"",
        fmt::join(kKnowledge, ", "), name);
  return static_cast<Knowledge>(found - kKnowledge.begin());
}

const char* knowledge_name(Knowledge knowledge) {
  return kKnowledge.at(static_cast<size_t>(knowledge));
}

std::vector<std::string> knowledge_names() { return {kKnowledge.begin(), kKnowledge.end()}; }

bool knows_time(Knowledge knowledge) {
  return knowledge == Knowledge::kTime || knowledge == Knowledge::kTimePattern;
}

bool knows_pattern(Knowledge knowledge) {
  return knowledge == Knowledge::kPattern || knowledge == Knowledge::kTimePattern ||
         knowledge == Knowledge::kList;
}

int32_t usual_history(AnswerKind kind) { return kind == AnswerKind::kTitle ? 50 : 8; }

const char* answer_kind_name(AnswerKind kind) {
  return kind == AnswerKind::kTitle ? "title" : "number";
}

const char* answer_code_name(AnswerCode code) {
  constexpr std::array<const char*, 8> kNames{"valid",          "no_reasoning", "no_answer",
                                              "not_an_integer", "out_of_range", "trailing_text",
                                              "repeated_tag",   "no_candidate"};
  return kNames.at(static_cast<size_t>(code));
}

}  // namespace etrlrec
