#include "data/layout_recbole.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/strings.h"
#include "data/table_sniff.h"
#include "data/text_source.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHeaderBytes = 1 << 16;

bool has_type(std::string_view field) {
  for (const char* type : {":token", ":token_seq", ":float", ":float_seq"})
    if (trim(field).ends_with(type)) return true;
  return false;
}

// The delimiter between the header's fields, which all have a type.
std::string header_delimiter(const fs::path& path) {
  const std::string text = read_beginning(path, kHeaderBytes).text;
  const std::string_view header = std::string_view(text).substr(0, text.find('\n'));
  for (const char delimiter : {'\t', ',', ';', '|', ' '}) {
    size_t typed = 0, fields = 1;
    std::string_view rest = header;
    for (size_t end; (end = rest.find(delimiter)) != std::string_view::npos; ++fields) {
      typed += has_type(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    if (typed + has_type(rest) == fields && fields > 1) return std::string(1, delimiter);
  }
  return "\t";
}

// Header "name:type": names stay in the table, types are returned.
Names take_types(TableInfo& table) {
  Names types;
  for (std::string& column : table.columns) {
    const size_t colon = column.rfind(':');
    CHECK(colon != std::string::npos, kInput,
          "{}: expected a header of name:type fields as in RecBole's atomic files, found \"{}\"",
          table.path.string(), column);
    types.push_back(std::string(trim(std::string_view(column).substr(colon + 1))));
    column.resize(colon);
  }
  return types;
}

TableInfo sniff_atomic(const fs::path& path, const TableOptions& asked) {
  TableOptions options = asked;
  if (options.delimiter.empty()) options.delimiter = header_delimiter(path);
  options.header = true;
  if (!options.quoting) options.quoting = false;
  return sniff_table(path, options);
}

bool is_atomic(const fs::path& path, const std::string& suffix) {
  return fs::path(plain_name(path)).extension() == suffix;
}

// "shop.train.inter.gz" is a part of "shop".
std::string without_part(const fs::path& path) {
  fs::path name = fs::path(plain_name(path)).stem();
  const std::string part = ascii_lower(name.extension().string());
  const bool known =
      part == ".train" || part == ".valid" || part == ".test" || part.starts_with(".part");
  return (known ? name.stem() : name).string();
}

// The files of the folder with the suffix, parts of one table in order; several tables are an
// error.
std::vector<fs::path> find_atomic(const fs::path& folder, const std::string& suffix) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_atomic(entry.path(), suffix)) found.push_back(entry.path());
  const auto rank = [](const fs::path& path) {
    const std::string name = ascii_lower(plain_name(path));
    return std::pair(name.find(".test.") != std::string::npos    ? 2
                     : name.find(".valid.") != std::string::npos ? 1
                                                                 : 0,
                     name);
  };
  std::sort(found.begin(), found.end(),
            [&](const fs::path& a, const fs::path& b) { return rank(a) < rank(b); });
  for (const fs::path& path : found)
    CHECK(without_part(path) == without_part(found[0]), kInput,
          "{}: expected one {} file or the parts of one, found {} and {}", folder.string(), suffix,
          found[0].filename().string(), path.filename().string());
  return found;
}

void plan_title(const Names& types, const ReaderOptions& options, LogPlan& plan) {
  TableInfo& table = *plan.items;
  plan.title = options.title.empty() ? -1 : named_column(table, options.title, "--title");
  for (size_t c = 0; c < types.size() && plan.title < 0; ++c) {
    const std::string name = ascii_lower(table.columns[c]);
    const bool named = name.find("title") != std::string::npos || name == "name";
    if (types[c] == "token_seq" && named) plan.title = static_cast<int32_t>(c);
  }
  if (plan.title < 0) plan.title = guessed_column(table, usual_title_names());
  CHECK(plan.title >= 0, kUsage,
        "{}: no column looks like a title; columns: {}\nhint: --title COLUMN", table.path.string(),
        listed(table.columns));
}

void plan_items(const fs::path& path, const ReaderOptions& options, LogPlan& plan) {
  plan.items = sniff_atomic(path, options.item_table);
  TableInfo& table = *plan.items;
  const Names types = take_types(table);
  const std::string& log_name = plan.logs[0].columns[static_cast<size_t>(plan.item)];
  plan.item_id = options.item_column.empty()
                     ? find_column(table.columns, log_name)
                     : named_column(table, options.item_column, "--item-column");
  if (plan.item_id < 0) plan.item_id = guessed_column(table, usual_item_names());
  CHECK(plan.item_id >= 0, kUsage, "{}: no column \"{}\"; columns: {}\nhint: --item-column COLUMN",
        table.path.string(), log_name, listed(table.columns));
  plan_title(types, options, plan);
  for (size_t c = 0; c < types.size(); ++c) {
    const auto column = static_cast<int32_t>(c);
    const bool asked = std::find(options.attributes.begin(), options.attributes.end(),
                                 table.columns[c]) != options.attributes.end();
    const bool wanted = options.attributes.empty() ? types[c] == "token_seq" : asked;
    if (!wanted || column == plan.title || column == plan.item_id) continue;
    // A token is one value; a sequence may also be written as a list of quoted names.
    const std::string usual = types[c] == "token_seq" ? " " : "\n";
    plan.attributes.push_back({column, table.columns[c], options.attribute_separator, usual, ""});
  }
  for (const std::string& name : options.attributes) named_column(table, name, "--attributes");
}

}  // namespace

std::optional<LogPlan> plan_recbole(const fs::path& path, const ReaderOptions& options) {
  const bool folder = fs::is_directory(path);
  const auto logs = folder                      ? find_atomic(path, ".inter")
                    : is_atomic(path, ".inter") ? std::vector{path}
                                                : std::vector<fs::path>{};
  if (logs.empty()) return std::nullopt;
  LogPlan plan;
  plan.format = logs.size() == 1 ? "recbole" : fmt::format("recbole, {} parts", logs.size());
  for (const fs::path& log : logs) {
    plan.logs.push_back(sniff_atomic(log, options.log_table));
    take_types(plan.logs.back());
    CHECK(plan.logs.back().columns == plan.logs[0].columns, kInput,
          "{}: expected the columns of {}, found {}", log.string(), logs[0].string(),
          listed(plan.logs.back().columns));
  }
  find_log_columns(options, plan);
  auto items = options.items.empty() ? find_atomic(logs[0].parent_path(), ".item")
                                     : std::vector{options.items};
  if (!folder && options.items.empty())
    std::erase_if(items,
                  [&](const fs::path& item) { return without_part(item) != without_part(path); });
  if (!items.empty()) plan_items(items[0], options, plan);
  return plan;
}

}  // namespace etrlrec
