#include "method/recipe_grid.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/arms.h"
#include "eval/document.h"
#include "eval/report_text.h"

namespace etrlrec {
namespace {

constexpr const char* kBaseCell = "base";

// "1,[2, 3],\"a,b\"" has three values.
std::vector<std::string> values_of(const std::string& text) {
  std::vector<std::string> values(1);
  int32_t depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0)
      quote = c == quote ? 0 : quote;
    else if (c == '"' || c == '\'')
      quote = c;
    else
      depth += (c == '[') - (c == ']');
    if (c == ',' && depth == 0 && quote == 0)
      values.emplace_back();
    else
      values.back() += c;
  }
  return values;
}

std::string folder_of(const std::string& id) {
  std::string folder = id;
  std::replace_if(
      folder.begin(), folder.end(),
      [](unsigned char c) {
        return std::isalnum(c) == 0 && c != '.' && c != '=' && c != '-' && c != '_';
      },
      '-');
  return folder;
}

// Something judged in one cell, by its seeds.
struct JudgedCell {
  std::string arm, cell;
  std::string key;  // of the first seed: what decides the result
  std::vector<Predictions> seeds;
};

std::vector<JudgedCell> judged_in(const GridCell& cell, const std::vector<RecipeOutcome>& runs) {
  std::vector<JudgedCell> judged;
  for (size_t arm = 0; arm < runs[0].results.arms.size(); ++arm) {
    JudgedCell& entry = judged.emplace_back();
    entry.arm = runs[0].results.arms[arm].id;
    entry.cell = cell.id;
    entry.key = runs[0].results.arms[arm].key;
    for (const RecipeOutcome& run : runs)
      entry.seeds.push_back(run.results.arms.at(arm).predictions);
  }
  return judged;
}

struct GridRow {
  std::string arm, cell;
  ArmSummary summary;
  std::optional<Comparison> against_base;
};

std::vector<GridRow> grid_rows(const std::vector<std::vector<JudgedCell>>& cells, uint64_t seed) {
  std::vector<GridRow> rows;
  std::vector<Comparison> family;
  for (const JudgedCell& base : cells[0]) {
    rows.push_back({base.arm, base.cell, summarize_arm(base.seeds, seed), std::nullopt});
    for (size_t c = 1; c < cells.size(); ++c)
      for (const JudgedCell& cell : cells[c]) {
        if (cell.arm != base.arm || cell.key == base.key) continue;
        rows.push_back({cell.arm, cell.cell, summarize_arm(cell.seeds, seed), std::nullopt});
        if (cell.seeds[0].candidates_hash != base.seeds[0].candidates_hash) continue;
        rows.back().against_base = compare_arms(cell.seeds, base.seeds, 10'000, seed);
        family.push_back(*rows.back().against_base);
      }
  }
  adjust_comparisons(family);
  auto adjusted = family.begin();
  for (GridRow& row : rows)
    if (row.against_base) row.against_base = *adjusted++;
  return rows;
}

TableRows grid_table(const std::vector<GridRow>& grid) {
  TableRows rows = {{"judged", "cell", "n", "hit@1", "95 %", "ndcg@10", "mrr", "from base", "95 %",
                     "p", "Holm p"}};
  for (const GridRow& row : grid) {
    const MetricRow& metrics = row.summary.row;
    rows.push_back({row.arm, row.cell, std::to_string(metrics.n),
                    fmt::format("{:.4f}", metrics.hit1.mean),
                    fmt::format("[{:.4f}, {:.4f}]", metrics.hit1.low, metrics.hit1.high),
                    fmt::format("{:.4f}", metrics.ndcg10), fmt::format("{:.4f}", metrics.mrr)});
    if (const auto& pair = row.against_base)
      rows.back().insert(
          rows.back().end(),
          {fmt::format("{:+.4f}", pair->hit1.difference),
           fmt::format("[{:+.4f}, {:+.4f}]", pair->hit1.low, pair->hit1.high),
           fmt::format("{:.2g}", pair->hit1.p_value), fmt::format("{:.2g}", pair->hit1_adjusted)});
    else
      rows.back().insert(rows.back().end(), 4, "");
  }
  return rows;
}

OrderedJson grid_json(const std::vector<GridCell>& cells, const std::vector<GridRow>& rows) {
  OrderedJson json = {{"schema_version", 1}, {"cells", OrderedJson::array()}};
  for (const GridCell& cell : cells)
    json["cells"].push_back({{"id", cell.id}, {"folder", folder_of(cell.id)}});
  json["rows"] = OrderedJson::array();
  for (const GridRow& row : rows) {
    OrderedJson entry = {{"id", row.arm}, {"cell", row.cell}};
    entry.update(to_json(row.summary.row));
    if (row.summary.seeds > 1) entry["seeds"] = row.summary.seeds;
    if (const auto& pair = row.against_base)
      entry["from_base"] = {
          {"hit@1", pair->hit1.difference},      {"hit@1_low", pair->hit1.low},
          {"hit@1_high", pair->hit1.high},       {"hit@1_p", pair->hit1.p_value},
          {"hit@1_p_holm", pair->hit1_adjusted}, {"ndcg@10", pair->ndcg10.difference},
          {"ndcg@10_p", pair->ndcg10.p_value}};
    json["rows"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

std::vector<GridCell> plan_grid(const Recipe& recipe, const std::vector<std::string>& ablations) {
  std::vector<GridCell> cells = {{kBaseCell, recipe}};
  std::set<std::string> folders = {kBaseCell};
  for (const std::string& ablation : ablations) {
    const size_t equals = ablation.find('=');
    CHECK(equals != std::string::npos && equals > 0, kUsage,
          "--ablate: expected KEY=v1,v2, found \"{}\"", ablation);
    for (const std::string& value : values_of(ablation.substr(equals + 1))) {
      CHECK(!value.empty(), kUsage,
            "--ablate {}: expected values joined by commas, found an empty "
            "one\nhint: \"\" takes an option back",
            ablation);
      GridCell& cell = cells.emplace_back();
      cell.id = ablation.substr(0, equals + 1) + value;
      CHECK(folders.insert(folder_of(cell.id)).second, kUsage,
            "--ablate {}: expected different cells, found two in a folder {}", ablation,
            folder_of(cell.id));
      cell.recipe = recipe;
      set_in_recipe(cell.recipe, cell.id);
    }
  }
  for (GridCell& cell : cells)
    cell.recipe.out = (fs::path(recipe.out) / folder_of(cell.id)).string();
  return cells;
}

fs::path run_grid(const Recipe& recipe, const std::vector<std::string>& ablations,
                  const ProgramCommands& commands, const RunOptions& options) {
  CHECK(!recipe.out.empty(), kUsage, "recipe {}: no folder\nhint: --out DIR, or out in the recipe",
        recipe.name);
  const fs::path out = recipe.out;
  CHECK(!fs::exists(out / "recipe.json"), kUsage,
        "{}: holds a run without --ablate\nhint: --out another folder", out.string());
  const std::vector<GridCell> cells = plan_grid(recipe, ablations);
  for (const GridCell& cell : cells)
    plan_recipe(cell.recipe, commands,
                {cell.recipe.out, recipe.seeds.at(0), name_of(options.numerics.arithmetic)});
  RunOptions of_cell = options;
  std::vector<std::vector<JudgedCell>> judged;
  for (size_t c = 0; c < cells.size(); ++c) {
    log_info("══ {} ({} of {})", cells[c].id, c + 1, cells.size());
    judged.push_back(judged_in(cells[c], carry_out_recipe(cells[c].recipe, commands, of_cell)));
    of_cell.earlier.emplace_back(cells[c].recipe.out);
  }
  const std::vector<GridRow> rows = grid_rows(judged, recipe.seeds[0]);
  const OrderedJson summary = grid_json(cells, rows);
  write_json_atomic(out / "summary.json", summary);
  const std::vector<DocumentPart> document = {
      {DocumentPart::kTable, {}, grid_table(rows)},
      {DocumentPart::kParagraph,
       "from base: the difference of hit@1 from the first cell on the same rows, with Holm over "
       "all "
       "of them; what a cell does not change is not repeated",
       {}}};
  for (const auto& [ending, format] :
       {std::pair{"txt", DocumentFormat::kText}, std::pair{"md", DocumentFormat::kMarkdown},
        std::pair{"tex", DocumentFormat::kLatex}, std::pair{"html", DocumentFormat::kHtml}})
    write_file_atomic(out / fmt::format("table.{}", ending), render(document, format));
  if (options.json)
    fmt::print("{}\n", summary.dump(2));
  else
    fmt::print("{}\ntable: {}\n", render(document, DocumentFormat::kText),
               (out / "table.html").string());
  return out / "table.html";
}

}  // namespace etrlrec
