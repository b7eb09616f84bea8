// How well a model's reasonings speak, counted over many rows: how much of the text are claims, and
// how many of them are true.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "temporal/row_view.h"

namespace etrlrec {

struct ReasoningQuality {
  int64_t rows = 0, reasonings = 0;  // rows that were looked at, and those with a reasoning
  int64_t sentences = 0, claim_sentences = 0;
  // Claims about what happened, by Verdict. What is wished or picked among the candidates is no
  // such claim, unless it names nothing that is known: then it cannot be checked.
  std::array<int64_t, 3> verdicts{};

  // `view`: the row that the reasoning speaks about.
  void add(std::string_view reasoning, const RowView& view);

  int64_t claims() const;
  double share(Verdict verdict) const;  // of the claims; 0 without any
  double precision() const;             // true ones among those that are true or false; 0 without
  double claim_sentence_share() const;  // of the sentences; 0 without any
  double sentences_per_reasoning() const;
  bool operator==(const ReasoningQuality&) const = default;
};

// {"rows", "reasonings", "sentences", "claim_sentences", "true", "false", "unverifiable",
// "precision"}. The last one is not read back.
nlohmann::ordered_json to_json(const ReasoningQuality& quality);
ReasoningQuality reasoning_quality(const nlohmann::json& json, const std::string& name);
// One line for people.
std::string reasoning_quality_text(const ReasoningQuality& quality);

}  // namespace etrlrec
