#include "eval/report_examples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "eval/html.h"
#include "eval/time_line.h"

namespace etrlrec {
namespace {

constexpr size_t kColumns = 9;  // history entries drawn on one time line

std::string render_history(const ReportExample& example) {
  const size_t left_out = example.history.size() > kColumns ? example.history.size() - kColumns : 0;
  std::vector<TimeLineEvent> events(example.history.begin() + static_cast<int64_t>(left_out),
                                    example.history.end());
  events.push_back({"now", "?", example.gap_to_now, example.now});
  std::string out;
  if (left_out > 0)
    append(out, R"(<p class="note">{} earlier entries are not drawn.</p>)", left_out);
  append(out, R"(<div class="scroll">{}</div>)", time_line(events));
  return out;
}

std::string render_candidates(const ReportExample& example) {
  double top = 0;
  for (const ReportCandidate& c : example.candidates)
    top = std::max({top, c.probability, c.reference});
  const bool with_reference = std::any_of(example.candidates.begin(), example.candidates.end(),
                                          [](const auto& c) { return c.reference >= 0; });
  std::string out =
      R"(<div><h4>Candidates and the model’s probabilities</h4><table class="candidates"><tbody>)";
  for (const ReportCandidate& c : example.candidates) {
    const bool is_truth = c.number == example.truth, is_answer = c.number == example.answer;
    append(out, R"(<tr{}><td>{}</td><td class="title">{}<small>{}</small>)",
           is_truth    ? R"( class="truth")"
           : is_answer ? R"( class="wrong")"
                       : "",
           c.number, escape_html(c.title), escape_html(c.attributes));
    if (is_answer) out += R"(<span class="tag answer">answer</span>)";
    if (is_truth) out += R"(<span class="tag truth">truth</span>)";
    const double scale = top > 0 ? 100 / top : 0;
    append(out, R"(</td><td class="meter"><div><i style="width:{:.1f}%"></i>)",
           scale * std::max(0.0, c.probability));
    if (c.reference >= 0) append(out, R"(<u style="left:{:.1f}%"></u>)", scale * c.reference);
    append(out, R"(</div></td><td class="value">{:.3f}</td></tr>)", c.probability);
  }
  out += "</tbody></table>";
  if (with_reference)
    out +=
        R"(<p class="note"><span class="key bayes" style="margin-left:2px"></span>exact probability in this world</p>)";
  return out + "</div>";
}

std::string candidate_name(const ReportExample& example, int32_t number) {
  if (number == 0) return "none";
  for (const ReportCandidate& c : example.candidates) {
    if (c.number == number) return fmt::format("{}. {}", number, escape_html(c.title));
  }
  return fmt::format("{}. (not among the candidates)", number);
}

// The claims as sentences under their dimensions, and what decided.
std::string render_explanation(const Explanation& explanation) {
  std::string out;
  for (const ClaimGroup& group : by_dimension(explanation)) {
    append(out, R"(<h5>{}</h5><ul class="sentences">)", dimension_heading(group.dimension));
    for (const ExplainedClaim* claim : group.claims) {
      const std::string number =
          claim->number.empty() ? ""
                                : fmt::format(" <small>{}</small>", escape_html(claim->number));
      append(out, R"(<li class="{}">{}{}</li>)", verdict_name(claim->verdict),
             escape_html(claim->sentence), number);
    }
    out += "</ul>";
  }
  if (const std::string unknown = unknown_claims(explanation); !unknown.empty())
    append(out, "<p>{}.</p>", unknown);
  if (!explanation.decision.empty())
    append(out, R"(<p class="decision">{}</p>)", escape_html(explanation.decision));
  return out;
}

std::string render_outcome(const ReportExample& example) {
  int32_t counts[3] = {0, 0, 0};
  for (const ExampleClaim& claim : example.claims) ++counts[static_cast<int>(claim.verdict)];
  std::string out;
  append(
      out,
      R"(<p class="note">Claims checked against the facts: {} true, {} false, {} unverifiable.</p>)",
      counts[0], counts[1], counts[2]);
  append(out, R"(<dl class="outcome"><dt>Answer</dt><dd>{}</dd><dt>Truth</dt><dd>{}</dd></dl>)",
         candidate_name(example, example.answer), candidate_name(example, example.truth));
  return out;
}

}  // namespace

std::string render_reasoning(const ReportExample& example) {
  std::vector<ExampleClaim> claims = example.claims;
  std::stable_sort(claims.begin(), claims.end(),
                   [](const auto& a, const auto& b) { return a.begin < b.begin; });
  const std::string_view text = example.reasoning;
  std::string out;
  size_t done = 0;
  for (const ExampleClaim& claim : claims) {
    if (claim.begin < done || claim.end <= claim.begin || claim.end > text.size()) continue;
    out += escape_html(text.substr(done, claim.begin - done));
    append(out, R"(<span class="claim {}" title="{}">{}</span>)", verdict_name(claim.verdict),
           escape_html(claim.note.empty() ? verdict_name(claim.verdict) : claim.note),
           escape_html(text.substr(claim.begin, claim.end - claim.begin)));
    done = claim.end;
  }
  return out + escape_html(text.substr(done));
}

std::string render_examples(std::span<const ReportExample> examples) {
  std::string out;
  for (const ReportExample& example : examples) {
    const bool hit = example.answer != 0 && example.answer == example.truth;
    append(
        out,
        R"(<article class="example"><header><h3>{}</h3><span class="badge{}">{}</span></header>)",
        escape_html(example.heading), hit ? " hit" : "",
        hit                   ? "right"
        : example.answer == 0 ? "no answer"
                              : "wrong");
    out += render_history(example);
    out += R"(<div class="columns">)" + render_candidates(example) +
           "<div><h4>What the model says</h4>" + render_explanation(example.explanation);
    append(out,
           R"(<details><summary>As it was written</summary><p class="reasoning">{}</p></details>)",
           render_reasoning(example));
    out += render_outcome(example) + "</div></div></article>\n";
  }
  return out;
}

}  // namespace etrlrec
