#include "eval/document.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "eval/html.h"
#include "eval/report_text.h"

namespace etrlrec {
namespace {

constexpr std::array<std::pair<std::string_view, DocumentFormat>, 4> kFormats{
    {{"text", DocumentFormat::kText},
     {"markdown", DocumentFormat::kMarkdown},
     {"latex", DocumentFormat::kLatex},
     {"html", DocumentFormat::kHtml}}};

// Of CommonMark and its tables; a backslash makes any of them plain.
constexpr std::string_view kMarkdownMarks = "\\`*_[]<>|#~&$";

std::string_view latex_of(char c) {
  switch (c) {
    case '\\':
      return "\\textbackslash{}";
    case '~':
      return "\\textasciitilde{}";
    case '^':
      return "\\textasciicircum{}";
    case '<':
      return "\\textless{}";
    case '>':
      return "\\textgreater{}";
    case '|':
      return "\\textbar{}";
    case '"':
      return "\\char34{}";
    case '[':  // behind the end of a row it would begin an option
      return "{[}";
    case ']':
      return "{]}";
    case '&':
      return "\\&";
    case '%':
      return "\\%";
    case '$':
      return "\\$";
    case '#':
      return "\\#";
    case '_':
      return "\\_";
    case '{':
      return "\\{";
    case '}':
      return "\\}";
    default:
      return {};
  }
}

std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return line;
}

// "0.25", "[-0.1, +0.2]", "1.7e-05", and what stands for no number.
bool is_number_cell(std::string_view cell) {
  if (cell.empty() || cell == "–" || cell == "nan") return true;
  return cell.find_first_not_of("+-[]<,.0123456789e ") == std::string_view::npos &&
         cell.find_first_of("0123456789") != std::string_view::npos;
}

// Whether every cell below the head is a number.
std::vector<bool> number_columns(const TableRows& rows) {
  std::vector<bool> numbers(rows.empty() ? 0 : rows[0].size(), true);
  for (size_t r = 0; r < rows.size(); ++r) {
    CHECK(rows[r].size() == numbers.size(), kFailure, "table row {}: expected {} cells, found {}",
          r, numbers.size(), rows[r].size());
    for (size_t c = 0; c < numbers.size(); ++c)
      if (r > 0 && !is_number_cell(rows[r][c])) numbers[c] = false;
  }
  return numbers;
}

std::vector<std::string> escaped(const std::vector<std::string>& row, DocumentFormat format) {
  std::vector<std::string> cells;
  for (const std::string& cell : row) cells.push_back(escape_cell(cell, format));
  return cells;
}

std::string markdown_table(const TableRows& rows) {
  const std::vector<bool> numbers = number_columns(rows);
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    out += fmt::format("| {} |\n", fmt::join(escaped(rows[r], DocumentFormat::kMarkdown), " | "));
    if (r > 0) continue;
    for (const bool number : numbers) out += number ? "|--:" : "|:--";
    out += "|\n";
  }
  return out;
}

std::string latex_table(const TableRows& rows) {
  std::string columns;
  for (const bool number : number_columns(rows)) columns += number ? 'r' : 'l';
  std::string out = fmt::format("\\begin{{tabular}}{{{}}}\n\\hline\n", columns);
  for (size_t r = 0; r < rows.size(); ++r) {
    out += fmt::format("{} \\\\\n", fmt::join(escaped(rows[r], DocumentFormat::kLatex), " & "));
    if (r == 0) out += "\\hline\n";
  }
  return out + "\\hline\n\\end{tabular}\n";
}

std::string html_table(const TableRows& rows) {
  const std::vector<bool> numbers = number_columns(rows);
  std::string out = "<table>\n";
  for (size_t r = 0; r < rows.size(); ++r) {
    out += "<tr>";
    for (size_t c = 0; c < rows[r].size(); ++c)
      out += fmt::format("<{0}{1}>{2}</{0}>", r == 0 ? "th" : "td",
                         numbers[c] ? " class=\"number\"" : "",
                         escape_cell(rows[r][c], DocumentFormat::kHtml));
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

std::string rendered_part(const DocumentPart& part, DocumentFormat format) {
  if (part.kind == DocumentPart::kTable) switch (format) {
      case DocumentFormat::kText:
        return format_table(part.rows);
      case DocumentFormat::kMarkdown:
        return markdown_table(part.rows);
      case DocumentFormat::kLatex:
        return latex_table(part.rows);
      case DocumentFormat::kHtml:
        return html_table(part.rows);
    }
  const bool heading = part.kind == DocumentPart::kHeading;
  const std::string text = escape_cell(part.text, format);
  switch (format) {
    case DocumentFormat::kText:
      return text + "\n";
    case DocumentFormat::kMarkdown:
      return fmt::format("{}{}\n", heading ? "## " : "", text);
    case DocumentFormat::kLatex:
      return heading ? fmt::format("\\paragraph{{{}}}\n", text) : text + "\n";
    case DocumentFormat::kHtml:
      break;
  }
  return fmt::format("<{0}>{1}</{0}>\n", heading ? "h2" : "p", text);
}

constexpr std::string_view kPageHead =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta "
    "charset=\"utf-8\">\n<title>etrlrec</title>\n"
    "<style>body { font: 15px/1.5 sans-serif; margin: 2em; } table { border-collapse: collapse; } "
    "th, td { padding: .2em .7em; text-align: left; border-bottom: 1px solid #ccc; } .number { "
    "text-align: right; font-variant-numeric: tabular-nums; }</style>\n</head>\n<body>\n";
constexpr std::string_view kPageEnd = "</body>\n</html>\n";

}  // namespace

std::vector<std::string> document_format_names() {
  std::vector<std::string> names;
  for (const auto& format : kFormats) names.emplace_back(format.first);
  return names;
}

DocumentFormat document_format(std::string_view name) {
  for (const auto& format : kFormats)
    if (format.first == name) return format.second;
  fail(ExitCode::kUsage, "unknown format \"{}\"; known: {}", name,
       fmt::join(document_format_names(), ", "));
}

std::string escape_cell(std::string_view text, DocumentFormat format) {
  const std::string line = one_line(text);
  if (format == DocumentFormat::kText) return line;
  if (format == DocumentFormat::kHtml) return escape_html(line);
  std::string out;
  for (const char c : line) {
    const std::string_view other =
        format == DocumentFormat::kLatex ? latex_of(c) : std::string_view{};
    const bool marked =
        format == DocumentFormat::kMarkdown && kMarkdownMarks.find(c) != std::string_view::npos;
    if (marked) out += '\\';
    if (other.empty())
      out += c;
    else
      out += other;
  }
  return out;
}

std::string render(std::span<const DocumentPart> parts, DocumentFormat format) {
  const bool page = format == DocumentFormat::kHtml;
  std::string out(page ? kPageHead : "");
  for (size_t p = 0; p < parts.size(); ++p) {
    if (p > 0 && !page) out += '\n';
    out += rendered_part(parts[p], format);
  }
  return out.append(page ? kPageEnd : "");
}

}  // namespace etrlrec
