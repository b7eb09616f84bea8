// The table of teachers by name.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "temporal/program_teacher.h"
#include "temporal/statistics.h"
#include "temporal/teacher.h"

namespace etrlrec {

std::vector<std::string> teacher_names();
// Keeps references to catalogue and statistics. Errors (kUsage): an unknown name (the known ones
// are listed), options that the teacher refuses.
std::unique_ptr<Teacher> make_teacher(std::string_view name, const Catalogue& catalogue,
                                      const TemporalStatistics& statistics,
                                      const TeacherOptions& options);

}  // namespace etrlrec
