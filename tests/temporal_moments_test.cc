// Knowledge "time": lists against counts from their definitions, their lines in prompts, the claims
// about them, and what the teacher says of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/histories.h"
#include "temporal/moments.h"
#include "temporal/predicates.h"
#include "temporal/program_teacher.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

// 40 users of eight events on whole days, so that many share their time. Item 6 is chosen late
// only.
Dataset made_log(uint64_t seed) {
  Dataset log;
  log.catalogue = small_catalogue();  // 7 items
  log.user_offsets = {0};
  Rng rng(seed, "moments test");
  for (int32_t user = 0; user < 40; ++user) {
    log.user_ids.push_back("u" + std::to_string(user));
    for (int64_t event = 0; event < 8; ++event) {
      log.items.push_back(event >= 6 && rng.chance(0.4) ? 6 : static_cast<int32_t>(rng.below(6)));
      log.times.push_back(kJanuary + (12 * event + static_cast<int64_t>(rng.below(12))) * kDay);
    }
    log.user_offsets.push_back(8 * (user + 1));
  }
  return log;
}

// Best first, equal counts in the order of `items`; none without a count.
std::vector<int32_t> slow_best(const std::vector<int32_t>& items,
                               const std::map<int32_t, double>& counts, size_t most) {
  std::vector<int32_t> best;
  for (const int32_t item : items)
    if (counts.contains(item) && counts.at(item) > 0) best.push_back(item);
  std::stable_sort(best.begin(), best.end(),
                   [&](int32_t a, int32_t b) { return counts.at(a) > counts.at(b) * (1 + 1e-12); });
  if (best.size() > most) best.resize(most);
  return best;
}

// From the definitions, one look at all events for each item.
KnownItems slow_lists(const Dataset& log, const Request& request, size_t most) {
  const std::vector<int32_t> title = canonical_items(log.catalogue);
  const auto title_of = [&](size_t i) { return title[static_cast<size_t>(log.items[i])]; };
  std::map<int32_t, double> lately, after, fresh;
  std::vector<int32_t> items = request.candidates;
  if (items.empty())
    for (int32_t item = 0; item < log.catalogue.num_items(); ++item)
      if (title[static_cast<size_t>(item)] == item) items.push_back(item);
  for (const int32_t item : items) {
    const int32_t of = title[static_cast<size_t>(item)];
    int64_t first = request.now;
    for (size_t i = 0; i < log.items.size(); ++i) {
      if (log.times[i] >= request.now || title_of(i) != of) continue;
      lately[item] += std::exp2(-static_cast<double>(request.now - log.times[i]) / kDay / 30);
      first = std::min(first, log.times[i]);
      const bool is_first_of_user = i % 8 == 0;
      if (!is_first_of_user && !request.history.empty() &&
          title_of(i - 1) == title[static_cast<size_t>(request.history.back())])
        ++after[item];
    }
    if (first < request.now && first >= request.now - 30 * kDay) fresh[item] = lately[item];
  }
  KnownItems known;
  known.lately = slow_best(items, lately, most);
  known.after = slow_best(items, after, most);
  known.fresh = slow_best(items, fresh, most);
  return known;
}

TEST(Moments, are_what_all_events_strictly_before_say) {
  Dataset log = made_log(1);
  for (const bool equal_titles : {false, true}) {
    if (equal_titles) log.catalogue.titles[1] = log.catalogue.titles[4] = "Twins";
    const Moments moments(log);
    Rng rng(5, "moments");
    int64_t listed = 0;
    for (int trial = 0; trial < 200; ++trial) {
      Request request;
      request.now = kJanuary + static_cast<int64_t>(rng.below(110)) * kDay;
      if (trial % 5 != 0) request.history = {3, static_cast<int32_t>(rng.below(7))};
      request.times.assign(request.history.size(), request.now);
      if (trial % 3 != 0) request.candidates = {5, 4, 0, 6, 1};
      const auto most = static_cast<int32_t>(1 + rng.below(7));
      const KnownItems slow = slow_lists(log, request, static_cast<size_t>(most));
      request.known = moments.known(request, most, false);
      EXPECT_EQ(request.known.lately, slow.lately) << trial;
      EXPECT_EQ(request.known.after, slow.after) << trial;
      EXPECT_EQ(request.known.fresh, slow.fresh) << trial;
      EXPECT_TRUE(request.known.pattern.empty());
      listed += std::ssize(slow.after) + std::ssize(slow.fresh);
    }
    EXPECT_GT(listed, 200);
  }
}

TEST(Moments, do_not_know_the_request_or_anything_after_it) {
  Dataset log = made_log(2);
  Request request;
  request.now = kJanuary + 80 * kDay;
  request.history = {3, 2};
  request.times = {kJanuary, kJanuary + 70 * kDay};
  Request later = request;
  request.known = Moments(log).known(request, 7, false);
  EXPECT_FALSE(request.known.fresh.empty());
  // Everybody's events from then on are others.
  for (size_t i = 0; i < log.items.size(); ++i)
    if (log.times[i] >= request.now) log.items[i] = 1;
  later.known = Moments(log).known(later, 7, false);
  EXPECT_EQ(later.known.lately, request.known.lately);
  EXPECT_EQ(later.known.after, request.known.after);
  EXPECT_EQ(later.known.fresh, request.known.fresh);
}

TEST(Moments, leave_out_what_was_seen_where_they_are_told_to) {
  const Moments moments(made_log(3));
  Request request;
  request.now = kJanuary + 90 * kDay;
  request.history = {3, 6};
  request.times = {kJanuary, kJanuary};
  request.known = moments.known(request, 7, false);
  EXPECT_EQ(request.known.lately.size(), 7u);
  request.known = moments.known(request, 7, true);
  EXPECT_EQ(request.known.lately.size(), 5u);
  for (const auto* items : {&request.known.lately, &request.known.after, &request.known.fresh})
    for (const int32_t seen : request.history)
      EXPECT_EQ(std::count(items->begin(), items->end(), seen), 0);
}

// Candidates 4, 1 and 3 lately, 3 usually, 1 new.
Request known_request() {
  Request request = small_request();
  request.known.lately = {6, 1, 4};
  request.known.after = {4};
  request.known.fresh = {1};
  return request;
}

TEST(TimeLines, stand_after_the_candidates_by_their_numbers) {
  const std::string plain = student_prompt(small_catalogue(), known_request(), {});
  EXPECT_EQ(plain, student_prompt(small_catalogue(), small_request(), {}));
  const std::string end = "\n<reasoning>";
  const std::string head = plain.substr(0, plain.size() - end.size());
  const PromptOptions time{.knowledge = Knowledge::kTime};
  EXPECT_EQ(student_prompt(small_catalogue(), known_request(), time),
            head + "\nLately; 4; 1; 3\nAfter; 3\nNew; 1" + end);
  // Nothing new is something to know.
  EXPECT_EQ(student_prompt(small_catalogue(), small_request(), time),
            head + "\nLately\nAfter\nNew" + end);
  Request both = known_request();
  both.known.pattern = {1};
  EXPECT_THROW(
      student_prompt(small_catalogue(), known_request(), {.knowledge = Knowledge::kTimePattern}),
      Error);
  EXPECT_EQ(student_prompt(small_catalogue(), both, {.knowledge = Knowledge::kTimePattern}),
            head + "\nLately; 4; 1; 3\nAfter; 3\nNew; 1\nPattern; 1" + end);
}

TEST(TimeLines, stand_between_history_and_moment_by_title) {
  const PromptOptions time{
      .reasoning = false, .answer = AnswerKind::kTitle, .knowledge = Knowledge::kTime};
  const std::string prompt = student_prompt(small_catalogue(), known_request(), time);
  EXPECT_TRUE(
      prompt.ends_with("\nLately; Hollow River II; Paper Crown; Lost Meadow;"
                       "\nAfter; Lost Meadow;\nNew; Paper Crown; week winter"))
      << prompt;
}

TEST(ListedCandidates, stand_in_prompts_with_answers_by_title) {
  const PromptOptions listed{
      .reasoning = false, .answer = AnswerKind::kTitle, .list_candidates = true};
  Request request = small_request();
  const std::string prompt = student_prompt(small_catalogue(), request, listed);
  std::string line = "\nCandidates";
  for (const int32_t item : request.candidates)
    line += "; " + small_catalogue().titles[static_cast<size_t>(item)];
  EXPECT_TRUE(prompt.ends_with(line + "; week winter")) << prompt;
  request.candidates.clear();
  EXPECT_THROW(student_prompt(small_catalogue(), request, listed), Error);
}

TEST(TimeClaims, are_judged_by_the_lists_of_the_prompt) {
  const Catalogue catalogue = small_catalogue();
  const TemporalStatistics statistics = small_statistics();
  const Request request = known_request();
  const FactSheet facts = compute_facts(catalogue, statistics, request);
  const ClaimContext context{catalogue, request, facts};
  for (const std::string_view text : {"lately( 4)", "lately( drama)", "after( 3)", "after( horror)",
                                      "fresh( 1)", "fresh( crime)"})
    EXPECT_EQ(verdict_of(text, context), Verdict::kTrue) << text;
  for (const std::string_view text :
       {"lately( 1)", "lately( crime)", "after( 4)", "after( drama)", "fresh( 4)", "fresh( drama)"})
    EXPECT_EQ(verdict_of(text, context), Verdict::kFalse) << text;
  for (const std::string_view text : {"lately( 9)", "after()", "fresh( 0)", "lately( 4 1)"})
    EXPECT_EQ(verdict_of(text, context), Verdict::kUnverifiable) << text;
  const OrderedJson json = to_json(facts, catalogue);
  EXPECT_EQ(json["lately"], OrderedJson({"Hollow River II", "Paper Crown", "Lost Meadow"}));
  EXPECT_EQ(json["after"], OrderedJson({"Lost Meadow"}));
  EXPECT_EQ(json["fresh"], OrderedJson({"Paper Crown"}));

  const Request plain = small_request();
  const FactSheet without = compute_facts(catalogue, statistics, plain);
  for (const std::string_view text : {"lately( 4)", "after( 3)", "fresh( 1)", "fresh( crime)"})
    EXPECT_EQ(verdict_of(text, {catalogue, plain, without}), Verdict::kUnverifiable) << text;
  EXPECT_FALSE(to_json(without, catalogue).contains("lately"));
  Request outside = plain;
  outside.known.after = {99};
  EXPECT_THROW(compute_facts(catalogue, statistics, outside), Error);
  EXPECT_EQ(with_recent_history(request, 2).known.fresh, request.known.fresh);
}

TEST(TimeClaims, are_written_by_the_teacher_and_true) {
  const Catalogue catalogue = small_catalogue();
  const TemporalStatistics statistics = small_statistics();
  Request request = known_request();
  request.candidates = {1, 2, 4, 5};  // without a next part, which would be surer
  request.known.lately = {2, 1};
  const FactSheet facts = compute_facts(catalogue, statistics, request);
  const ClaimContext context{catalogue, request, facts};
  const auto reply = [&](const TeacherOptions& options) {
    Rng rng(1, "test");
    const TeacherRequest asked{context, rng};
    return program_teacher(catalogue, statistics, options)->reply({&asked, 1}).front();
  };
  const TeacherReply popular = reply({.temperature = 0, .lately_precision = 1});
  EXPECT_NE(popular.reasoning.find(" lately( 2) after( 3) fresh( 1)"), std::string::npos)
      << popular.reasoning;
  EXPECT_TRUE(popular.reasoning.ends_with(" lately pick( DRAMA 2)")) << popular.reasoning;
  EXPECT_EQ(popular.answer, 2);
  const TeacherReply usual = reply({.temperature = 0, .after_precision = 1});
  EXPECT_TRUE(usual.reasoning.ends_with(" after pick( HORROR 3)")) << usual.reasoning;
  const TeacherReply titles =
      reply({.temperature = 0, .names_candidates = false, .lately_precision = 1});
  EXPECT_NE(titles.reasoning.find(" lately( drama) after( horror) fresh( crime)"),
            std::string::npos)
      << titles.reasoning;
  EXPECT_TRUE(titles.reasoning.ends_with(" lately")) << titles.reasoning;
  for (const TeacherReply& said : {popular, usual, titles})
    for (const JudgedClaim& claim : judge_claims(parse_claims(said.reasoning), context, {}))
      EXPECT_EQ(claim.verdict, Verdict::kTrue) << claim.claim.predicate << " in" << said.reasoning;
}

}  // namespace
}  // namespace etrlrec
