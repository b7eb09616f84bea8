#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/check.h"
#include "data/synthetic.h"
#include "numbers.h"
#include "temporal/program_teacher.h"
#include "temporal/prompts.h"
#include "temporal/statistics.h"
#include "temporal/teacher.h"
#include "temporal/teachers.h"
#include "temporal/verifier.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

// A synthetic log and requests of its last events, twenty candidates each.
class TeacherWorld : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    WorldOptions options;
    options.users = 800;
    data_ = new Dataset(make_world(options).dataset);
    Split split;
    for (int64_t u = 0; u < data_->num_users(); ++u)
      split.train_end.push_back(data_->user_offsets[u + 1] - 1);
    statistics_ = new TemporalStatistics(count_statistics(*data_, split));
  }
  static void TearDownTestSuite() {
    delete data_;
    delete statistics_;
  }

  static Request request_of(int64_t user) {
    Request request;
    const int64_t target = data_->user_offsets[user + 1] - 1;
    const int64_t begin = std::max(data_->user_offsets[user], target - 8);
    for (int64_t e = begin; e < target; ++e) {
      request.history.push_back(data_->items[e]);
      request.times.push_back(data_->times[e]);
    }
    request.now = data_->times[target];
    Rng rng(5, "test/candidates", static_cast<uint64_t>(user));
    std::set<int32_t> taken(request.history.begin(), request.history.end());
    taken.insert(data_->items[target]);
    while (request.candidates.size() < 19) {
      const auto item = static_cast<int32_t>(rng.below(data_->catalogue.num_items()));
      if (taken.insert(item).second) request.candidates.push_back(item);
    }
    request.target_slot = static_cast<int32_t>(rng.below(20));
    request.candidates.insert(request.candidates.begin() + request.target_slot,
                              data_->items[target]);
    return request;
  }

  static Dataset* data_;
  static TemporalStatistics* statistics_;
};
Dataset* TeacherWorld::data_ = nullptr;
TemporalStatistics* TeacherWorld::statistics_ = nullptr;

TeacherReply ask(const Teacher& teacher, const ClaimContext& context, bool hint, Rng& rng) {
  const TeacherRequest request{context, rng, 0, hint};
  return teacher.reply({&request, 1}).front();
}

void expect_all_true(const TeacherReply& reply, const ClaimContext& context) {
  const auto judged = judge_claims(parse_claims(reply.reasoning), context, {});
  ASSERT_FALSE(judged.empty());
  for (const JudgedClaim& claim : judged)
    ASSERT_EQ(claim.verdict, Verdict::kTrue)
        << claim.claim.predicate << " in" << reply.reasoning << "\n"
        << student_prompt(context.catalogue, context.request, {});
  const std::string written = completion_text(reply.reasoning, number(reply.answer), {});
  const ParsedCompletion parsed =
      parse_completion(written, answer_texts(context.catalogue, context.request, {}), {});
  ASSERT_EQ(parsed.code, AnswerCode::kValid);
}

TEST_F(TeacherWorld, every_claim_is_true_and_dimensions_are_covered) {
  const auto teacher = program_teacher(data_->catalogue, *statistics_, {});
  std::map<std::string, int> said;
  double reward = 0;
  for (int64_t user = 0; user < data_->num_users(); ++user) {
    const Request request = request_of(user);
    const FactSheet facts = compute_facts(data_->catalogue, *statistics_, request);
    const ClaimContext context{data_->catalogue, request, facts};
    Rng rng(1, "test/teacher", static_cast<uint64_t>(user));
    for (int draw = 0; draw < 3; ++draw) {
      const TeacherReply reply = ask(*teacher, context, false, rng);
      expect_all_true(reply, context);
      const auto judged = judge_claims(parse_claims(reply.reasoning), context, {});
      for (const JudgedClaim& claim : judged) ++said[claim.claim.predicate];
      reward += score_reasoning(judged, reply.answer, context).r_link;
    }
  }
  for (const char* name : {"gap", "trans", "long", "season", "need", "pick", "sequel", "lack"})
    EXPECT_GT(said[name], 0) << name;
  EXPECT_GT(reward / (3.0 * static_cast<double>(data_->num_users())), 0.6);
}

// "… trans( a b) … gap( 8 now week) order need( b)": the word is the decision, its claim the
// reason.
TEST_F(TeacherWorld, the_word_after_the_gap_names_the_claim_the_need_comes_from) {
  const auto teacher = program_teacher(data_->catalogue, *statistics_, {});
  const std::map<std::string, std::string> claim_of{
      {"order", "trans"}, {"taste", "long"}, {"season", "season"}, {"mood", "short"}};
  std::map<std::string, int> drawn;
  for (int64_t user = 0; user < 400; ++user) {
    const Request request = request_of(user);
    const FactSheet facts = compute_facts(data_->catalogue, *statistics_, request);
    Rng rng(4, "test/teacher", static_cast<uint64_t>(user));
    const TeacherReply reply = ask(*teacher, {data_->catalogue, request, facts}, false, rng);
    const auto claims = parse_claims(reply.reasoning);
    for (size_t i = 1; i < claims.size(); ++i) {
      if (claims[i].predicate != "need") continue;
      const std::string between =
          reply.reasoning.substr(claims[i - 1].end, claims[i].begin - claims[i - 1].end);
      const std::string word = between.substr(1, between.size() - 2);
      ASSERT_TRUE(claim_of.contains(word)) << reply.reasoning;
      const auto source = std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) {
        return claim.predicate == claim_of.at(word);
      });
      ASSERT_NE(source, claims.end()) << reply.reasoning;
      ASSERT_EQ(source->arguments.back(), claims[i].arguments.front()) << reply.reasoning;
      if (claims[i - 1].predicate == "gap") ++drawn[word];
    }
  }
  for (const char* word : {"order", "taste", "season"}) EXPECT_GT(drawn[word], 40) << word;
}

TEST_F(TeacherWorld, replies_do_not_depend_on_the_target_slot) {
  const auto teacher = program_teacher(data_->catalogue, *statistics_, {});
  for (int64_t user = 0; user < 300; ++user) {
    Request request = request_of(user);
    const FactSheet facts = compute_facts(data_->catalogue, *statistics_, request);
    Rng rng(1, "test/teacher", 0), same(1, "test/teacher", 0);
    const TeacherReply first = ask(*teacher, {data_->catalogue, request, facts}, false, rng);
    request.target_slot = user % 2 == 0 ? -1 : (request.target_slot + 7) % 20;
    const TeacherReply second = ask(*teacher, {data_->catalogue, request, facts}, false, same);
    ASSERT_EQ(first.reasoning, second.reasoning);
    ASSERT_EQ(first.answer, second.answer);
    ASSERT_FALSE(second.hinted);
  }
}

TEST_F(TeacherWorld, answers_are_better_than_chance_and_draws_differ) {
  const auto sampling = program_teacher(data_->catalogue, *statistics_, {});
  const auto greedy = program_teacher(data_->catalogue, *statistics_, {0.0, true});
  double hits = 0;
  int differing = 0;
  for (int64_t user = 0; user < data_->num_users(); ++user) {
    const Request request = request_of(user);
    const FactSheet facts = compute_facts(data_->catalogue, *statistics_, request);
    const ClaimContext context{data_->catalogue, request, facts};
    Rng rng(2, "test/teacher", static_cast<uint64_t>(user));
    std::set<std::string> texts, greedy_texts;
    for (int draw = 0; draw < 4; ++draw) {
      const TeacherReply reply = ask(*sampling, context, false, rng);
      hits += reply.answer == request.target_slot + 1;
      texts.insert(reply.reasoning);
      greedy_texts.insert(ask(*greedy, context, false, rng).reasoning);
    }
    differing += texts.size() > 1;
    ASSERT_EQ(greedy_texts.size(), 1u);
  }
  const auto users = static_cast<double>(data_->num_users());
  EXPECT_GT(hits / (4 * users), 0.15);  // chance: 0.05
  EXPECT_GT(differing / users, 0.5);
}

TEST_F(TeacherWorld, a_hinted_reply_ends_at_the_target_with_true_claims) {
  const auto teacher = program_teacher(data_->catalogue, *statistics_, {});
  for (int64_t user = 0; user < 300; ++user) {
    const Request request = request_of(user);
    const FactSheet facts = compute_facts(data_->catalogue, *statistics_, request);
    const ClaimContext context{data_->catalogue, request, facts};
    Rng rng(3, "test/teacher", 0);
    const TeacherReply reply = ask(*teacher, context, true, rng);
    ASSERT_EQ(reply.answer, request.target_slot + 1);
    ASSERT_TRUE(reply.hinted);
    expect_all_true(reply, context);
  }
}

TEST_F(TeacherWorld, without_times_nothing_is_said_about_them) {
  const auto teacher = program_teacher(data_->catalogue, *statistics_, {1.0, false});
  for (int64_t user = 0; user < 200; ++user) {
    const Request request = request_of(user);
    const FactSheet facts = compute_facts(data_->catalogue, *statistics_, request);
    Rng rng(4, "test/teacher", 0);
    const std::string text =
        ask(*teacher, {data_->catalogue, request, facts}, false, rng).reasoning;
    ASSERT_EQ(text.find("gap("), text.npos);
    ASSERT_EQ(text.find("season("), text.npos);
  }
}

// One field, several attributes an item, series, and users without any order in their times.
TEST(Teacher, works_on_a_catalogue_with_one_field_and_many_genres) {
  Dataset data;
  const std::vector<std::string> genres{"Drama", "Comedy", "Sci-Fi", "Film Noir", "Children's"};
  std::vector<HandItem> items;
  for (int i = 0; i < 60; ++i) {
    HandItem item{"Movie " + std::string(1, static_cast<char>('A' + i / 3)) +
                      (i % 3 == 0   ? " (1990)"
                       : i % 3 == 1 ? " 2 (1992)"
                                    : " III (1994)"),
                  {}};
    for (int g = 0; g < 1 + i % 3; ++g)
      item.attributes.push_back("genre:" + genres[(i + 2 * g) % 5]);
    if (i == 59) item.attributes.clear();
    items.push_back(item);
  }
  data.catalogue = hand_catalogue({"genre"}, items);
  Split split;
  Rng rng(6, "test/movies");
  for (int u = 0; u < 50; ++u) {
    int64_t time = kJanuary + u * kDay;
    for (int e = 0; e < 12; ++e) {
      data.items.push_back(static_cast<int32_t>(rng.below(60)));
      data.times.push_back(time);
      time += rng.chance(0.5) ? 0 : static_cast<int64_t>(rng.below(20 * kDay));
    }
    data.user_ids.push_back("u" + std::to_string(u));
    data.user_offsets.push_back(static_cast<int64_t>(data.items.size()));
    split.train_end.push_back(data.user_offsets.back());
  }
  const TemporalStatistics statistics = count_statistics(data, split);
  const auto teacher = program_teacher(data.catalogue, statistics, {});
  for (int u = 0; u < 500; ++u) {
    Request request;
    const int64_t n = static_cast<int64_t>(rng.below(9));
    const int64_t begin = data.user_offsets[u % 50];
    request.history.assign(data.items.begin() + begin, data.items.begin() + begin + n);
    request.times.assign(data.times.begin() + begin, data.times.begin() + begin + n);
    request.now = data.times[begin + n];
    for (uint64_t k = 0; k < 1 + rng.below(10); ++k)
      request.candidates.push_back(static_cast<int32_t>(rng.below(60)));
    const FactSheet facts = compute_facts(data.catalogue, statistics, request);
    const ClaimContext context{data.catalogue, request, facts};
    expect_all_true(ask(*teacher, context, false, rng), context);
  }
}

TEST(Teacher, needs_nobody_meets_are_relaxed) {
  const Catalogue catalogue = small_catalogue();
  const TemporalStatistics statistics = small_statistics();
  Request request = small_request();
  request.candidates = {4, 5};  // horror only
  const FactSheet facts = compute_facts(catalogue, statistics, request);
  const ClaimContext context{catalogue, request, facts};
  Rng rng(1, "test/relax");
  const TeacherReply reply =
      ask(*program_teacher(catalogue, statistics, {0.0, true}), context, false, rng);
  EXPECT_NE(reply.reasoning.find("lack( crime)"), std::string::npos) << reply.reasoning;
  EXPECT_NE(reply.reasoning.find("pick( HORROR 1)"), std::string::npos) << reply.reasoning;
  EXPECT_EQ(reply.answer, 1);  // dark, as the season has it
  expect_all_true(reply, context);
}

TEST(Teacher, refuses_what_it_cannot_answer) {
  const Catalogue catalogue = small_catalogue();
  const TemporalStatistics statistics = small_statistics();
  Request request = small_request();
  request.target_slot = -1;
  const FactSheet facts = compute_facts(catalogue, statistics, request);
  const auto teacher = program_teacher(catalogue, statistics, {});
  Rng rng(1, "test/refuse");
  EXPECT_THROW(ask(*teacher, {catalogue, request, facts}, true, rng), Error);
  request.candidates.clear();
  EXPECT_THROW(ask(*teacher, {catalogue, request, facts}, false, rng), Error);
  EXPECT_THROW(program_teacher(catalogue, statistics, {-1.0, true}), Error);
}

// The batch is a convenience of the caller: replies, and what is left of the streams, are the same.
TEST_F(TeacherWorld, a_batch_gets_the_replies_of_its_requests_alone) {
  for (const std::string& name : teacher_names()) {
    const auto teacher = make_teacher(name, data_->catalogue, *statistics_, {});
    const Request first = request_of(1), second = request_of(2);
    const FactSheet first_facts = compute_facts(data_->catalogue, *statistics_, first);
    const FactSheet second_facts = compute_facts(data_->catalogue, *statistics_, second);
    const ClaimContext one{data_->catalogue, first, first_facts};
    const ClaimContext two{data_->catalogue, second, second_facts};
    Rng rng_one(7, "test/batch", 1), rng_two(7, "test/batch", 2);
    const std::vector<TeacherRequest> batch{
        {one, rng_one, 0}, {two, rng_two, 0}, {one, rng_one, 1}};
    const auto replies = teacher->reply(batch);
    ASSERT_EQ(replies.size(), 3u) << name;
    Rng alone_one(7, "test/batch", 1), alone_two(7, "test/batch", 2);
    EXPECT_EQ(replies[0].reasoning, ask(*teacher, one, false, alone_one).reasoning);
    EXPECT_EQ(replies[1].reasoning, ask(*teacher, two, false, alone_two).reasoning);
    EXPECT_EQ(replies[2].reasoning, ask(*teacher, one, false, alone_one).reasoning);
    EXPECT_EQ(rng_one.state(), alone_one.state());
  }
}

TEST(Teachers, are_found_by_name_and_keep_rows_apart) {
  const Catalogue catalogue = small_catalogue();
  const TemporalStatistics statistics = small_statistics();
  for (const std::string& name : teacher_names()) {
    const auto teacher = make_teacher(name, catalogue, statistics, {});
    EXPECT_EQ(teacher->name(), name);
    EXPECT_NE(teacher->resume_key(1), teacher->resume_key(11));
    EXPECT_EQ(teacher->resume_key(11), teacher->resume_key(11));
  }
  try {
    make_teacher("nobody", catalogue, statistics, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("known: program"), std::string::npos);
  }
}

}  // namespace
}  // namespace etrlrec
