#include "temporal/program_teacher.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "temporal/gaps.h"
#include "temporal/names.h"
#include "temporal/profile.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

// Hypotheses with less than this share of the best one's precision are not drawn; they still follow
// where the drawn one fails.
constexpr double kDrawnShare = 0.3;
constexpr size_t kMaxLacks = 3;

// `source` is the word that names it in the text.
struct Hypothesis {
  const char* source = "";
  int32_t attribute = -1;
  int32_t candidate = -1;  // from 0; an item instead of an attribute
  double score = 0;
  bool is_pattern = false;  // the candidate is the recommender's first one
};

// What the facts say about one request, as the hypotheses and claims need it. -1: nothing.
struct Evidence {
  int32_t last_lead = -1, successor = -1, lasting = -1, favoured = -1, recent = -1, next_part = -1,
          recommended = -1, popular = -1, usual = -1;  // the last four: candidates
};

using Statements = std::vector<Statement>;

void say(Statements& said, std::string_view predicate,
         std::initializer_list<std::string_view> arguments) {
  Statement& statement = said.emplace_back();
  statement.claim.predicate = predicate;
  for (const std::string_view argument : arguments)
    statement.claim.arguments.emplace_back(argument);
}

int32_t first_candidate(const std::vector<FactSheet::Place>& places) {
  return places.empty() ? -1 : places.front().candidate;
}

class ProgramTeacher : public Teacher {
 public:
  ProgramTeacher(const Catalogue& catalogue, const TemporalStatistics& statistics,
                 const TeacherOptions& options)
      : catalogue_(catalogue),
        statistics_(statistics),
        options_(options),
        style_(find_style(options.style)) {
    CHECK(options.temperature >= 0 && std::isfinite(options.temperature), kUsage,
          "teacher: expected a temperature of 0 or more, found {}", options.temperature);
  }

  std::string name() const override { return "program"; }

  std::vector<TeacherReply> reply(std::span<const TeacherRequest> requests) const override {
    std::vector<TeacherReply> replies;
    for (const TeacherRequest& request : requests)
      replies.push_back(reply_to(request.context, request.hinted, request.rng));
    return replies;
  }

 private:
  TeacherReply reply_to(const ClaimContext& context, bool hint, Rng& rng) const {
    const Request& request = context.request;
    const auto n = static_cast<int32_t>(request.candidates.size());
    CHECK(n > 0, kInput, "teacher: expected candidates, found none");
    CHECK(!hint || (request.target_slot >= 0 && request.target_slot < n), kInput,
          "teacher: a hint needs a target slot below {}, found {}", n, request.target_slot);
    const Evidence evidence = gather(context);
    Statements said;
    write_facts(context, evidence, said);
    const int32_t candidate =
        hint ? explain_target(context, evidence, said) : choose(context, evidence, rng, said);
    return {style_.reasoning(said, context, rng), candidate + 1, hint};
  }

  std::string word(int32_t attribute) const { return attribute_word(catalogue_, attribute); }
  bool one_field() const { return season_field(catalogue_) == 0; }

  // Whether the last entries' taste is ever drawn; where it is not, it is not mentioned either.
  bool recent_matters() const {
    const HypothesisPrecision& p = statistics_.precision;
    const double rival = one_field() ? std::max({p.transition, p.long_term, p.season}) : p.season;
    return p.recent >= kDrawnShare * rival;
  }

  Evidence gather(const ClaimContext& context) const {
    Evidence e;
    const FactSheet& facts = context.facts;
    e.recommended = first_candidate(facts.pattern);
    e.popular = first_candidate(facts.lately);
    e.usual = first_candidate(facts.after);
    if (catalogue_.fields.empty()) return e;
    const int32_t field = season_field(catalogue_);
    if (!context.request.history.empty()) {
      e.last_lead = lead_attribute(catalogue_, context.request.history.back(), 0);
      if (e.last_lead >= 0) e.successor = statistics_.likely_successor[e.last_lead];
      if (e.successor >= 0 &&
          sheet_transition_lift(facts, e.last_lead, e.successor) < kTransitionLift)
        e.successor = -1;
    }
    e.lasting = leader_of(facts.long_term, catalogue_, 0);
    e.recent = leader_of(facts.short_term, catalogue_, field);
    if (options_.with_times) {
      e.favoured = statistics_.season_favourite[facts.season * catalogue_.fields.size() + field];
      const AttributeFact* fact = e.favoured < 0 ? nullptr : find_fact(facts, e.favoured);
      if (fact == nullptr || fact->season_lift < kSeasonLift) e.favoured = -1;
    }
    const auto last = static_cast<int32_t>(context.request.history.size()) - 1;
    for (const EntryPair& pair : facts.sequels)
      if (pair.first == last && e.next_part < 0) e.next_part = pair.second;
    return e;
  }

  void write_facts(const ClaimContext& context, const Evidence& e, Statements& out) const {
    const size_t n = context.request.history.size();
    if (e.successor >= 0)
      say(out, "trans", {word(e.last_lead), word(e.successor)});
    else
      write_direction(context, e, out);
    if (e.lasting >= 0) say(out, "long", {word(e.lasting)});
    if (e.favoured >= 0) say(out, "season", {season_word(context.facts.season), word(e.favoured)});
    if (e.recent >= 0 && recent_matters()) say(out, "short", {word(e.recent)});
    if (e.next_part >= 0 && options_.names_candidates)
      say(out, "sequel", {std::to_string(e.next_part + 1)});
    const FactSheet& facts = context.facts;
    write_first("lately", facts.lately, out);
    write_first("after", facts.after, out);
    write_first("fresh", facts.fresh, out);
    write_first("first", facts.pattern, out);
    // Last, so that the decision follows right after the pause it may depend on.
    if (options_.with_times && n > 0)
      say(out, "gap", {std::to_string(n), "now", gap_word(context.facts.gaps[n])});
  }

  // What stands first in a list.
  void write_first(const char* predicate, const std::vector<FactSheet::Place>& places,
                   Statements& out) const {
    if (places.empty()) return;
    const FactSheet::Place& first = places.front();
    if (options_.names_candidates && first.candidate >= 0)
      say(out, predicate, {std::to_string(first.candidate + 1)});
    const int32_t lead = lead_attribute(catalogue_, first.item, 0);
    if (!options_.names_candidates && lead >= 0) say(out, predicate, {word(lead)});
  }

  // Where no transition is known, IAT tells how the leading attribute moved, or in short histories
  // its count.
  void write_direction(const ClaimContext& context, const Evidence& e, Statements& out) const {
    const AttributeFact* fact = e.lasting < 0 ? nullptr : find_fact(context.facts, e.lasting);
    if (fact == nullptr) return;
    if (fact->direction != 0)
      say(out, fact->direction > 0 ? "up" : "down", {word(e.lasting)});
    else
      say(out, "count", {word(e.lasting), std::to_string(fact->count)});
  }

  // How sure a next part on offer is: its precision against the chance that a random candidate is
  // that very item.
  double sequel_score(size_t candidates) const {
    const double p = statistics_.precision.sequel;
    const double random = static_cast<double>(candidates - 1) /
                          static_cast<double>(std::max<int64_t>(catalogue_.num_items(), 1));
    return p / (p + (1 - p) * random);
  }

  // Best first.
  std::vector<Hypothesis> lead_hypotheses(const Evidence& e, size_t candidates) const {
    const HypothesisPrecision& p = statistics_.precision;
    std::vector<Hypothesis> all{{"order", e.successor, -1, p.transition},
                                {"taste", e.lasting, -1, p.long_term}};
    if (one_field()) {
      all.push_back({"season", e.favoured, -1, p.season});
      all.push_back({"mood", e.recent, -1, p.recent});
    }
    std::erase_if(all, [](const Hypothesis& h) { return h.attribute < 0; });
    if (e.next_part >= 0) all.push_back({"sequel", -1, e.next_part, sequel_score(candidates)});
    if (e.recommended >= 0 && options_.pattern_precision > 0)
      all.push_back({"pattern", -1, e.recommended, options_.pattern_precision, true});
    if (e.popular >= 0 && options_.lately_precision > 0)
      all.push_back({"lately", -1, e.popular, options_.lately_precision});
    if (e.usual >= 0 && options_.after_precision > 0)
      all.push_back({"after", -1, e.usual, options_.after_precision});
    sort_by_score(all);
    return all;
  }

  std::vector<Hypothesis> second_hypotheses(const Evidence& e) const {
    if (one_field()) return {};
    std::vector<Hypothesis> all{{"season", e.favoured, -1, statistics_.precision.season},
                                {"mood", e.recent, -1, statistics_.precision.recent}};
    std::erase_if(all, [](const Hypothesis& h) { return h.attribute < 0; });
    sort_by_score(all);
    return all;
  }

  static void sort_by_score(std::vector<Hypothesis>& all) {
    std::stable_sort(all.begin(), all.end(),
                     [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  }

  // Moves a drawn one of the good ones to the front.
  void draw_first(std::vector<Hypothesis>& all, Rng& rng) const {
    std::vector<double> scores;
    for (const Hypothesis& h : all)
      if (h.score >= kDrawnShare * all.front().score) scores.push_back(h.score);
    const size_t drawn = draw(scores, rng);
    std::rotate(all.begin(), all.begin() + static_cast<int64_t>(drawn),
                all.begin() + static_cast<int64_t>(drawn) + 1);
  }

  // Index by score^(1 / temperature). One random number each time, so that streams stay aligned.
  size_t draw(const std::vector<double>& scores, Rng& rng) const {
    const double most = *std::max_element(scores.begin(), scores.end());
    std::vector<double> weights;
    for (const double score : scores) {
      const double ratio = score / most;
      weights.push_back(options_.temperature > 0 ? std::pow(ratio, 1 / options_.temperature)
                                                 : static_cast<double>(ratio == 1));
    }
    if (options_.temperature == 0)
      return static_cast<size_t>(std::find(weights.begin(), weights.end(), 1.0) - weights.begin());
    return rng.weighted(weights);
  }

  // The candidate, from 0.
  int32_t choose(const ClaimContext& context, const Evidence& e, Rng& rng, Statements& said) const {
    std::vector<Hypothesis> leads = lead_hypotheses(e, context.request.candidates.size());
    std::vector<Hypothesis> seconds = second_hypotheses(e);
    if (!leads.empty()) draw_first(leads, rng);
    if (!seconds.empty()) draw_first(seconds, rng);
    std::vector<int32_t> tried;
    for (const Hypothesis& lead : leads) {
      if (lead.candidate >= 0) {
        write_source(lead, said);
        return finish(context, lead.candidate, -1, said);
      }
      if (std::find(tried.begin(), tried.end(), lead.attribute) != tried.end()) continue;
      if (tried.size() == kMaxLacks) break;
      tried.push_back(lead.attribute);
      write_source(lead, said);
      write_need(lead.attribute, seconds, said);
      std::vector<int32_t> matches =
          with_attribute(all_candidates(context), lead.attribute, context);
      if (matches.empty()) {
        if (options_.names_candidates) say(said, "lack", {word(lead.attribute)});
        continue;
      }
      return finish(context, narrow_and_draw(matches, seconds, context, rng), lead.attribute, said);
    }
    std::vector<int32_t> all = all_candidates(context);
    return finish(context, narrow_and_draw(all, seconds, context, rng), -1, said);
  }

  // The decision in one word, right after its evidence: a small model can learn it, and
  // reinforcement can give credit to it.
  static void write_source(const Hypothesis& hypothesis, Statements& out) {
    Statement& decision = out.emplace_back();
    decision.claim.predicate = hypothesis.source;
    decision.is_decision = true;
    if (hypothesis.is_pattern) say(out, "follow", {"1"});
  }

  void write_need(int32_t attribute, const std::vector<Hypothesis>& seconds,
                  Statements& out) const {
    say(out, "need", {word(attribute)});
    if (!seconds.empty()) out.back().claim.arguments.push_back(word(seconds.front().attribute));
  }

  static std::vector<int32_t> all_candidates(const ClaimContext& context) {
    std::vector<int32_t> all(context.request.candidates.size());
    for (size_t k = 0; k < all.size(); ++k) all[k] = static_cast<int32_t>(k);
    return all;
  }

  std::vector<int32_t> with_attribute(const std::vector<int32_t>& candidates, int32_t attribute,
                                      const ClaimContext& context) const {
    std::vector<int32_t> kept;
    for (const int32_t k : candidates)
      if (has_attribute(catalogue_, context.request.candidates[k], attribute)) kept.push_back(k);
    return kept;
  }

  // Among the matches those with the wished second attribute, where there are any; then by
  // popularity before now.
  int32_t narrow_and_draw(std::vector<int32_t> matches, const std::vector<Hypothesis>& seconds,
                          const ClaimContext& context, Rng& rng) const {
    if (!seconds.empty()) {
      auto narrower = with_attribute(matches, seconds.front().attribute, context);
      if (!narrower.empty()) matches = std::move(narrower);
    }
    std::vector<double> scores;
    for (const int32_t k : matches)
      scores.push_back(1.0 + static_cast<double>(context.facts.candidate_events[k]));
    return matches[draw(scores, rng)];
  }

  // pick( KEY 7): the key is what was looked for, or else what leads the candidate's line in the
  // prompt.
  int32_t finish(const ClaimContext& context, int32_t candidate, int32_t key,
                 Statements& said) const {
    if (!options_.names_candidates) return candidate;
    if (key < 0) key = lead_attribute(catalogue_, context.request.candidates[candidate], 0);
    const std::string number = std::to_string(candidate + 1);
    if (key < 0)
      say(said, "pick", {number});
    else
      say(said, "pick", {key_word(catalogue_, key), number});
    return candidate;
  }

  // The best scored hypothesis that fits the target, else the target's own attributes.
  int32_t explain_target(const ClaimContext& context, const Evidence& e, Statements& said) const {
    const int32_t slot = context.request.target_slot;
    const int32_t item = context.request.candidates[slot];
    std::vector<Hypothesis> seconds = second_hypotheses(e);
    std::erase_if(seconds, [&](const Hypothesis& h) {
      return !has_attribute(catalogue_, item, h.attribute);
    });
    int32_t key = lead_attribute(catalogue_, item, 0);
    for (const Hypothesis& lead : lead_hypotheses(e, context.request.candidates.size())) {
      if (lead.candidate == slot) {
        write_source(lead, said);
        return finish(context, slot, -1, said);
      }
      if (lead.candidate < 0 && has_attribute(catalogue_, item, lead.attribute)) {
        write_source(lead, said);
        key = lead.attribute;
        break;
      }
    }
    if (key >= 0) write_need(key, seconds, said);
    return finish(context, slot, key, said);
  }

  const Catalogue& catalogue_;
  const TemporalStatistics& statistics_;
  const TeacherOptions options_;
  const PromptStyle& style_;
};

}  // namespace

std::unique_ptr<Teacher> program_teacher(const Catalogue& catalogue,
                                         const TemporalStatistics& statistics,
                                         const TeacherOptions& options) {
  return std::make_unique<ProgramTeacher>(catalogue, statistics, options);
}

}  // namespace etrlrec
