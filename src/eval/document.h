// Small documents of headings, paragraphs and tables, for the terminal, Markdown, LaTeX or HTML.
// Whatever names of models and items say, it is text there: every format escapes it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

enum class DocumentFormat { kText, kMarkdown, kLatex, kHtml };
std::vector<std::string> document_format_names();       // text | markdown | latex | html
DocumentFormat document_format(std::string_view name);  // error (kUsage) lists the names

using TableRows = std::vector<std::vector<std::string>>;  // the first one is the head

struct DocumentPart {
  enum Kind : int8_t { kHeading, kParagraph, kTable };
  Kind kind = kParagraph;
  std::string text{};  // of a heading or paragraph
  TableRows rows{};
};

// Text as it stands in a cell of this format. Line ends become blanks.
std::string escape_cell(std::string_view text, DocumentFormat format);
// Columns of numbers are flushed right. LaTeX needs no package, HTML is a whole page that loads
// nothing.
std::string render(std::span<const DocumentPart> parts, DocumentFormat format);

}  // namespace etrlrec
