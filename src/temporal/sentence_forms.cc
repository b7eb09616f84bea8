#include "temporal/sentence_forms.h"

#include <array>

namespace etrlrec {
namespace {

using Text = std::string_view;

constexpr Text kBeforeForms[] = {"{0} came before {1}", "{1} came after {0}"};
constexpr Text kGapForms[] = {"1=now|{0} was chosen {2} ago", "1=now|It has been {2} since {0}",
                              "1=now|The person chose {0} {2} ago", "{1} came {2} after {0}",
                              "{2} after {0} came {1}"};
constexpr Text kSameSessionForms[] = {"{0} and {1} were chosen in one sitting",
                                      "{1} was chosen in the same sitting as {0}"};
constexpr Text kLastSessionForms[] = {"{0} belongs to the latest sitting",
                                      "{0} was chosen in the latest sitting"};
constexpr Text kShiftForms[] = {"The taste changed at {0}", "With {0} the taste changed"};
constexpr Text kTrigForms[] = {"{0} often leads to {1}", "{1} often comes soon after {0}"};
constexpr Text kRecentForms[] = {"{0} is one of the last choices", "{0} was chosen recently"};
constexpr Text kSequelForms[] = {"{0} is the next part of a series",
                                 "{0} continues a series that was begun"};
constexpr Text kSequelOfForms[] = {"{1} is the next part after {0}", "{1} continues {0}"};
constexpr Text kUpForms[] = {"{0} is chosen more and more", "The person turns to {0}",
                             "{0} is chosen {v} times as often as earlier, so more and more"};
constexpr Text kDownForms[] = {"{0} is chosen less and less", "The person turns away from {0}",
                               "{0} is chosen {v} times as often as earlier, so less and less"};
constexpr Text kSteadyForms[] = {"{0} is chosen as often as ever",
                                 "The share of {0} stays the same"};
constexpr Text kCountForms[] = {"{0} was chosen {1} times", "There are {1} choices of {0}"};
constexpr Text kTransForms[] = {"After {0}, {1} follows more often than usual",
                                "{1} often follows {0}",
                                "After {0}, {1} follows {v} times as often as usual",
                                "{1} follows {0} {v} times as often as usual"};
constexpr Text kBundleForms[] = {"{0} and {1} came together lately", "Lately {0} came with {1}"};
constexpr Text kAbsentForms[] = {"{0} was never chosen", "There is no {0} in the history"};
constexpr Text kLongForms[] = {"{0} is the lasting taste", "The lasting taste is {0}",
                               "Over the whole history {0} leads",
                               "{0} is the lasting taste, chosen {v} times"};
constexpr Text kShortForms[] = {"Lately it is {0}", "{0} leads the last choices",
                                "The last choices were mostly {0}"};
constexpr Text kConflictForms[] = {"The lasting taste is {0}, but lately it is {1}",
                                   "Lately it is {1} although the lasting taste is {0}"};
constexpr Text kExplorerForms[] = {"The person likes to try new things",
                                   "{v} percent of the later choices were new kinds, so the person "
                                   "likes to try new things"};
constexpr Text kExploiterForms[] = {
    "The person stays with what is known",
    "{v} percent of the later choices were new kinds, so the person "
    "stays with what is known"};
constexpr Text kStageForms[] = {"0=new|The person is new here",
                                "0=active|The person comes regularly",
                                "0=returning|The person is back after a long pause"};
constexpr Text kDueForms[] = {"{0} is due again", "It is time for {0} again",
                              "{0} is due after {v} times its usual pause"};
constexpr Text kRepeatForms[] = {"{0} often comes twice in a row",
                                 "One {0} is often followed by another",
                                 "{0} comes twice in a row {v} percent of the times"};
constexpr Text kSeasonForms[] = {
    "{0} is a favourite of this season", "{0} is chosen more often at this time of the year",
    "At this time of the year {0} is chosen {v} times as often as usual"};
constexpr Text kSeasonNamedForms[] = {"In {0}, {1} is chosen more often than usual",
                                      "{1} is a favourite of {0}",
                                      "In {0}, {1} is chosen {v} times as often as usual"};
constexpr Text kHasForms[] = {"{0} is {1}", "{0} has {1}"};
constexpr Text kHasOfForms[] = {"{1} is {0}"};
constexpr Text kHasTwoForms[] = {"{1} is {0} and {2}", "{1} has {0} and {2}"};
constexpr Text kHasTwoOfForms[] = {"{2} is {0} and {1}"};
constexpr Text kLackForms[] = {"None of the candidates is {0}", "There is no {0} to choose from"};
constexpr Text kNeedForms[] = {"It should be {0}", "The next choice should be {0}",
                               "So {0} is wanted"};
constexpr Text kNeedTwoForms[] = {"It should be {0} and {1}",
                                  "The next choice should be {0} and {1}",
                                  "So {0} and {1} are wanted"};
constexpr Text kAvoidForms[] = {"It should not be {0}", "The next choice should not be {0}"};
constexpr Text kPruneForms[] = {"It is not {0}", "{0} is ruled out"};
constexpr Text kPickForms[] = {"The choice is {0}", "So it will be {0}"};
constexpr Text kPickForForms[] = {"The choice is {1}, as it is {0}",
                                  "So it will be {1}, as it is {0}"};
constexpr Text kPickForTwoForms[] = {"The choice is {2}, as it is {0} and {1}",
                                     "So it will be {2}, as it is {0} and {1}"};
constexpr Text kFirstForms[] = {"{0} is first on the recommender's list",
                                "The recommender puts {0} first"};
constexpr Text kFirstOfForms[] = {"The recommender's list begins with {0}"};
constexpr Text kRankForms[] = {"{0} is number {1} on the recommender's list",
                               "The recommender puts {0} on place {1}"};
constexpr Text kFollowForms[] = {"The choice is number {0} of the recommender's list",
                                 "So it will be the recommender's number {0}"};
constexpr Text kLatelyForms[] = {"{0} is what most people choose now",
                                 "Most people now choose {0}"};
constexpr Text kLatelyOfForms[] = {"What most people choose now is {0}"};
constexpr Text kAfterForms[] = {"{0} is what others chose next", "Most others went on with {0}"};
constexpr Text kAfterOfForms[] = {"What others chose next is {0}"};
constexpr Text kFreshForms[] = {"{0} is new in the catalogue", "{0} has just appeared"};
constexpr Text kFreshOfForms[] = {"The newest item is {0}"};

constexpr std::array kForms{
    SentenceForms{"before(entry,entry)", kBeforeForms},
    SentenceForms{"gap(entry,moment,bucket)", kGapForms},
    SentenceForms{"same_session(entry,entry)", kSameSessionForms},
    SentenceForms{"last_session(entry)", kLastSessionForms},
    SentenceForms{"shift(entry)", kShiftForms},
    SentenceForms{"trig(entry,entry)", kTrigForms},
    SentenceForms{"recent(entry)", kRecentForms},
    SentenceForms{"sequel(candidate)", kSequelForms},
    SentenceForms{"sequel(entry,candidate)", kSequelOfForms},
    SentenceForms{"up(attribute)", kUpForms},
    SentenceForms{"down(attribute)", kDownForms},
    SentenceForms{"steady(attribute)", kSteadyForms},
    SentenceForms{"count(attribute,number)", kCountForms},
    SentenceForms{"trans(attribute,attribute)", kTransForms},
    SentenceForms{"bundle(attribute,attribute)", kBundleForms},
    SentenceForms{"absent(attribute)", kAbsentForms},
    SentenceForms{"long(attribute)", kLongForms},
    SentenceForms{"short(attribute)", kShortForms},
    SentenceForms{"conflict(attribute,attribute)", kConflictForms},
    SentenceForms{"explorer()", kExplorerForms},
    SentenceForms{"exploiter()", kExploiterForms},
    SentenceForms{"stage(stage)", kStageForms},
    SentenceForms{"due(attribute)", kDueForms},
    SentenceForms{"repeat(attribute)", kRepeatForms},
    SentenceForms{"season(attribute)", kSeasonForms},
    SentenceForms{"season(season,attribute)", kSeasonNamedForms},
    SentenceForms{"has(candidate,attribute)", kHasForms},
    SentenceForms{"has(attribute,candidate)", kHasOfForms},
    SentenceForms{"has(attribute,candidate,attribute)", kHasTwoForms},
    SentenceForms{"has(attribute,attribute,candidate)", kHasTwoOfForms},
    SentenceForms{"lack(attribute)", kLackForms},
    SentenceForms{"need(attribute)", kNeedForms},
    SentenceForms{"need(attribute,attribute)", kNeedTwoForms},
    SentenceForms{"avoid(attribute)", kAvoidForms},
    SentenceForms{"prune(candidate)", kPruneForms},
    SentenceForms{"pick(candidate)", kPickForms},
    SentenceForms{"pick(attribute,candidate)", kPickForForms},
    SentenceForms{"pick(attribute,attribute,candidate)", kPickForTwoForms},
    SentenceForms{"first(candidate)", kFirstForms},
    SentenceForms{"first(attribute)", kFirstOfForms},
    SentenceForms{"rank(candidate,place)", kRankForms},
    SentenceForms{"follow(place)", kFollowForms},
    SentenceForms{"lately(candidate)", kLatelyForms},
    SentenceForms{"lately(attribute)", kLatelyOfForms},
    SentenceForms{"after(candidate)", kAfterForms},
    SentenceForms{"after(attribute)", kAfterOfForms},
    SentenceForms{"fresh(candidate)", kFreshForms},
    SentenceForms{"fresh(attribute)", kFreshOfForms},
};

constexpr std::array kDecisions{
    Decision{"order", "What usually follows decides"},
    Decision{"taste", "The lasting taste decides"},
    Decision{"season", "The season decides"},
    Decision{"mood", "The latest mood decides"},
    Decision{"sequel", "The next part of a series decides"},
    Decision{"pattern", "The recommender's list decides"},
    Decision{"lately", "What most people choose now decides"},
    Decision{"after", "What others chose next decides"},
};

}  // namespace

std::span<const SentenceForms> sentence_forms() { return kForms; }
std::span<const Decision> decisions() { return kDecisions; }

std::string_view decision_sentence(std::string_view word) {
  for (const Decision& decision : kDecisions)
    if (decision.word == word) return decision.sentence;
  return {};
}

}  // namespace etrlrec
