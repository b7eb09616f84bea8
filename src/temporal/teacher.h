// Teachers write the reasoning a student is distilled on. The programmatic teacher renders true,
// informative claims in the three dimensions and chooses a candidate by scored hypotheses, sampled
// like a language model at a temperature; it does not see the target (no-hint policy). Only where
// its draws all miss may a hinted draw follow; the flag is stored.
//
// Which hypothesis holds when (after which gap, in which season) is not known to it: it weighs them
// by how often each was right on all training events. That is what reinforcement learning can find
// out.
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
  std::string reasoning;  // between the tags, tags not included; begins with a blank
  int32_t answer = 0;     // 1-based
  bool hinted = false;
};

class Teacher {
 public:
  virtual ~Teacher() = default;
  virtual std::string name() const = 0;
  // One draw. `hint` allows the use of request.target_slot, else it is not read.
  // Errors (kInput): a request without candidates, a hint without a target slot.
  virtual TeacherReply reply(const ClaimContext& context, bool hint, Rng& rng) const = 0;
};

struct TeacherOptions {
  double temperature = 1.0;  // over hypotheses and matches; 0: the best scored one
  bool with_times =
      true;  // false: no claim about gaps or the season (the ablation without timestamps)
};
// Writes e.g. " trans( drama crime) long( horror) season( winter war) gap( 8 now week) so order
// need( crime) pick( CRIME 7)". The word behind "so" names the hypothesis that decides: order (the
// transition), taste (long-term), season, mood (the last entries) or sequel. A need that no
// candidate meets is followed by lack( crime) and the next hypothesis.
std::unique_ptr<Teacher> programmatic_teacher(const Catalogue& catalogue,
                                              const TemporalStatistics& statistics,
                                              const TeacherOptions& options);

}  // namespace etrlrec
