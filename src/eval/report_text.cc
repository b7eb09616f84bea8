#include "eval/report_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "eval/html.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

bool looks_numeric(const std::string& text) {
  return text.empty() || text.find_first_not_of("0123456789.,+-% []<:–") == std::string::npos;
}

// RandomLevel or BayesBound.
template <typename Level>
OrderedJson level_json(const Level& level) {
  OrderedJson json;
  json["hit@1"] = level.hit1;
  json["hit@5"] = level.hit5;
  json["hit@10"] = level.hit10;
  json["ndcg@5"] = level.ndcg5;
  json["ndcg@10"] = level.ndcg10;
  json["mrr"] = level.mrr;
  return json;
}

}  // namespace

nlohmann::ordered_json to_json(const MetricRow& row) {
  OrderedJson json;
  json["model"] = row.model;
  json["stage"] = row.stage;
  json["protocol"] = row.protocol;
  json["n"] = row.n;
  json["hit@1"] = row.hit1.mean;
  json["hit@1_low"] = row.hit1.low;
  json["hit@1_high"] = row.hit1.high;
  json["hit@5"] = row.hit5;
  json["hit@10"] = row.hit10;
  json["ndcg@5"] = row.ndcg5;
  json["ndcg@10"] = row.ndcg10;
  json["mrr"] = row.mrr;
  json["valid_ratio"] = row.valid_ratio;
  if (row.calibration) {
    json["ece"] = row.calibration->ece;
    json["nll"] = row.calibration->nll;
  }
  return json;
}

nlohmann::ordered_json summary_json(const ReportData& data) {
  OrderedJson json;
  json["rows"] = OrderedJson::array();
  for (size_t r = 0; r < data.rows.size(); ++r) {
    OrderedJson row;
    if (r < data.arms.size()) row["id"] = data.arms[r].id;
    row.update(to_json(data.rows[r]));
    if (r < data.arms.size()) {
      row["seconds"] = data.arms[r].seconds;
      row["tokens"] = data.arms[r].tokens;
      if (data.arms[r].reasoning) row["reasoning"] = to_json(*data.arms[r].reasoning);
    }
    json["rows"].push_back(std::move(row));
  }
  json["random"] =
      data.num_candidates > 0 ? level_json(random_level(data.num_candidates)) : OrderedJson();
  json["bayes"] = data.bayes.known ? level_json(data.bayes) : OrderedJson();
  json["seconds"] = OrderedJson::object();
  for (const auto& [stage, seconds] : data.stage_seconds) json["seconds"][stage] = seconds;
  json["peak_rss_mb"] = data.peak_rss_mb;
  return json;
}

std::string format_table(std::span<const std::vector<std::string>> rows) {
  if (rows.empty()) return "";
  const size_t columns = rows[0].size();
  std::vector<size_t> widths(columns, 0);
  std::vector<bool> numeric(columns, true);
  for (size_t r = 0; r < rows.size(); ++r) {
    CHECK(rows[r].size() == columns, kFailure, "table row {}: expected {} cells, found {}", r,
          columns, rows[r].size());
    for (size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], code_points(rows[r][c]));
      if (r > 0 && !looks_numeric(rows[r][c])) numeric[c] = false;
    }
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t c = 0; c < columns; ++c) {
      const std::string padding(widths[c] - code_points(rows[r][c]), ' ');
      line += (c > 0 ? "  " : "") + (numeric[c] ? padding + rows[r][c] : rows[r][c] + padding);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    if (r > 0) continue;
    for (size_t c = 0; c < columns; ++c) {
      if (c > 0) out += "  ";
      for (size_t i = 0; i < widths[c]; ++i) out += "─";
    }
    out += "\n";
  }
  return out;
}

std::string format_metrics(const ReportData& data) {
  const auto number = [](double value) { return fmt::format("{:.3f}", value); };
  std::vector<std::vector<std::string>> rows = {{"model", "stage", "protocol", "n", "hit@1", "95 %",
                                                 "hit@5", "hit@10", "ndcg@10", "mrr", "valid"}};
  if (data.bayes.known) rows[0].push_back("of bound");
  const auto add_share = [&](double hit1) {
    if (data.bayes.known)
      rows.back().push_back(fmt::format("{:.1f} %", 100 * hit1 / data.bayes.hit1));
  };
  const auto add_level = [&](const char* name, const auto& level) {
    rows.push_back({name, "", "", "", number(level.hit1), "", number(level.hit5),
                    number(level.hit10), number(level.ndcg10), number(level.mrr), ""});
    add_share(level.hit1);
  };
  if (data.num_candidates > 0) add_level("random", random_level(data.num_candidates));
  for (const MetricRow& row : data.rows) {
    rows.push_back(
        {row.model, row.stage, row.protocol, std::to_string(row.n), number(row.hit1.mean),
         fmt::format("{:.3f}-{:.3f}", row.hit1.low, row.hit1.high), number(row.hit5),
         number(row.hit10), number(row.ndcg10), number(row.mrr), number(row.valid_ratio)});
    add_share(row.hit1.mean);
  }
  if (data.bayes.known) add_level("Bayes bound", data.bayes);
  return format_table(rows);
}

std::map<std::string, Series> load_metrics(const std::filesystem::path& path) {
  std::map<std::string, Series> result;
  for_each_json_line(path, [&](const Json& line, int64_t number) {
    const std::string name = fmt::format("{}:{}", path.string(), number);
    const auto step = static_cast<double>(get<int64_t>(line, "step", name));
    for (const auto& [tag, value] : line.items()) {
      if (tag == "step" || value.is_null()) continue;  // null: a value that was not finite
      CHECK(value.is_number(), kInput, "{}: \"{}\": expected a number, found {}", name, tag,
            value.dump());
      Series& series = result[tag];
      series.label = tag;
      series.x.push_back(step);
      series.y.push_back(value.get<double>());
    }
  });
  return result;
}

}  // namespace etrlrec
