#include "eval/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "eval/html.h"
#include "eval/report_examples.h"
#include "eval/report_style.h"
#include "eval/report_text.h"

namespace etrlrec {
namespace {

std::string name_of(const MetricRow& row) {
  std::string out = escape_html(row.model);
  if (!row.stage.empty()) append(out, "<small>{}</small>", escape_html(row.stage));
  return out;
}

// Bounds (random order, the exact rule) are no models.
bool is_model(const MetricRow& row) { return row.stage != "bound"; }

// nullptr without models.
const MetricRow* best_row(const ReportData& data) {
  const MetricRow* best = nullptr;
  for (const MetricRow& row : data.rows)
    if (is_model(row) && (best == nullptr || row.hit1.mean > best->hit1.mean)) best = &row;
  return best;
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

void add_tile(std::string& out, const std::string& label, const std::string& value,
              const std::string& note) {
  append(out, "<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", label, value, note);
}

std::string render_tiles(const ReportData& data) {
  const MetricRow* best = best_row(data);
  if (best == nullptr) return "";
  std::string out = R"(<dl class="tiles">)";
  add_tile(out, "best hit@1", percent(best->hit1.mean),
           escape_html(best->stage.empty() ? best->model : best->model + ", " + best->stage));
  add_tile(out, "random choice", percent(random_level(data.num_candidates).hit1),
           fmt::format("one of {} candidates", data.num_candidates));
  if (data.bayes.known) {
    add_tile(out, "best possible", percent(data.bayes.hit1), "exact rule of this world");
    add_tile(out, "share of the possible", percent(best->hit1.mean / data.bayes.hit1),
             "best model / bound");
  }
  return out + "</dl>";
}

struct TableLayout {
  bool protocols = false, counts = false;  // columns only when the rows differ
  std::string candidates;                  // "[...]" where all protocols end with it
  double top = 1;                          // of the whisker scale
};

std::string shared_candidates(const std::vector<MetricRow>& rows) {
  const std::string& first = rows.front().protocol;
  const size_t begin = std::min(first.find('['), first.size());
  const std::string candidates = first.substr(begin);
  const bool shared = std::all_of(rows.begin(), rows.end(), [&](const MetricRow& row) {
    return row.protocol.ends_with(candidates);
  });
  return shared ? candidates : "";
}

TableLayout layout_of(const ReportData& data) {
  TableLayout layout;
  layout.candidates = shared_candidates(data.rows);
  layout.top = std::max(data.bayes.hit1, random_level(data.num_candidates).hit1);
  for (const MetricRow& row : data.rows) {
    layout.protocols |= row.protocol != data.rows.front().protocol;
    layout.counts |= row.n != data.rows.front().n;
    layout.top = std::max(layout.top, row.hit1.high);
  }
  layout.top = std::min(1.0, nice_ticks(0, layout.top, 5).back());
  return layout;
}

// The random level and the bound, set apart from the models.
std::string ground_row(const ReportData& data, const TableLayout& layout, const char* name,
                       double hit1, double hit5, double hit10, double ndcg10, double mrr) {
  std::string out = fmt::format(R"(<tr class="ground"><td class="words">{}</td>)", name);
  if (layout.protocols) out += "<td></td>";
  if (layout.counts) out += "<td></td>";
  append(
      out,
      "<td>{:.3f}</td><td></td><td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td><td></"
      "td>",
      hit1, hit5, hit10, ndcg10, mrr);
  if (data.bayes.known) append(out, "<td>{}</td>", percent(hit1 / data.bayes.hit1));
  return out + "</tr>";
}

std::string metric_row(const ReportData& data, const TableLayout& layout, const MetricRow& row) {
  // The best model of a column is bold.
  const auto cell = [&](auto value) {
    bool best = is_model(row);
    for (const MetricRow& other : data.rows) best &= !is_model(other) || value(row) >= value(other);
    return best ? fmt::format("<td><b>{:.3f}</b></td>", value(row))
                : fmt::format("<td>{:.3f}</td>", value(row));
  };
  std::string out = fmt::format(R"(<tr><td class="words">{}</td>)", name_of(row));
  if (layout.protocols)
    append(out, R"(<td class="words">{}</td>)",
           escape_html(row.protocol.substr(0, row.protocol.size() - layout.candidates.size())));
  if (layout.counts) append(out, "<td>{}</td>", row.n);
  out += cell([](const MetricRow& r) { return r.hit1.mean; });
  append(out, R"(<td title="95 % interval {:.3f} to {:.3f}">{}</td>)", row.hit1.low, row.hit1.high,
         whisker(row.hit1.mean, row.hit1.low, row.hit1.high, layout.top,
                 random_level(data.num_candidates).hit1, data.bayes.known ? data.bayes.hit1 : -1));
  out += cell([](const MetricRow& r) { return r.hit5; });
  out += cell([](const MetricRow& r) { return r.hit10; });
  out += cell([](const MetricRow& r) { return r.ndcg10; });
  out += cell([](const MetricRow& r) { return r.mrr; });
  append(out, "<td>{}</td>", percent(row.valid_ratio));
  if (data.bayes.known) append(out, "<td>{}</td>", percent(row.hit1.mean / data.bayes.hit1));
  return out + "</tr>";
}

std::string render_results(const ReportData& data) {
  if (data.rows.empty()) return "";
  const TableLayout layout = layout_of(data);
  const RandomLevel random = random_level(data.num_candidates);
  std::string out = R"(<h2>Results</h2><p class="intro">How often the next item is found among )";
  append(out, "{} candidates.", data.num_candidates);
  if (!layout.counts)
    append(out, " Every model answered the same {} requests.", data.rows.front().n);
  if (!layout.protocols) {
    append(out, " Protocol: {}.", escape_html(data.rows.front().protocol));
  } else if (!layout.candidates.empty()) {
    append(out, " Candidates: {}.",
           escape_html(layout.candidates.substr(1, layout.candidates.size() - 2)));
  }
  out +=
      R"(</p><div class="scroll"><table class="numbers"><thead><tr><th class="words">model</th>)";
  if (layout.protocols) out += R"(<th class="words">protocol</th>)";
  if (layout.counts) out += "<th>n</th>";
  append(
      out,
      R"(<th>hit@1</th><th class="words">0 to {:g}, with 95 % interval</th><th>hit@5</th><th>hit@10</th>)"
      R"(<th>ndcg@10</th><th>mrr</th><th>valid</th>{}</tr></thead><tbody>)",
      layout.top, data.bayes.known ? "<th>of the bound</th>" : "");
  out += ground_row(data, layout, "random choice", random.hit1, random.hit5, random.hit10,
                    random.ndcg10, random.mrr);
  for (const MetricRow& row : data.rows) out += metric_row(data, layout, row);
  if (data.bayes.known) {
    const BayesBound& b = data.bayes;
    out += ground_row(data, layout, "Bayes bound", b.hit1, b.hit5, b.hit10, b.ndcg10, b.mrr);
  }
  out += R"(</tbody></table></div><p class="note"><span class="key"></span>random level)";
  if (data.bayes.known)
    out += R"(<span class="key bayes"></span>Bayes bound: the exact rule of the world)";
  return out + "</p>";
}

std::string p_value(double p) { return p < 0.0001 ? "&lt; 0.0001" : fmt::format("{:.4f}", p); }

std::string render_tests(const ReportData& data) {
  if (data.tests.empty()) return "";
  double reach = 0.01;
  for (const Comparison& c : data.tests) {
    reach = std::max({reach, std::abs(c.hit1.low), std::abs(c.hit1.high)});
  }
  std::string out =
      R"(<h2>Paired tests</h2><p class="intro">The same rows for both models. hit@1: exact McNemar test, adjusted by )"
      R"(Holm over this table; intervals by bootstrap over users. Bold: p below 0.05 after adjustment.</p>)"
      R"(<div class="scroll"><table class="numbers"><thead><tr><th class="words">first</th><th class="words">second</th>)"
      R"(<th>Δ hit@1</th><th class="words">95 % interval</th><th>won : lost</th><th>p</th><th>p, Holm</th>)"
      R"(<th>Δ ndcg@10</th><th>p</th></tr></thead><tbody>)";
  for (const Comparison& c : data.tests) {
    const bool clear = c.hit1_adjusted < 0.05;
    append(out, R"(<tr><td class="words">{}</td><td class="words">{}</td><td>{}{:+.3f}{}</td>)",
           escape_html(c.first), escape_html(c.second), clear ? "<b>" : "", c.hit1.difference,
           clear ? "</b>" : "");
    append(
        out,
        R"(<td class="tight" title="{:+.3f} to {:+.3f}">{}</td><td>{} : {}</td><td>{}</td><td>{}</td>)",
        c.hit1.low, c.hit1.high,
        difference_whisker(c.hit1.difference, c.hit1.low, c.hit1.high, reach), c.only_first,
        c.only_second, p_value(c.hit1.p_value), p_value(c.hit1_adjusted));
    append(out, R"(<td>{:+.3f} <span class="range">{:+.3f} to {:+.3f}</span></td><td>{}</td></tr>)",
           c.ndcg10.difference, c.ndcg10.low, c.ndcg10.high, p_value(c.ndcg10.p_value));
  }
  return out + "</tbody></table></div>";
}

std::string render_plots(const std::vector<LinePlot>& plots, const char* heading,
                         const char* intro) {
  if (plots.empty()) return "";
  std::string out =
      fmt::format(R"(<h2>{}</h2><p class="intro">{}</p><div class="plots">)", heading, intro);
  for (const LinePlot& plot : plots) out += line_plot(plot);
  return out + "</div>";
}

std::string render_slots(const ReportData& data) {
  std::string plots;
  double top = 0;
  for (const MetricRow& row : data.rows) {
    for (const double value : row.hit1_by_slot)
      top = std::isfinite(value) ? std::max(top, value) : top;
  }
  for (const MetricRow& row : data.rows) {
    if (row.hit1_by_slot.empty()) continue;
    const std::string title = row.stage.empty() ? row.model : row.model + ", " + row.stage;
    plots += bar_plot({title, "place of the target", row.hit1_by_slot,
                       random_level(data.num_candidates).hit1, top});
  }
  if (plots.empty()) return "";
  return R"(<h2>Accuracy by place in the list</h2><p class="intro">hit@1 by the number under which the target was listed. )"
         R"(A model that reads the list rather than its order has bars of about equal height; the dashed line is the )"
         R"(random level.</p><div class="plots small">)" +
         plots + "</div>";
}

// Of every model that reasons: how much of its text is claims, and whether they are true.
std::string render_quality(const ReportData& data) {
  std::string rows;
  for (size_t r = 0; r < data.arms.size(); ++r) {
    const auto& quality = data.arms[r].reasoning;
    if (!quality || quality->reasonings == 0) continue;
    append(rows, R"(<tr><td class="words">{}</td><td>{}</td><td>{:.1f}</td><td>{}</td>)",
           name_of(data.rows[r]), percent(data.rows[r].valid_ratio),
           quality->sentences_per_reasoning(), percent(quality->claim_sentence_share()));
    for (const Verdict verdict : {Verdict::kTrue, Verdict::kFalse, Verdict::kUnverifiable})
      append(rows, "<td>{}</td>", quality->claims() > 0 ? percent(quality->share(verdict)) : "–");
    rows += "</tr>";
  }
  if (rows.empty()) return "";
  return R"(<h2>Is what it says true?</h2><p class="intro">The program checks every claim about what happened against )"
         R"(the log; what a model wishes for is no claim. Sentences that are no claims say what decides, or nothing that can be )"
         R"(checked.</p><div class="scroll"><table class="numbers"><thead><tr><th class="words">model</th><th>valid</th>)"
         R"(<th>sentences</th><th>that are claims</th><th>claims: true</th><th>false</th><th>cannot be checked</th></tr></thead><tbody>)" +
         rows + "</tbody></table></div>";
}

// Of every model whose answers have probabilities: how often an answer is right by how probable it
// was called.
std::string render_reliability(const ReportData& data) {
  std::vector<LinePlot> plots;
  for (const MetricRow& row : data.rows) {
    if (!row.calibration) continue;
    LinePlot& plot = plots.emplace_back();
    plot.title = fmt::format("{}, ECE {:.3f}", row.model, row.calibration->ece);
    plot.x_label = "probability of the answer";
    plot.series = {{"share that is right", {}, {}}, {"as promised", {0, 1}, {0, 1}}};
    for (const ReliabilityBin& bin : row.calibration->bins) {
      if (bin.count == 0) continue;
      plot.series[0].x.push_back(bin.confidence);
      plot.series[0].y.push_back(bin.accuracy);
    }
  }
  return render_plots(plots, "Do the probabilities hold?",
                      "Answers in ten groups by the probability that the model gave them. On the "
                      "diagonal they are right as often as promised, below it less often. ECE is "
                      "the mean distance, weighted by the answers of a group.");
}

std::string render_costs(const ReportData& data) {
  if (data.stage_seconds.empty() && data.facts.empty()) return "";
  std::string out = R"(<h2>How it was made</h2>)";
  double longest = 0, total = 0;
  for (const auto& [stage, seconds] : data.stage_seconds) {
    longest = std::max(longest, seconds);
    total += seconds;
  }
  if (!data.stage_seconds.empty()) {
    append(
        out,
        R"(<p class="intro">{} in all{}.</p><div class="scroll"><table class="numbers"><tbody>)",
        format_duration(total),
        data.peak_rss_mb > 0 ? fmt::format(", at most {:.0f} MB of memory", data.peak_rss_mb) : "");
    for (const auto& [stage, seconds] : data.stage_seconds) {
      append(out,
             R"(<tr><td class="words" style="width:14em">{}</td><td style="width:6em">{}</td>)"
             R"(<td class="words"><span class="share" style="width:{:.1f}%"></span></td></tr>)",
             escape_html(stage), format_duration(seconds),
             longest > 0 ? 100 * seconds / longest : 0);
    }
    out += "</tbody></table></div>";
  }
  out += R"(<dl class="facts">)";
  for (const auto& [key, value] : data.facts) {
    append(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape_html(key), escape_html(value));
  }
  return out + "</dl>";
}

}  // namespace

std::string render_report(const ReportData& data) {
  CHECK(data.rows.empty() || data.num_candidates > 0, kInput,
        "report: num_candidates is needed for the random level");
  std::string out =
      R"(<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">)"
      R"(<meta name="viewport" content="width=device-width, initial-scale=1"><title>)";
  out += escape_html(data.title) + "</title><style>";
  out += report_style();
  append(
      out,
      R"(</style></head><body><main><div class="kicker">etrlrec</div><h1>{}</h1><p class="lead">{}</p>)",
      escape_html(data.title), escape_html(data.summary));
  out += render_tiles(data) + "\n" + render_results(data) + "\n" + render_tests(data) + "\n";
  out += render_plots(data.curves, "Learning",
                      "Each curve over its own steps. Dense curves are drawn faintly, with a "
                      "moving average on top.") +
         "\n";
  out += render_plots(data.rewards, "Reward",
                      "What the policy was rewarded for, part by part, while it learned.") +
         "\n";
  out += render_slots(data) + "\n" + render_reliability(data) + "\n";
  out += render_quality(data) + "\n";
  if (!data.examples.empty()) {
    out +=
        R"(<h2>Worked examples</h2><p class="intro">The history as the model saw it, its chances for every candidate, and )"
        R"(its reasoning; each claim is checked by the program against the facts: <span class="claim true">true</span> )"
        R"(<span class="claim false">false</span> <span class="claim">unverifiable</span>.</p>)";
    out += render_examples(data.examples);
  }
  out += render_costs(data) +
         "<footer>One file, no scripts, nothing loaded from "
         "elsewhere.</footer></main></body></html>\n";
  return out;
}

void write_report(const std::filesystem::path& path, const ReportData& data) {
  write_file_atomic(path, render_report(data));
}

}  // namespace etrlrec
