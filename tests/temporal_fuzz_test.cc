// Hostile completions: mutated from valid ones, they must neither crash, throw nor take long, and
// whatever is parsed out of them must lie inside of them. Also run under address and
// undefined-behaviour sanitizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>

#include "base/rng.h"
#include "numbers.h"
#include "temporal/names.h"
#include "temporal/prompts.h"
#include "temporal/verifier.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

const std::vector<std::string>& pieces() {
  static const std::vector<std::string> all{"<reasoning>",
                                            "</reasoning>",
                                            "<answer>",
                                            "</answer>",
                                            "<",
                                            "</",
                                            "gap( 5 now week)",
                                            "trans( drama crime)",
                                            "need( crime dark)",
                                            "has( crime 1 dark)",
                                            "pick( crime 1)",
                                            "sequel(4)",
                                            "avoid(dark)",
                                            "prune(2)",
                                            "lack(horror)",
                                            "explorer()",
                                            "(",
                                            ")",
                                            "((((",
                                            "))))",
                                            ",",
                                            " ",
                                            "\n",
                                            "99999999999999999999",
                                            "-1",
                                            "0",
                                            "3",
                                            std::string(1, '\0'),
                                            "\xFF\xFE",
                                            "\xD9\xA3",
                                            "long(",
                                            "#",
                                            "drama#0",
                                            std::string(300, 'a'),
                                            std::string(80, '(')};
  return all;
}

std::string mutated(Rng& rng) {
  std::string text = rng.chance(0.5) ? completion_text(
                                           " gap( 5 now week) trans( drama crime)"
                                           " long( drama) need( crime) pick( crime 1)",
                                           number(1), {})
                                     : "";
  const uint64_t edits = 1 + rng.below(12);
  for (uint64_t i = 0; i < edits; ++i) {
    const size_t at = rng.below(text.size() + 1);
    switch (rng.below(4)) {
      case 0:
        text.insert(at, pieces()[rng.below(pieces().size())]);
        break;
      case 1:
        text.erase(at, rng.below(20));
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(rng.below(256));
        break;
      default:
        text.insert(at, text.substr(rng.below(text.size() + 1), rng.below(60)));
    }
  }
  return text;
}

TEST(Fuzz, mutated_completions_never_break_the_parsers) {
  const Catalogue catalogue = small_catalogue();
  const Request request = small_request();
  const FactSheet facts = compute_facts(catalogue, small_statistics(), request);
  const ClaimContext context{catalogue, request, facts};
  Rng rng(20, "test/fuzz");
  int valid = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = mutated(rng);
    const ParsedCompletion parsed = parse_completion(text, numbers(4), {.reasoning = i % 5 != 0});
    valid += parsed.code == AnswerCode::kValid;
    if (parsed.code == AnswerCode::kValid) {
      ASSERT_TRUE(parsed.answer >= 1 && parsed.answer <= 4);
    }
    if (!parsed.reasoning.empty()) {
      ASSERT_EQ(parsed.reasoning.data(), text.data());
    }
    const auto judged = judge_claims(parse_claims(text), context, {});
    for (const JudgedClaim& claim : judged)
      ASSERT_TRUE(claim.claim.begin < claim.claim.end && claim.claim.end <= text.size());
    const ReasoningScore score = score_reasoning(judged, parsed.answer, context);
    ASSERT_TRUE(score.r_ver >= 0 && score.r_ver <= 1) << text;
  }
  EXPECT_GT(valid, 100);
}

TEST(Fuzz, mutated_titles_stay_inside_their_entry) {
  Rng rng(21, "test/fuzz_titles");
  for (int i = 0; i < 2000; ++i) {
    const std::string title = escape_title(mutated(rng));
    ASSERT_EQ(title.find_first_of("<>();\n"), title.npos);
    ASSERT_TRUE(parse_claims(title).empty());
  }
}

// Processor time, not the wall clock, and growth, not seconds: a busy or slow machine changes
// neither much. Four times the text may take four times as long, not sixteen times.
TEST(Fuzz, very_long_texts_take_time_in_proportion_to_their_length) {
  const Catalogue catalogue = small_catalogue();
  const Request request = small_request();
  const FactSheet facts = compute_facts(catalogue, small_statistics(), request);
  const auto ticks = [&](const std::string& piece, size_t length) {
    std::string text;
    while (text.size() < length) text += piece;
    const std::clock_t begin = std::clock();
    parse_completion(text, numbers(4), {});
    judge_claims(parse_claims(text), {catalogue, request, facts}, {});
    return static_cast<double>(std::clock() - begin);
  };
  const double least = 0.02 * CLOCKS_PER_SEC;  // below this, noise decides
  for (const std::string& piece : pieces())
    EXPECT_LT(ticks(piece, 1u << 20), 10 * std::max(ticks(piece, 1u << 18), least)) << piece;
}

}  // namespace
}  // namespace etrlrec
