#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/delimited_reader.h"
#include "data/json_cells.h"
#include "data/python_literal.h"
#include "data/table_sniff.h"
#include "data/text_source.h"

namespace etrlrec {
namespace {

using Rows = std::vector<std::string>;

class Tables : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / ("etrlrec_tables_" + std::to_string(getpid()));
  }
  void TearDown() override { fs::remove(path_); }
  fs::path write(const std::string& text) {
    write_file_atomic(path_, text);
    return path_;
  }
  // "line: a|b|" of good rows, "line! reason" of bad ones.
  Rows rows(const std::string& text, const std::string& delimiter = ",", bool quoting = true,
            size_t fields = 2) {
    DelimitedReader reader(write(text), {delimiter, quoting}, fields);
    Rows out;
    for (RowState state; (state = reader.next()) != RowState::kEnd;) {
      if (state == RowState::kBlank) continue;
      std::string row = std::to_string(reader.line());
      if (state == RowState::kBad) {
        row += "! " + reader.reason();
      } else {
        row += ": ";
        for (const auto field : reader.fields()) row.append(field).append("|");
      }
      out.push_back(row);
    }
    return out;
  }
  fs::path path_;
};

TEST_F(Tables, quoted_fields_hold_delimiters_quotes_and_line_breaks) {
  EXPECT_EQ(rows("a,\"b, c\"\r\n\"d \"\"e\"\"\",f\n\"g\nh\",i\nj,\n\n,\"\"\nk,l"),
            (Rows{"1: a|b, c|", "2: d \"e\"|f|", "3: g\nh|i|", "5: j||", "7: ||", "8: k|l|"}));
}

TEST_F(Tables, a_stray_quote_costs_one_row) {
  std::string text;
  for (int i = 1; i <= 200; ++i) text += i == 100 ? "u,\"stray\n" : fmt::format("u{},i\n", i);
  const Rows found = rows(text);
  ASSERT_EQ(found.size(), 200u);
  EXPECT_EQ(found[99], "100! the quote of field 2 is not closed within 64 lines");
  EXPECT_EQ(found[100], "101: u101|i|");
  EXPECT_EQ(rows("a,\"b\nc,\"d, e\"\nf,g\n"),
            (Rows{"1! the quoted field 2 is followed by \"d, e\"\"", "2: c|d, e|", "3: f|g|"}));
  EXPECT_EQ(rows("a,b\nc,\"d"),
            (Rows{"1: a|b|", "2! the quote of field 2 is not closed before the end of the file"}));
  EXPECT_EQ(rows("a,\"b\nx,y\nc\",d\ne,f\n"),
            (Rows{"1! expected 2 fields, found 3", "2: x|y|", "3: c\"|d|", "4: e|f|"}));
}

TEST_F(Tables, quotes_inside_a_field_and_without_quoting_are_characters) {
  EXPECT_EQ(rows("5\" nail,a \"b\" c\n"), (Rows{"1: 5\" nail|a \"b\" c|"}));
  EXPECT_EQ(rows("\"a,b\n", ",", false), (Rows{"1: \"a|b|"}));
}

TEST_F(Tables, double_colons_in_a_title_stay) {
  EXPECT_EQ(rows("1::A :: B::Drama\n2::C::Crime\n", "::", false, 3),
            (Rows{"1: 1|A :: B|Drama|", "2: 2|C|Crime|"}));
}

TEST_F(Tables, utf16_becomes_utf8) {
  const std::string pair("\xff\xfe\x61\x00\x3d\xd8\x00\xde\x0a\x00\x00\xd8\x62\x00", 14);
  EXPECT_EQ(read_beginning(write(pair), 100).text, "a\xf0\x9f\x98\x80\n\xef\xbf\xbd\x62");
  const std::string big("\xfe\xff\x00\x61", 4);
  EXPECT_EQ(read_beginning(write(big), 100).encoding, "UTF-16BE");
  const std::string marked = std::string("\xef\xbb\xbf") + "a";
  EXPECT_EQ(read_beginning(write(marked), 100).text, "a");
}

TEST_F(Tables, archives_and_what_is_no_text_are_named) {
  const std::vector<std::pair<std::string, std::string>> inputs = {
      {"PK\x03\x04....", "zip"},
      {std::string("\xfd\x37zXZ\0..", 8), "xz"},
      {"7z\xbc\xaf....", "7z"},
      {std::string("a\0b\0\n\0", 6), "zero bytes"},
      {"a,b\rc,d\r", "\\r alone"}};
  for (const auto& [bytes, name] : inputs) {
    try {
      sniff_table(write(bytes), {});
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
}

TEST_F(Tables, tabs_are_quoted_where_the_lines_show_it) {
  EXPECT_TRUE(sniff_table(write("id\ttitle\ni0\t\"The \"\"Amber\"\"\"\ni1\tPlain\n"), {}).quoting);
  EXPECT_FALSE(sniff_table(write("id\ttitle\ni0\t\"Amber\" and more\ni1\tPlain\n"), {}).quoting);
  EXPECT_EQ(sniff_table(write("1 3\n1 5\n2 3\n"), {}).delimiter, " ");
}

std::string python(std::string_view text) {
  const auto value = parse_python_literal(text);
  return value ? value->dump() : "none";
}

TEST(PythonLiteral, reads_what_repr_writes) {
  EXPECT_EQ(python("{u'a': u\"pl'ayer\", 'b': [True, None, ('x',), {1, 2}], 'c': -4.50}"),
            R"({"a":"pl'ayer","b":[true,null,["x"],[1,2]],"c":"-4.50"})");
  EXPECT_EQ(python(R"('It\'s \x41\u00e9\U0001f600\n' "b" r'\n')"),
            Json("It's A\xc3\xa9\xf0\x9f\x98\x80\nb\\n").dump());
  EXPECT_EQ(python("'''a'b''' ''"), "\"a'b\"");
  EXPECT_EQ(python("123456789012345678901234567890"), "\"123456789012345678901234567890\"");
}

TEST(PythonLiteral, refuses_what_is_no_literal) {
  for (const char* text : {"", "{", "{'a'", "{'a':}", "['a' 1]", "'open", "name", "f()", "1 2",
                           "{'a': datetime.now()}", "'\\x4'"})
    EXPECT_EQ(python(text), "none") << text;
  EXPECT_EQ(python(std::string(100000, '[')), "none") << "depth is bounded";
}

TEST(JsonCells, numbers_keep_their_spelling) {
  const auto object = parse_object(
      R"({"a": 12345678901234567890123, "b": 100000.0, "c": 4.50, "d": -7})", ObjectSyntax::kJson);
  ASSERT_TRUE(object);
  EXPECT_EQ(cell_text((*object)["a"]), "12345678901234567890123");
  EXPECT_EQ(cell_text((*object)["b"]), "100000");
  EXPECT_EQ(cell_text((*object)["c"]), "4.50");
  EXPECT_EQ(cell_text((*object)["d"]), "-7");
}

TEST(JsonCells, lists_give_their_leaves_and_paths_their_values) {
  const auto object = parse_object(
      R"({"c": [["A", "B"], ["C"]], "g": [{"id": 1, "name": "Crime"}], "d": {"Brand": "X"}})",
      ObjectSyntax::kJson);
  ASSERT_TRUE(object);
  EXPECT_EQ(cell_text((*object)["c"]), std::string("A\x1f") + "B\x1f" + "C");
  EXPECT_EQ(cell_text((*object)["g"]), "Crime");
  EXPECT_EQ(cell_text(*find_cell(*object, "d.Brand")), "X");
  EXPECT_EQ(find_cell(*object, "d.Colour"), nullptr);
}

TEST(JsonCells, cells_that_spell_lists_are_lists) {
  EXPECT_EQ(listed_names("['Drama', 'Toys & Games']"), (Rows{"Drama", "Toys & Games"}));
  EXPECT_EQ(listed_names(R"(["a","b"])"), (Rows{"a", "b"}));
  EXPECT_EQ(listed_names("'Toys & Games', 'Puzzles'"), (Rows{"Toys & Games", "Puzzles"}));
  EXPECT_EQ(listed_names("[{'id': 16, 'name': 'Animation'}]"), (Rows{"Animation"}));
  for (const char* text : {"", "Drama", "[Drama]", "'Til Dawn", "(Drama", "'a' and 'b'"})
    EXPECT_FALSE(listed_names(text)) << text;
}

}  // namespace
}  // namespace etrlrec
