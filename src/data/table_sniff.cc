#include "data/table_sniff.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/check.h"
#include "base/json.h"
#include "base/strings.h"
#include "data/delimited_reader.h"
#include "data/json_cells.h"
#include "data/table_parquet.h"
#include "data/table_stream.h"
#include "data/text_source.h"

namespace etrlrec {
namespace {

constexpr size_t kSniffBytes = 1 << 20;
constexpr size_t kSniffLines = 2000;
// A blank is tried last, since it stands in texts.
constexpr std::array<const char*, 6> kDelimiters = {"\t", "::", ",", ";", "|", " "};

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

// True for a field in quotes whose own quotes are all doubled.
bool is_quoted(std::string_view field) {
  if (field.size() < 2 || field.front() != '"' || field.back() != '"') return false;
  field = field.substr(1, field.size() - 2);
  for (size_t i = 0; (i = field.find('"', i)) != std::string_view::npos; i += 2) {
    if (i + 1 == field.size() || field[i + 1] != '"') return false;
  }
  return true;
}

// Some fields are quoted, and every field that begins with a quote is.
bool shows_quoting(const std::vector<std::string_view>& lines, std::string_view delimiter) {
  int64_t quoted = 0;
  for (const auto line : lines) {
    for (const std::string& field : split_fields(line, delimiter, false)) {
      if (!field.starts_with('"')) continue;
      if (!is_quoted(field)) return false;
      ++quoted;
    }
  }
  return quoted > 0;
}

// The delimiter that splits most lines into the same number (>= 2) of fields; more fields win a
// tie.
std::string find_delimiter(const std::vector<std::string_view>& lines, const TableOptions& options,
                           const std::string& name) {
  std::string best;
  std::pair<size_t, size_t> best_score{0, 1};  // lines that agree, fields
  for (const char* delimiter : kDelimiters) {
    if (delimiter == std::string_view(" ") && !best.empty()) break;
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
        "{}: expected a delimiter (tab, \"::\", comma, semicolon, bar or blank) in the first "
        "lines, found "
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
  info.quoting = options.quoting.value_or(quotes_by_default(info.delimiter) ||
                                          shows_quoting(lines, info.delimiter));
  std::vector<std::vector<std::string>> rows;
  DelimitedReader reader(info.path, {info.delimiter, info.quoting}, 0);
  for (RowState state; rows.size() < 4 && (state = reader.next()) != RowState::kEnd;) {
    if (state == RowState::kRow) rows.emplace_back(reader.fields().begin(), reader.fields().end());
  }
  CHECK(!rows.empty(), kInput, "{}: expected rows, found none that can be split into fields", name);
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

void sniff_objects(std::string_view text, bool complete, TableInfo& info) {
  const std::string name = info.path.string();
  CHECK(text.substr(text.find_first_not_of(" \t\r\n")).front() != '[', kInput,
        "{}: expected JSON Lines (one object per line), found an array\nhint: jq -c '.[]'", name);
  for (const TableKind kind : {TableKind::kJsonLines, TableKind::kPythonLines}) {
    info.kind = kind;
    for (const auto line : split_lines(text, complete)) {
      // A line that is none counts as a bad row when the file is read.
      const auto value = parse_object(line, object_syntax(kind));
      if (!value) continue;
      std::vector<std::string> cells;
      for (const auto& [key, cell] : value->items()) {
        if (std::find(info.columns.begin(), info.columns.end(), key) == info.columns.end())
          info.columns.push_back(key);
        cells.push_back(cell_text(cell));
      }
      if (info.first_rows.size() < 3) info.first_rows.push_back(std::move(cells));
    }
    if (!info.columns.empty()) break;
  }
  CHECK(!info.columns.empty(), kInput,
        "{}: expected one JSON object or Python dict per line, found none in the first lines",
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
  const Beginning beginning = read_beginning(path, kSniffBytes);
  const std::string& text = beginning.text;
  info.compression = beginning.compression;
  info.encoding = beginning.encoding;
  CHECK(!text.empty(), kInput, "{}: expected rows, found an empty file", path.string());
  if (text.starts_with("PAR1")) {
    info.kind = TableKind::kParquet;
    info.header = true;
    sniff_parquet(info);
    return info;
  }
  const size_t begin = text.find_first_not_of(" \t\r\n");
  CHECK(begin != std::string_view::npos, kInput, "{}: expected rows, found white space only",
        path.string());
  CHECK(text.find('\0') == std::string::npos, kInput,
        "{}: expected text, found zero bytes (UTF-16 without its mark, or no text at all)\nhint: "
        "iconv "
        "-f UTF-16LE -t UTF-8",
        path.string());
  CHECK(text.find('\n') != std::string::npos || text.find('\r') == std::string::npos, kInput,
        "{}: expected lines that end in \\n, found \\r alone\nhint: tr '\\r' '\\n'", path.string());
  if (text[begin] == '{' || (text[begin] == '[' && has_json_name(path))) {
    sniff_objects(text, beginning.complete, info);
  } else {
    sniff_delimited(text, beginning.complete, options, info);
  }
  return info;
}

}  // namespace etrlrec
