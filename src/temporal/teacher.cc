#include "temporal/teacher.h"

#include <fmt/format.h>

namespace etrlrec {

std::string Teacher::resume_key(int64_t row) const { return fmt::format("{}/{}", name(), row); }

}  // namespace etrlrec
