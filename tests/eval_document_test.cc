// Tables for terminals, Markdown, LaTeX and HTML: shape and escaping.
#include <gtest/gtest.h>

#include "base/check.h"
#include "eval/document.h"

namespace etrlrec {
namespace {

const std::vector<DocumentPart> kParts = {
    {DocumentPart::kHeading, "a_b", {}},
    {DocumentPart::kParagraph, "p < .05", {}},
    {DocumentPart::kTable, {}, {{"model", "n"}, {"x|y", "40"}, {"z", "7"}}}};

TEST(Document, has_one_shape_in_every_format) {
  EXPECT_EQ(render(kParts, DocumentFormat::kText),
            "a_b\n\np < .05\n\nmodel   n\n─────  ──\nx|y    40\nz       7\n");
  EXPECT_EQ(render(kParts, DocumentFormat::kMarkdown),
            "## a\\_b\n\np \\< .05\n\n| model | n |\n|:--|--:|\n| x\\|y | 40 |\n| z | 7 |\n");
  EXPECT_EQ(render(kParts, DocumentFormat::kLatex),
            "\\paragraph{a\\_b}\n\np \\textless{} .05\n\n\\begin{tabular}{lr}\n\\hline\nmodel & n "
            "\\\\\n\\hline\nx\\textbar{}y & 40 \\\\\nz & 7 \\\\\n\\hline\n\\end{tabular}\n");
  const std::string html = render(kParts, DocumentFormat::kHtml);
  EXPECT_TRUE(html.starts_with("<!DOCTYPE html>\n"));
  EXPECT_NE(html.find("<body>\n<h2>a_b</h2>\n<p>p &lt; .05</p>\n<table>\n<tr><th>model</th><th "
                      "class=\"number\">n</th></tr>\n<tr><td>x|y</td><td "
                      "class=\"number\">40</td></tr>\n"),
            std::string::npos)
      << html;
  EXPECT_TRUE(html.ends_with("</table>\n</body>\n</html>\n"));
}

TEST(Document, escapes_every_mark_of_its_format) {
  const struct {
    const char *text, *markdown, *latex, *html;
  } cases[] = {
      {"a\nb\tc", "a b c", "a b c", "a b c"},
      {"\\", "\\\\", "\\textbackslash{}", "\\"},
      {"`*_~#", "\\`\\*\\_\\~\\#", "`*\\_\\textasciitilde{}\\#", "`*_~#"},
      {"{$^%&}", "{\\$^%\\&}", "\\{\\$\\textasciicircum{}\\%\\&\\}", "{$^%&amp;}"},
      {"[1]", "\\[1\\]", "{[}1{]}", "[1]"},
      {"<\"'>", "\\<\"'\\>", "\\textless{}\\char34{}'\\textgreater{}", "&lt;&quot;&#39;&gt;"},
      {"caf\xc3\xa9 –", "caf\xc3\xa9 –", "caf\xc3\xa9 –", "caf\xc3\xa9 –"},
      {"", "", "", ""}};
  for (const auto& c : cases) {
    EXPECT_EQ(escape_cell(c.text, DocumentFormat::kMarkdown), c.markdown);
    EXPECT_EQ(escape_cell(c.text, DocumentFormat::kLatex), c.latex);
    EXPECT_EQ(escape_cell(c.text, DocumentFormat::kHtml), c.html);
  }
}

TEST(Document, columns_of_numbers_are_flushed_right) {
  const auto alignment = [](const std::vector<std::string>& cells) {
    TableRows rows = {{"head"}};
    for (const std::string& cell : cells) rows.push_back({cell});
    const std::vector<DocumentPart> parts = {{DocumentPart::kTable, {}, rows}};
    const std::string text = render(parts, DocumentFormat::kLatex);
    return text.substr(std::string("\\begin{tabular}{").size(), 1);
  };
  EXPECT_EQ(alignment({"0.25", "1.7e-05", "", "–", "nan", "[-0.1, +0.2]"}), "r");
  for (const char* word : {"e", "a1", "- ", "markov"})
    EXPECT_EQ(alignment({"1", word}), "l") << word;
}

TEST(Document, formats_have_names_and_rows_equal_lengths) {
  for (const std::string& name : document_format_names()) EXPECT_NO_THROW(document_format(name));
  EXPECT_THROW(document_format("pdf"), Error);
  const std::vector<DocumentPart> ragged = {{DocumentPart::kTable, {}, {{"a", "b"}, {"1"}}}};
  for (const std::string& name : document_format_names())
    EXPECT_THROW(render(ragged, document_format(name)), Error) << name;
}

}  // namespace
}  // namespace etrlrec
