#include "data/table_sniff.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/check.h"
#include "base/json.h"
#include "base/strings.h"
#include "data/table_parquet.h"
#include "data/table_stream.h"

namespace etrlrec {
namespace {

constexpr size_t kSniffBytes = 1 << 16;
constexpr size_t kSniffLines = 50;
constexpr std::array<const char*, 5> kDelimiters = {"\t", "::", ",", ";", "|"};

std::vector<std::string_view> split_lines(std::string_view text, bool complete) {
  std::vector<std::string_view> lines;
  while (!text.empty() && lines.size() < kSniffLines) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos && !complete && !lines.empty()) break;  // cut off
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back(line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

std::vector<std::string> split_fields(std::string_view line, std::string_view delimiter,
                                      bool quoting) {
  std::vector<std::string> fields(1);
  bool inside = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (quoting && line[i] == '"' && (inside || fields.back().empty())) {
      if (inside && i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += line[++i];
      } else {
        inside = !inside;
      }
    } else if (!inside && line.substr(i).starts_with(delimiter)) {
      fields.emplace_back();
      i += delimiter.size() - 1;
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

bool quotes_by_default(std::string_view delimiter) { return delimiter == "," || delimiter == ";"; }

// The delimiter that splits most lines into the same number (>= 2) of fields; more fields win a
// tie.
std::string find_delimiter(const std::vector<std::string_view>& lines, const TableOptions& options,
                           const std::string& name) {
  std::string best;
  std::pair<size_t, size_t> best_score{0, 1};  // lines that agree, fields
  for (const char* delimiter : kDelimiters) {
    std::map<size_t, size_t> counts;
    const bool quoting = options.quoting.value_or(quotes_by_default(delimiter));
    for (const auto line : lines) ++counts[split_fields(line, delimiter, quoting).size()];
    for (const auto& [fields, count] : counts) {
      if (fields >= 2 && std::pair(count, fields) > best_score) {
        best_score = {count, fields};
        best = delimiter;
      }
    }
  }
  CHECK(!best.empty(), kInput,
        "{}: expected a delimiter (tab, \"::\", comma, semicolon or bar) in the first lines, found "
        "\"{}\"\nhint: --delimiter",
        name, lines.front().substr(0, 80));
  return best;
}

bool is_number(std::string_view text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

// 2024-05-01 and everything that begins so.
bool is_date(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') return false;
  return is_number(text.substr(0, 4)) && is_number(text.substr(5, 2)) &&
         is_number(text.substr(8, 2));
}

// A first line with a hinted name is a header; one with a number, a date or an empty field is data;
// any other names the columns of the lines below it.
bool looks_like_header(const std::vector<std::vector<std::string>>& rows,
                       const std::vector<std::string>& hints) {
  const auto& first = rows.front();
  for (const std::string& cell : first) {
    for (const std::string& hint : hints) {
      if (ascii_lower(cell) == ascii_lower(hint)) return true;
    }
  }
  if (std::any_of(first.begin(), first.end(), [](const auto& cell) {
        return cell.empty() || is_number(cell) || is_date(cell);
      })) {
    return false;
  }
  return rows.size() > 1;
}

void sniff_delimited(std::string_view text, bool complete, const TableOptions& options,
                     TableInfo& info) {
  const std::string name = info.path.string();
  const auto lines = split_lines(text, complete);
  CHECK(!lines.empty(), kInput, "{}: expected rows, found an empty file", name);
  info.delimiter =
      options.delimiter.empty() ? find_delimiter(lines, options, name) : options.delimiter;
  CHECK(info.delimiter == "::" || info.delimiter.size() == 1, kUsage,
        "--delimiter: expected one character or \"::\", found \"{}\"", info.delimiter);
  info.quoting = options.quoting.value_or(quotes_by_default(info.delimiter));
  std::vector<std::vector<std::string>> rows;
  for (const auto line : lines) rows.push_back(split_fields(line, info.delimiter, info.quoting));
  info.header = options.header.value_or(looks_like_header(rows, options.header_hints));
  if (info.header) {
    info.columns = rows.front();
    rows.erase(rows.begin());
  } else {
    for (size_t c = 1; c <= rows.front().size(); ++c) info.columns.push_back(std::to_string(c));
  }
  rows.resize(std::min<size_t>(rows.size(), 3));
  info.first_rows = std::move(rows);
}

void sniff_json_lines(std::string_view text, bool complete, TableInfo& info) {
  const std::string name = info.path.string();
  CHECK(text.substr(text.find_first_not_of(" \t\r\n")).front() != '[', kInput,
        "{}: expected JSON Lines (one object per line), found an array\nhint: jq -c '.[]'", name);
  for (const auto line : split_lines(text, complete)) {
    const Json value = Json::parse(line, nullptr, false);
    if (!value.is_object()) continue;  // counted as a bad row when the file is read
    std::vector<std::string> cells;
    for (const auto& [key, cell] : value.items()) {
      if (std::find(info.columns.begin(), info.columns.end(), key) == info.columns.end()) {
        info.columns.push_back(key);
      }
      cells.push_back(cell.is_string() ? cell.get<std::string>() : cell.dump());
    }
    if (info.first_rows.size() < 3) info.first_rows.push_back(std::move(cells));
  }
  CHECK(!info.columns.empty(), kInput, "{}: expected a JSON object in the first lines, found none",
        name);
  info.header = true;
}

bool has_json_name(const std::filesystem::path& path) {
  const std::string name = ascii_lower(path.filename().string());
  return name.find(".jsonl") != std::string::npos || name.find(".ndjson") != std::string::npos ||
         name.find(".json") != std::string::npos;
}

}  // namespace

TableInfo sniff_table(const std::filesystem::path& path, const TableOptions& options) {
  CHECK(std::filesystem::is_regular_file(path), kInput, "{}: expected a file, found {}",
        path.string(), std::filesystem::exists(path) ? "something else" : "nothing");
  TableInfo info;
  info.path = path;
  info.compression = compression_of(path);
  const std::string text = read_beginning(path, info.compression, kSniffBytes);
  CHECK(!text.empty(), kInput, "{}: expected rows, found an empty file", path.string());
  if (text.starts_with("PAR1")) {
    info.kind = TableKind::kParquet;
    info.header = true;
    sniff_parquet(info);
    return info;
  }
  std::string_view body = text;
  if (body.starts_with("\xef\xbb\xbf")) body.remove_prefix(3);
  const size_t begin = body.find_first_not_of(" \t\r\n");
  CHECK(begin != std::string_view::npos, kInput, "{}: expected rows, found white space only",
        path.string());
  const bool complete = text.size() < kSniffBytes;
  if (body[begin] == '{' || (body[begin] == '[' && has_json_name(path))) {
    info.kind = TableKind::kJsonLines;
    sniff_json_lines(body, complete, info);
  } else {
    sniff_delimited(body, complete, options, info);
  }
  return info;
}

}  // namespace etrlrec
