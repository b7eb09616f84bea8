// The teacher "program": renders true, informative claims in the three dimensions and chooses a
// candidate by scored hypotheses. It samples like a language model at a temperature and does not
// see the target unless it is hinted. Which hypothesis holds when (after which gap, in which
// season) is not known to it: it weighs them by how often each was right on all training events.
// That is what reinforcement learning can find out.
//
// In the style "compact" it writes e.g. " trans( drama crime) long( horror) season( winter war)
// gap( 8 now week) order need( crime) pick( CRIME 7)". The word before the need names the
// hypothesis that decides: order (the transition), taste (long-term), season, mood (the last
// entries) or sequel. A need that no candidate meets is followed by lack( crime) and the next
// hypothesis. Where the prompt lists no candidates, nothing is said about them: no sequel( 7), no
// lack, no pick.
//
// Where the request has a recommender's pattern, it says what stands first there, " first( 7)" or
// with answers by title " first( crime)", and " pattern follow( 1)" is one more hypothesis. The
// same of what is chosen lately, " lately( 7)", and of what usually follows, " after( 3)": their
// words are their hypotheses, " lately" and " after". It mentions what is new, " fresh( 2)".
#pragma once

#include <memory>

#include "temporal/statistics.h"
#include "temporal/style.h"
#include "temporal/teacher.h"

namespace etrlrec {

struct TeacherOptions {
  double temperature = 1.0;      // over hypotheses and matches; 0: the best scored one
  bool with_times = true;        // false: no claim about gaps or the season
  bool names_candidates = true;  // by number; false: answers by title, which have none
  // How often the first item of a list is the next one: its score as a hypothesis; 0: it is none.
  double pattern_precision = 0, lately_precision = 0, after_precision = 0;
  std::string style = PromptOptions{}.style;  // a name of prompt_styles()
};
// Errors: kUsage for a negative temperature, kInput for an unknown style. Keeps references to
// catalogue and statistics.
std::unique_ptr<Teacher> program_teacher(const Catalogue& catalogue,
                                         const TemporalStatistics& statistics,
                                         const TeacherOptions& options);

}  // namespace etrlrec
