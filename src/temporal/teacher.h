// Teachers write the reasoning a student is distilled on. The programmatic teacher renders true, informative claims in
// the three dimensions and chooses a candidate by scored hypotheses, sampled like a language model at a temperature; it
// does not see the target (no-hint policy). Only where its draws all miss may a hinted draw follow; the flag is stored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/rng.h"
#include "data/dataset.h"
#include "temporal/claims.h"
#include "temporal/facts.h"

namespace etrlrec {

struct TeacherReply {
  std::string reasoning;                        // between the tags, tags not included
  int32_t answer = 0;                           // 1-based
  bool hinted = false;
};

class Teacher {
 public:
  virtual ~Teacher() = default;
  virtual std::string name() const = 0;
  // One draw. `hint` allows the use of request.target_slot, else it is not read.
  virtual TeacherReply reply(const ClaimContext& context, bool hint, Rng& rng) const = 0;
};

struct TeacherOptions {
  double temperature = 1.0;                     // over hypotheses; 0: the best scored one
};
std::unique_ptr<Teacher> programmatic_teacher(const Catalogue& catalogue, const TemporalStatistics& statistics,
                                              const TeacherOptions& options);

}  // namespace etrlrec
