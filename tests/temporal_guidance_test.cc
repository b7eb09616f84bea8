// The guidance of a language model that teaches, and what is read from its answer.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "refusal.h"
#include "temporal/fact_sentences.h"
#include "temporal/guidance.h"
#include "temporal/predicates.h"
#include "temporal/sentences.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

class Guidance : public testing::Test {
 protected:
  ClaimContext context() const { return {catalogue_, request_, facts_}; }
  std::string user(const GuidanceOptions& options, const std::string& domain = "film") const {
    Rng rng(1, "test");
    return guidance_messages(guidance_texts(domain), context(), options, rng).at(1).content;
  }

  Catalogue catalogue_ = small_catalogue();
  Request request_ = small_request();
  FactSheet facts_ = compute_facts(catalogue_, small_statistics(), request_);
};

TEST_F(Guidance, names_history_candidates_dimensions_and_contract) {
  const std::string text = user({});
  for (const char* part :
       {"What the person watched:\n1. \"Hollow River\" (drama, dark)\n2. \"Paper Crown\" (crime, "
        "dark), 60 minutes later\n",
        "4. \"Paper Crown\" (crime, dark), at the same time\n",
        "Now it is winter, 6 days after the last one.\n",
        "Candidates:\n1. \"Paper Crown\" (crime, dark)\n2. \"Silent Bridge\" (drama, bright)\n",
        "Interaction sequentiality", "Item attribute transition", "User evolving thought",
        "<reasoning>", "</answer>"})
    EXPECT_NE(text.find(part), text.npos) << part << "\n" << text;
  EXPECT_EQ(text.find("Notice"), text.npos);
  EXPECT_EQ(text.find('{'), text.npos);
  EXPECT_NE(user({}, "product").find("What the person bought"), text.npos);
}

TEST_F(Guidance, faithful_has_no_times_attributes_and_facts) {
  const std::string text =
      user({.fact_sheet = false, .with_times = false, .with_attributes = false, .hinted = true});
  EXPECT_NE(text.find("1. \"Hollow River\"\n2. \"Paper Crown\"\n"), text.npos) << text;
  for (const char* part : {"later", "winter", "(drama", "Facts"})
    EXPECT_EQ(text.find(part), text.npos) << part;
  EXPECT_NE(text.find("number 4, \"Hollow River II\", next"), text.npos);
}

TEST_F(Guidance, reads_the_target_in_the_notice_only) {
  const std::string before = user({});
  request_.target_slot = 0;
  EXPECT_EQ(user({}), before);
  request_.target_slot = -1;
  EXPECT_EQ(user({}), before);
  EXPECT_THROW(user({.hinted = true}), Error);
}

TEST_F(Guidance, facts_are_true_and_read_back) {
  Rng rng(1, "test");
  const auto claims = true_claims(context(), true, true);
  EXPECT_GE(claims.size(), 8u);
  for (const FactClaim& fact : claims) {
    const std::string sentence = varied_sentence(fact.claim, context(), rng);
    ASSERT_NE(sentence, "") << fact.claim.predicate;
    const ReasoningReading read = read_sentences(" " + sentence + ".", context());
    ASSERT_FALSE(read.claims.empty()) << sentence;
    for (const JudgedClaim& judged : judge_claims(read.claims, context(), {}))
      EXPECT_EQ(judged.verdict, Verdict::kTrue) << sentence;
  }
  for (const FactClaim& fact : true_claims(context(), false, false)) {
    for (const char* of_times : {"gap", "same_session", "stage", "due", "season"})
      EXPECT_NE(fact.claim.predicate, of_times);
    EXPECT_NE(fact.claim.predicate, "sequel");
  }
}

TEST_F(Guidance, domain_follows_from_the_catalogue) {
  EXPECT_EQ(guess_domain(hand_catalogue(
                {"genre"}, {{"A", {"genre:Comedy", "genre:Drama"}}, {"B", {"genre:Film-Noir"}}})),
            "film");
  EXPECT_EQ(guess_domain(hand_catalogue({}, {{"A (1994)", {}}, {"B (2001)", {}}, {"C", {}}})),
            "film");
  EXPECT_EQ(guess_domain(hand_catalogue(
                {"genres"}, {{"A", {"genres:Indie", "genres:RPG"}}, {"B", {"genres:Strategy"}}})),
            "game");
  EXPECT_EQ(guess_domain(hand_catalogue({"categories"}, {{"A", {"categories:Hair Care"}}})),
            "product");
  EXPECT_EQ(guess_domain(hand_catalogue({"kind"}, {{"A", {"kind:x"}}})), "neutral");
  EXPECT_NE(usage_refusal([] { guidance_texts("music"); }).find("neutral"), std::string::npos);
}

TEST_F(Guidance, texts_come_from_a_file) {
  const fs::path path =
      fs::temp_directory_path() / fmt::format("etrlrec_guidance_{}.json", ::getpid());
  const auto read = [&](const std::string& text) {
    write_file_atomic(path, text);
    return read_guidance(path, guidance_texts("neutral"));
  };
  const GuidanceTexts books =
      read(R"({"domain": "book", "item": "book", "items": "books", "chose": "read",
               "thought": "Say which {item} fits."})");
  EXPECT_EQ(books.domain, "book");
  EXPECT_EQ(books.task, guidance_texts("neutral").task);
  Rng rng(1, "test");
  const std::string text = guidance_messages(books, context(), {}, rng).at(1).content;
  EXPECT_NE(text.find("What the person read:"), text.npos);
  EXPECT_NE(text.find("Say which book fits."), text.npos);
  EXPECT_EQ(read(R"({"domain": "game"})").chose, "played");
  for (const char* wrong : {R"({"colour": "x"})", R"({"item": 3})", R"({"task": "{book}"})", "[]"})
    EXPECT_THROW(read(wrong), Error) << wrong;
  fs::remove(path);
}

TEST(TeacherAnswer, is_read_from_its_tags) {
  struct Case {
    const char* text;
    const char* reasoning;  // null: refused
    int32_t answer;
  };
  constexpr Case kCases[] = {
      {"<reasoning>a b</reasoning><answer>2</answer>", " a b", 2},
      {"Sure!\n<reasoning>\n a\n\tb \n</reasoning>\n<answer> 2 </answer>\n", " a b", 2},
      {"<think>x <answer>9</answer></think><reasoning>a</reasoning><answer>1</answer>", " a", 1},
      {"x</think>\n<reasoning>a</reasoning><answer>1</answer>", " a", 1},
      {"<think>x <reasoning>a</reasoning><answer>1</answer>", nullptr, 0},
      {"a<answer>1</answer>", nullptr, 0},
      {"<reasoning>a</reasoning>", nullptr, 0},
      {"<reasoning>a</reasoning><answer>5</answer>", nullptr, 0},
      {"<reasoning>a</reasoning><answer>0</answer>", nullptr, 0},
      {"<reasoning>a</reasoning><answer>one</answer>", nullptr, 0},
      {"<reasoning>a</reasoning><answer>1</answer> bye", nullptr, 0},
      {"<reasoning>a</reasoning><answer>1</answer><answer>2</answer>", nullptr, 0},
      {"<reasoning>a<reasoning>b</reasoning><answer>1</answer>", nullptr, 0},
      {"<reasoning> \n </reasoning><answer>1</answer>", nullptr, 0},
      {"", nullptr, 0},
  };
  for (const Case& one : kCases) {
    const TeacherAnswer read = read_teacher_answer(one.text, 4);
    EXPECT_EQ(read.problem.empty(), one.reasoning != nullptr) << one.text << read.problem;
    if (one.reasoning == nullptr) continue;
    EXPECT_EQ(read.reasoning, one.reasoning) << one.text;
    EXPECT_EQ(read.answer, one.answer) << one.text;
  }
}

}  // namespace
}  // namespace etrlrec
