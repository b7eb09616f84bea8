// Reads the expressions of a Jinja template, with Jinja's own precedence: filters and tests bind
// tighter than operators, `~` tighter than `+`. Internal to text/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace etrlrec {

// The place in a template's tokens, shared by the parsers of expressions and statements. Errors
// (kModel) "name:line: ...".
class JinjaExpressionParser {
 public:
  JinjaExpressionParser(std::vector<JinjaToken> tokens, std::string name);

  const JinjaToken& token() const { return tokens_[at_]; }
  const JinjaToken& next_token() const;
  JinjaToken take();
  bool skip(std::string_view op);         // true if it was there
  bool skip_name(std::string_view name);  // the same for a word
  void expect(std::string_view op);
  void expect_name(std::string_view name);
  std::string take_name();
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    etrlrec::fail(ExitCode::kModel, "{}:{}: {}", name_, token().line,
                  fmt::format(format, std::forward<Args>(args)...));
  }
  std::string describe_token() const;

  JinjaExpressionPtr parse_expression(bool with_condition = true);
  JinjaExpressionPtr parse_tuple(bool with_condition = true);  // one expression, or a, b
  JinjaExpressionPtr parse_target();                           // names to set, or namespace.name
  JinjaExpressionPtr parse_filters(JinjaExpressionPtr input);  // input | a | b; null without any
  JinjaExpressionPtr parse_call(JinjaExpressionPtr callee);
  JinjaExpressionPtr make(JinjaExpression::Kind kind, std::string name = "") const;
  // `node` with all its children; bounds the height of the tree.
  JinjaExpressionPtr close(JinjaExpressionPtr node) const;

  // Expressions and blocks in each other; a guard against stack overflow.
  class Depth {
   public:
    explicit Depth(JinjaExpressionParser& parser);
    Depth(const Depth&) = delete;
    ~Depth() { --parser_.depth_; }

   private:
    JinjaExpressionParser& parser_;
  };

 private:
  using Operand = JinjaExpressionPtr (JinjaExpressionParser::*)();
  JinjaExpressionPtr parse_chain(const char* name, Operand operand);  // a and b and c
  JinjaExpressionPtr parse_or();
  JinjaExpressionPtr parse_and();
  JinjaExpressionPtr parse_not();
  JinjaExpressionPtr parse_compare();
  JinjaExpressionPtr parse_binary(size_t level);
  JinjaExpressionPtr parse_unary(bool with_filters);
  JinjaExpressionPtr parse_primary();
  JinjaExpressionPtr parse_number();
  JinjaExpressionPtr parse_list();
  JinjaExpressionPtr parse_dict();
  JinjaExpressionPtr parse_postfix(JinjaExpressionPtr node);
  JinjaExpressionPtr parse_subscript(JinjaExpressionPtr node);
  JinjaExpressionPtr parse_subscribed(JinjaExpressionPtr node);
  JinjaExpressionPtr parse_filter_chain(JinjaExpressionPtr node);
  JinjaExpressionPtr parse_test(JinjaExpressionPtr node);
  void parse_arguments(JinjaExpression& call);
  bool ends_tuple() const;

  std::vector<JinjaToken> tokens_;
  std::string name_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace etrlrec
