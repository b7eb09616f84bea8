// Plots and report: hostile text stays text, numbers arrive, and the page needs nothing from
// outside.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "eval/html.h"
#include "eval/report.h"
#include "eval/report_examples.h"
#include "eval/report_page.h"
#include "eval/report_text.h"
#include "eval/time_line.h"

namespace etrlrec {
namespace {

constexpr const char* kHostile =
    "\"><script>alert('x')</script><img src=http://evil.example/ onerror=x> & \x01\xff";

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t i = text.find(part); i != std::string::npos; i = text.find(part, i + part.size()))
    ++n;
  return n;
}

// Every element is closed in order; good enough for what the writers emit.
bool is_balanced(const std::string& html) {
  static const std::set<std::string> kVoid = {"meta", "!DOCTYPE"};
  std::vector<std::string> open;
  for (size_t i = html.find('<'); i != std::string::npos; i = html.find('<', i + 1)) {
    const size_t end = html.find('>', i);
    if (end == std::string::npos) return false;
    const bool closing = html[i + 1] == '/';
    const size_t begin = i + 1 + closing;
    const std::string name = html.substr(begin, html.find_first_of(" >/", begin) - begin);
    if (closing) {
      if (open.empty() || open.back() != name) return false;
      open.pop_back();
    } else if (html[end - 1] != '/' && !kVoid.contains(name)) {
      open.push_back(name);
    }
  }
  return open.empty();
}

ReportExample example(const std::string& title) {
  ReportExample e;
  e.heading = "user " + title;
  e.history = {{title, title, "", 1700000000},
               {"Hollow River", "drama · dark", "week", 1700400000}};
  e.now = 1700500000;
  e.gap_to_now = "day";
  e.candidates = {{1, title, title, 0.75, 0.5}, {2, "Silent Tower", "crime · wild", 0.25, 0.5}};
  e.reasoning = "so up(drama) and need(crime)" + title;
  e.claims = {{3, 12, Verdict::kTrue, title}, {17, 28, Verdict::kFalse, ""}};
  e.answer = 1;
  e.truth = 2;
  return e;
}

ReportData full_report(const std::string& text) {
  ReportData d;
  d.title = d.summary = text;
  d.num_candidates = 20;
  d.bayes = {true, 0.5, 0.8, 0.9, 0.6, 0.7, 0.6};
  MetricRow row;
  row.model = row.stage = text;
  row.protocol = text;
  row.n = 123;
  row.hit1 = {0.25, 0.2, 0.3};
  row.hit1_by_slot = {0.25, std::nan(""), 0.3};
  d.rows = {row, row};
  d.rows[1].hit1 = {0.4, 0.35, 0.45};
  d.rows[1].protocol += "2";
  d.tests = {
      {text, text, text, 123, 30, 12, {0.15, 0.1, 0.2, 0.00001}, {0.1, 0.05, 0.15, 0.02}, 0.00002}};
  const Series series{text, {0, 1, 2}, {3, std::nan(""), 1}};
  d.curves = {{text, text, {series, series}, {{text, {}, {2}}}, true}};
  d.rewards = {{text, text, {series}, {}, false}};
  d.examples = {example(text)};
  d.stage_seconds = {{text, 90}};
  d.facts = {{text, text}};
  return d;
}

TEST(Html, escapes_markup_control_characters_and_broken_utf8) {
  EXPECT_EQ(escape_html("<a href=\"x\">'&'</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(escape_html("a\tb\nc"), "a\tb\nc");
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(escape_html(std::string("x\0y\x7f", 4)), "x" + bad + "y" + bad);
  EXPECT_EQ(escape_html("caf\xc3\xa9 \xf0\x9f\x8e\xac"), "caf\xc3\xa9 \xf0\x9f\x8e\xac");
  EXPECT_EQ(escape_html("\xc3"), bad);
  EXPECT_EQ(escape_html("\xc3<"), bad + "&lt;");
  EXPECT_EQ(escape_html("\xc0\xbc"), bad + bad) << "overlong <";
  EXPECT_EQ(escape_html("\xed\xa0\x80"), bad + bad + bad) << "surrogate";
}

TEST(Report, shows_how_reliable_the_probabilities_are) {
  ReportData data = full_report("plain");
  EXPECT_EQ(count(render_report(data), "Do the probabilities hold"), 0u);
  data.rows[1].calibration = Calibration{.ece = 0.125, .nll = 1, .bins = {{10, 0.3, 0.2}, {}}};
  const std::string page = render_report(data);
  EXPECT_EQ(count(page, "Do the probabilities hold"), 1u);
  EXPECT_EQ(count(page, "plain, ECE 0.125"), 2u) << "caption and label";
  EXPECT_EQ(count(page, "as promised"), 2u) << "legend and introduction";
  EXPECT_EQ(to_json(data.rows[1])["ece"], 0.125);
  EXPECT_FALSE(to_json(data.rows[0]).contains("ece"));
}

TEST(Report, says_how_much_of_what_models_say_is_true) {
  ReportData data = full_report("plain");
  EXPECT_EQ(count(render_report(data), "Is what it says true?"), 0u);
  data.arms.resize(data.rows.size());
  data.arms[1].reasoning = ReasoningQuality{
      .rows = 9, .reasonings = 8, .sentences = 20, .claim_sentences = 15, .verdicts = {12, 3, 1}};
  const std::string page = render_report(data);
  EXPECT_EQ(count(page, "Is what it says true?"), 1u);
  for (const char* cell : {"<td>2.5</td>", "<td>75.0 %</td>", "<td>18.8 %</td>", "<td>6.2 %</td>"})
    EXPECT_GE(count(page, cell), 1u) << cell;
  EXPECT_EQ(summary_json(data)["rows"][1]["reasoning"]["claim_sentences"], 15);
  EXPECT_FALSE(summary_json(data)["rows"][0].contains("reasoning"));
  data.arms[1].reasoning = ReasoningQuality{.rows = 9, .reasonings = 8, .sentences = 20};
  EXPECT_EQ(count(render_report(data), "<td>–</td>"), 3u) << "nothing was claimed";
}

TEST(Report, hostile_text_never_becomes_markup) {
  const std::string page = render_report(full_report(kHostile));
  EXPECT_EQ(count(page, "<script"), 0u);
  EXPECT_EQ(count(page, "<img"), 0u);
  EXPECT_GT(count(page, "&lt;script&gt;"), 15u);
  EXPECT_TRUE(is_balanced(page));
}

TEST(Report, page_loads_nothing_and_runs_nothing) {
  const std::string page = render_report(full_report("plain"));
  for (const char* part :
       {"http:", "https:", "src=", "href=", "@import", "url(", "<script", "<link", "onload"}) {
    EXPECT_EQ(count(page, part), 0u) << part;
  }
  EXPECT_TRUE(is_balanced(page));
  EXPECT_GT(count(page, "prefers-color-scheme:dark"), 0u);
}

TEST(Report, numbers_of_table_tests_and_tiles_arrive) {
  const std::string page = render_report(full_report("plain"));
  EXPECT_NE(page.find("<dd>40.0 %<small>plain, plain"), std::string::npos) << "best model";
  EXPECT_NE(page.find("<dd>80.0 %<small>best model / bound"), std::string::npos);
  EXPECT_NE(page.find("<td>0.250</td>"), std::string::npos);
  EXPECT_NE(page.find("<td><b>0.400</b></td>"), std::string::npos)
      << "the best of its column is bold";
  EXPECT_NE(page.find("<b>+0.150</b>"), std::string::npos) << "significant after adjustment";
  EXPECT_NE(page.find("30 : 12"), std::string::npos);
  EXPECT_NE(page.find("&lt; 0.0001"), std::string::npos);
  EXPECT_NE(page.find("<th class=\"words\">protocol</th>"), std::string::npos)
      << "protocols differ";
}

TEST(Report, table_names_shared_candidates_once_and_marks_models_only) {
  ReportData data = full_report("plain");
  data.rows[0].protocol = "score[uniform20,seed=42]";
  data.rows[1].protocol = "likelihood[uniform20,seed=42]";
  data.rows.push_back(data.rows[0]);
  data.rows[2].stage = "bound";
  data.rows[2].hit1 = {0.9, 0.8, 1};
  const std::string page = render_report(data);
  EXPECT_NE(page.find("Candidates: uniform20,seed=42."), std::string::npos);
  EXPECT_EQ(count(page, "[uniform20"), 0u);
  EXPECT_NE(page.find("<td class=\"words\">likelihood</td>"), std::string::npos);
  EXPECT_NE(page.find("<td><b>0.400</b></td>"), std::string::npos);
  EXPECT_NE(page.find("<td>0.900</td>"), std::string::npos) << "a bound is no model";

  data.rows[1].protocol = "likelihood[uniform50,seed=42]";
  const std::string apart = render_report(data);
  EXPECT_EQ(count(apart, "Candidates: "), 0u);
  EXPECT_NE(apart.find("likelihood[uniform50,seed=42]"), std::string::npos);
}

TEST(Report, empty_data_gives_a_valid_page_without_sections) {
  const std::string page = render_report({});
  EXPECT_TRUE(is_balanced(page));
  EXPECT_EQ(count(page, "<h2>"), 0u);
}

TEST(Report, rows_without_a_candidate_count_are_refused) {
  ReportData d = full_report("x");
  d.num_candidates = 0;
  EXPECT_THROW(render_report(d), Error);
}

TEST(Report, claims_are_marked_by_verdict_and_the_rest_stays_text) {
  const std::string html = render_reasoning(example(""));
  EXPECT_EQ(html,
            "so <span class=\"claim true\" title=\"true\">up(drama)</span> and "
            "<span class=\"claim false\" title=\"false\">need(crime)</span>");
}

TEST(Report, claims_that_overlap_or_lie_outside_are_left_unmarked) {
  ReportExample e = example("");
  const size_t far = std::numeric_limits<size_t>::max();
  e.claims = {{17, 28, Verdict::kFalse, ""},
              {20, 29, Verdict::kTrue, ""},
              {5, 3, Verdict::kTrue, ""},
              {3, far, Verdict::kTrue, ""},
              {far, far, Verdict::kTrue, ""}};
  const std::string html = render_reasoning(e);
  EXPECT_EQ(count(html, "<span"), 1u);
  EXPECT_NE(html.find("so up(drama) and <span class=\"claim false\""), std::string::npos);
}

TEST(Report, example_names_answer_and_truth_also_when_unknown) {
  ReportExample e = example("Golden Bell");
  e.answer = 0;
  e.truth = 9;
  const std::string html = render_examples(std::vector<ReportExample>{e});
  EXPECT_NE(html.find("<dt>Answer</dt><dd>none</dd>"), std::string::npos);
  EXPECT_NE(html.find("9. (not among the candidates)"), std::string::npos);
  EXPECT_NE(html.find("no answer"), std::string::npos);
}

TEST(Report, long_history_says_how_much_is_not_drawn) {
  ReportExample e = example("x");
  e.history.clear();
  for (int i = 0; i < 14; ++i) e.history.push_back({"T", "a", "day", 1700000000 + i});
  EXPECT_NE(render_examples(std::vector<ReportExample>{e}).find("5 earlier entries are not drawn"),
            std::string::npos);
}

TEST(Plots, ticks_are_round_and_cover_the_range) {
  EXPECT_EQ(nice_ticks(0, 1, 4), (std::vector<double>{0, 0.25, 0.5, 0.75, 1}));
  const std::vector<double> ticks = nice_ticks(-3, 47, 4);
  EXPECT_LE(ticks.front(), -3);
  EXPECT_GE(ticks.back(), 47);
  EXPECT_GE(nice_ticks(5, 5, 4).size(), 2u);
  EXPECT_GE(nice_ticks(1e9, 1e9 + 1e-6, 4).size(), 2u);
  EXPECT_THROW(nice_ticks(0, INFINITY, 4), Error);
}

TEST(Plots, line_breaks_at_values_that_are_not_finite) {
  const std::string svg =
      line_plot({"t", "step", {{"", {0, 1, 2, 3, 4}, {1, 2, std::nan(""), 2, 1}}}, {}, false});
  const size_t begin = svg.find(" d=\"") + 4;
  const std::string path = svg.substr(begin, svg.find('"', begin) - begin);
  EXPECT_EQ(count(path, "M"), 2u);
  EXPECT_EQ(count(path, "L"), 2u);
  EXPECT_EQ(count(svg, "nan"), 0u);
  EXPECT_EQ(count(svg, "<circle"), 4u);
}

TEST(Plots, empty_and_all_nan_plots_say_so) {
  EXPECT_NE(line_plot({"t", "x", {}, {}, false}).find("no values"), std::string::npos);
  EXPECT_NE(line_plot({"t", "x", {{"", {1}, {std::nan("")}}}, {}, false}).find("no values"),
            std::string::npos);
  EXPECT_NE(bar_plot({"t", "x", {}, -1, 0}).find("no values"), std::string::npos);
}

TEST(Plots, long_series_are_thinned_to_a_bounded_size) {
  Series series;
  for (int i = 0; i < 50'000; ++i) {
    series.x.push_back(i);
    series.y.push_back(std::sin(i / 5000.0));
  }
  const std::string svg = line_plot({"t", "x", {series}, {}, false});
  EXPECT_LT(svg.size(), 20'000u);
  EXPECT_GT(count(svg, "L"), 400u);
}

TEST(Plots, series_of_unequal_lengths_are_refused) {
  EXPECT_THROW(line_plot({"t", "x", {{"", {1, 2}, {1}}}, {}, false}), Error);
}

TEST(Plots, bars_skip_slots_without_rows) {
  EXPECT_EQ(count(bar_plot({"t", "x", {0.5, std::nan(""), 0.25}, 0.05, 0}), "<rect"), 2u);
}

TEST(Plots, whisker_places_the_mean_on_the_scale) {
  const std::string svg = whisker(0.5, 0.25, 0.75, 1, 0.05, -1);
  EXPECT_NE(svg.find("cx=\"100.0\""), std::string::npos);
  EXPECT_EQ(count(svg, "bayes"), 0u);
  EXPECT_NE(difference_whisker(0, -0.1, 0.1, 0.2).find("cx=\"80.0\""), std::string::npos);
}

TEST(Plots, time_line_keeps_true_proportions_above_and_even_columns_below) {
  const std::vector<TimeLineEvent> events = {{"A", "", "", 0},
                                             {"B", "", "day", 100 * 86400},
                                             {"C", "", "day", 101 * 86400},
                                             {"now", "", "", 400 * 86400}};
  const std::string svg = time_line(events);
  std::vector<double> axis, columns;
  for (size_t i = svg.find("cx=\""); i != std::string::npos; i = svg.find("cx=\"", i + 1)) {
    (svg.substr(i, 40).find("r=\"3\"") != std::string::npos ? axis : columns)
        .push_back(std::stod(svg.substr(i + 4)));
  }
  ASSERT_EQ(axis.size(), 4u);
  ASSERT_EQ(columns.size(), 4u);
  EXPECT_NEAR((axis[1] - axis[0]) / (axis[3] - axis[0]), 0.25, 0.002);
  EXPECT_NEAR(columns[2] - columns[1], columns[1] - columns[0], 0.2);
  EXPECT_TRUE(is_balanced(svg));
}

TEST(Plots, time_line_has_few_ticks_on_every_scale) {
  for (const int64_t span : {int64_t{60}, int64_t{7200}, int64_t{86400}, int64_t{86400 * 9},
                             int64_t{86400 * 60}, int64_t{86400} * 800, int64_t{86400} * 9000}) {
    const std::string svg =
        time_line({{"a", "", "", 1700000000}, {"b", "", "", 1700000000 + span}});
    EXPECT_LE(count(svg, "class=\"tick mid\""), 2u + 10u) << span;
  }
}

TEST(Plots, time_line_refuses_times_that_decrease) {
  EXPECT_THROW(time_line({{"a", "", "", 5}, {"b", "", "", 4}}), Error);
  EXPECT_THROW(time_line({}), Error);
}

TEST(Plots, dates_are_written_for_people) {
  EXPECT_EQ(format_date(0), "1 Jan 1970");
  EXPECT_EQ(format_date(1709164800), "29 Feb 2024");
  EXPECT_EQ(format_date(-1), "31 Dec 1969");
}

TEST(Summary, has_the_promised_keys_and_null_for_an_unknown_bound) {
  ReportData d = full_report("m");
  d.peak_rss_mb = 12;
  const OrderedJson json = summary_json(d);
  for (const char* key : {"model", "stage", "protocol", "n", "hit@1", "hit@1_low", "hit@1_high",
                          "ndcg@10", "mrr", "valid_ratio"}) {
    EXPECT_TRUE(json.at("rows")[0].contains(key)) << key;
  }
  EXPECT_EQ(json.at("rows")[1].at("hit@1"), 0.4);
  EXPECT_EQ(json.at("bayes").at("hit@1"), 0.5);
  EXPECT_EQ(json.at("seconds").at("m"), 90);
  EXPECT_EQ(json.at("peak_rss_mb"), 12);
  d.bayes.known = false;
  EXPECT_TRUE(summary_json(d).at("bayes").is_null());
}

TEST(Table, numbers_are_flushed_right_and_words_left) {
  const std::vector<std::vector<std::string>> rows = {
      {"name", "value"}, {"a", "1.5"}, {"café", "10.25"}};
  EXPECT_EQ(format_table(rows),
            "name  value\n"
            "────  ─────\n"
            "a       1.5\n"
            "café  10.25\n");
}

TEST(Table, metrics_have_random_level_bound_and_share) {
  const std::string table = format_metrics(full_report("m"));
  EXPECT_NE(table.find("random"), std::string::npos);
  EXPECT_NE(table.find("Bayes bound"), std::string::npos);
  EXPECT_NE(table.find("0.350-0.450"), std::string::npos);
  EXPECT_NE(table.find("80.0 %"), std::string::npos);
}

class MetricsFile : public testing::Test {
 protected:
  MetricsFile()
      : path_(fs::temp_directory_path() / fmt::format("etrlrec_metrics_{}.jsonl", ::getpid())) {}
  ~MetricsFile() override { fs::remove(path_); }
  fs::path path_;
};

TEST_F(MetricsFile, becomes_one_series_per_tag) {
  write_file_atomic(
      path_, "{\"step\":1,\"loss\":2.5}\n{\"step\":3,\"loss\":2,\"eval/hit@1\":0.5,\"kl\":null}\n");
  const auto series = load_metrics(path_);
  ASSERT_EQ(series.size(), 2u);
  EXPECT_EQ(series.at("loss").x, (std::vector<double>{1, 3}));
  EXPECT_EQ(series.at("loss").y, (std::vector<double>{2.5, 2}));
  EXPECT_EQ(series.at("eval/hit@1").x, (std::vector<double>{3}));
}

TEST_F(MetricsFile, refuses_lines_without_step_or_with_text) {
  write_file_atomic(path_, "{\"loss\":2.5}\n");
  EXPECT_THROW(load_metrics(path_), Error);
  write_file_atomic(path_, "{\"step\":1,\"loss\":\"low\"}\n");
  EXPECT_THROW(load_metrics(path_), Error);
}

TEST_F(MetricsFile, report_file_is_written_whole) {
  write_report(path_, full_report("m"));
  EXPECT_TRUE(read_file(path_).ends_with("</html>\n"));
}

}  // namespace
}  // namespace etrlrec
