// A teacher writes the reasoning a student is distilled on. Its interface takes batches; today
// every caller asks about one row. teachers.h has the table of teachers. A new one is a unit like
// program_teacher, a row in teachers.cc and a test.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "temporal/claims.h"

namespace etrlrec {

struct TeacherReply {
  std::string reasoning;  // between the tags, tags not included; begins with a blank
  int32_t answer = 0;     // 1-based
  bool hinted = false;
};

// One draw for one row.
struct TeacherRequest {
  ClaimContext context;
  Rng& rng;             // the row's stream; its draws are asked for in order
  int32_t draw = 0;     // of this row, from 0, hinted ones after the others
  bool hinted = false;  // allows the use of request.target_slot, else it is not read
};

class Teacher {
 public:
  virtual ~Teacher() = default;
  virtual std::string name() const = 0;
  // One reply per request, in their order. May be called by several threads with different rows.
  // Errors (kInput): a request without candidates, a hint without a target slot.
  virtual std::vector<TeacherReply> reply(std::span<const TeacherRequest> requests) const = 0;
  // Under this key a stopped run keeps what it has for a row of a candidate set and finds it again.
  virtual std::string resume_key(int64_t row) const;
};

}  // namespace etrlrec
