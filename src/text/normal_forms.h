// Unicode normal forms in linear time but for a sort, also of long runs of marks, which utf8proc's
// own mapping orders in quadratic time. Internal to text/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace etrlrec {

enum class NormalForm : int8_t { kNfc, kNfd, kNfkc, kNfkd };

std::string normal_form(std::string_view text, NormalForm form);

}  // namespace etrlrec
