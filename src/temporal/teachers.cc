#include "temporal/teachers.h"

#include <fmt/ranges.h>

#include <array>

#include "base/check.h"
#include "temporal/statistics.h"

namespace etrlrec {
namespace {

struct TeacherRow {
  std::string_view name;
  std::unique_ptr<Teacher> (*make)(const Catalogue& catalogue, const TemporalStatistics& statistics,
                                   const TeacherOptions& options);
};
constexpr std::array kTeachers{TeacherRow{"program", program_teacher}};

}  // namespace

std::vector<std::string> teacher_names() {
  std::vector<std::string> names;
  for (const TeacherRow& row : kTeachers) names.emplace_back(row.name);
  return names;
}

std::unique_ptr<Teacher> make_teacher(std::string_view name, const Catalogue& catalogue,
                                      const TemporalStatistics& statistics,
                                      const TeacherOptions& options) {
  for (const TeacherRow& row : kTeachers)
    if (row.name == name) return row.make(catalogue, statistics, options);
  fail(ExitCode::kUsage, "unknown teacher \"{}\"; known: {}", name,
       fmt::join(teacher_names(), ", "));
}

}  // namespace etrlrec
