#include "temporal/style.h"

#include <array>

namespace etrlrec {

const char* answer_code_name(AnswerCode code) {
  constexpr std::array<const char*, 7> kNames{"valid",          "no_reasoning", "no_answer",
                                              "not_an_integer", "out_of_range", "trailing_text",
                                              "repeated_tag"};
  return kNames.at(static_cast<size_t>(code));
}

}  // namespace etrlrec
