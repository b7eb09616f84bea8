// What a language model that judges reasonings is asked, and how its score is read (method.md G.3
// (6)). It is told nothing about the target, unless the faithful judge of A.6 is wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "temporal/guidance.h"

namespace etrlrec {

inline constexpr int32_t kBestScore = 1000;

// What the faithful judge sees besides (A.6): what was answered, what was chosen in truth
// (request.target_slot), and how likely a recommender finds each candidate.
struct RevealedOutcome {
  int32_t answer = 0;                           // 1-based; 0: none
  std::span<const double> recommender_share{};  // [n], in [0, 1]; empty: no recommender
};

// A system and a user message about `reasoning`, which stands there as a quoted JSON text, so that
// nothing in it can pass for the question. `rng` draws the wording of the facts.
std::vector<ChatMessage> judge_messages(const GuidanceTexts& texts, const ClaimContext& context,
                                        std::string_view reasoning, const GuidanceOptions& options,
                                        const std::optional<RevealedOutcome>& outcome, Rng& rng);

// The score of an answer that is, behind a thinking part, the JSON object {"score": S} with a whole
// number S from 0 to kBestScore, and nothing else.
std::optional<int32_t> read_judge_score(std::string_view text);

}  // namespace etrlrec
