#include "temporal/reasoning_quality.h"

#include <fmt/format.h>

#include <numeric>

#include "base/json.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

int64_t& count_of(std::array<int64_t, 3>& verdicts, Verdict verdict) {
  return verdicts.at(static_cast<size_t>(verdict));
}

constexpr std::array kVerdicts{Verdict::kTrue, Verdict::kFalse, Verdict::kUnverifiable};

}  // namespace

void ReasoningQuality::add(std::string_view reasoning, const RowView& view) {
  ++rows;
  ReasoningReading reading = view.read(reasoning);
  if (reading.sentences == 0) return;
  ++reasonings;
  sentences += reading.sentences;
  claim_sentences += reading.claim_sentences;
  for (const JudgedClaim& claim : judge_claims(std::move(reading.claims), view.context(), {}))
    if (claim.dimension != Dimension::kLink || claim.verdict == Verdict::kUnverifiable)
      ++count_of(verdicts, claim.verdict);
}

int64_t ReasoningQuality::claims() const {
  return std::accumulate(verdicts.begin(), verdicts.end(), int64_t{0});
}

double ReasoningQuality::share(Verdict verdict) const {
  return ratio(verdicts.at(static_cast<size_t>(verdict)), claims());
}

double ReasoningQuality::precision() const {
  const double good = share(Verdict::kTrue), bad = share(Verdict::kFalse);
  return good + bad > 0 ? good / (good + bad) : 0;
}

double ReasoningQuality::claim_sentence_share() const { return ratio(claim_sentences, sentences); }

double ReasoningQuality::sentences_per_reasoning() const { return ratio(sentences, reasonings); }

OrderedJson to_json(const ReasoningQuality& quality) {
  OrderedJson json = {{"rows", quality.rows},
                      {"reasonings", quality.reasonings},
                      {"sentences", quality.sentences},
                      {"claim_sentences", quality.claim_sentences}};
  for (const Verdict verdict : kVerdicts)
    json[verdict_name(verdict)] = quality.verdicts.at(static_cast<size_t>(verdict));
  json["precision"] = quality.precision();
  return json;
}

ReasoningQuality reasoning_quality(const Json& json, const std::string& name) {
  ReasoningQuality quality;
  quality.rows = get<int64_t>(json, "rows", name);
  quality.reasonings = get<int64_t>(json, "reasonings", name);
  quality.sentences = get<int64_t>(json, "sentences", name);
  quality.claim_sentences = get<int64_t>(json, "claim_sentences", name);
  for (const Verdict verdict : kVerdicts)
    count_of(quality.verdicts, verdict) = get<int64_t>(json, verdict_name(verdict), name);
  return quality;
}

std::string reasoning_quality_text(const ReasoningQuality& quality) {
  return fmt::format(
      "its reasoning: {} of {} rows, {:.1f} sentences each, {:.1f} % of them claims; of the claims "
      "{:.1f} % true, {:.1f} % false, {:.1f} % cannot be checked",
      quality.reasonings, quality.rows, quality.sentences_per_reasoning(),
      100 * quality.claim_sentence_share(), 100 * quality.share(Verdict::kTrue),
      100 * quality.share(Verdict::kFalse), 100 * quality.share(Verdict::kUnverifiable));
}

}  // namespace etrlrec
