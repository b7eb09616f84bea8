#include "text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "text/jinja_expression_parser.h"

namespace etrlrec {
namespace {

using ExpressionKind = JinjaExpression::Kind;
using StatementKind = JinjaStatement::Kind;
using TokenKind = JinjaToken::Kind;
using StatementPtr = std::unique_ptr<JinjaStatement>;
constexpr int kMaxBranches = 100;  // each is nested in the one before

using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  Parser(std::string_view text, const std::string& name)
      : in_(read_jinja_tokens(text, name), name) {}
  JinjaBody parse_template();

 private:
  JinjaBody parse_body(Names ends);
  StatementPtr parse_tag();
  StatementPtr parse_if();
  StatementPtr parse_for();
  StatementPtr parse_set();
  StatementPtr parse_macro();
  StatementPtr parse_call_block();
  StatementPtr parse_filter_block();
  StatementPtr parse_with();
  void parse_parameters(JinjaStatement& out);
  void end_tag();
  JinjaBody parse_block(std::string_view end);      // body and the tag that ends it
  JinjaBody parse_own_block(std::string_view end);  // the same, which no break can leave
  JinjaBody parse_else(std::string_view end);       // what stands behind "else", up to the end
  StatementPtr make(StatementKind kind) const;

  JinjaExpressionParser in_;
  int loops_ = 0;  // that a break here would leave
};

StatementPtr Parser::make(StatementKind kind) const {
  auto node = std::make_unique<JinjaStatement>();
  node->kind = kind;
  node->line = in_.token().line;
  return node;
}

void Parser::end_tag() {
  if (in_.token().kind != TokenKind::kBlockEnd)
    in_.fail("expected the end of the tag, found {}", in_.describe_token());
  in_.take();
}

JinjaBody Parser::parse_template() {
  JinjaBody body = parse_body({});
  if (in_.token().kind != TokenKind::kEnd)
    in_.fail("unexpected tag \"{}\"", in_.next_token().value);
  return body;
}

// Up to a tag of one of the names, which is left to be read.
JinjaBody Parser::parse_body(Names ends) {
  const JinjaExpressionParser::Depth depth(in_);
  JinjaBody body;
  for (;;) {
    const JinjaToken& token = in_.token();
    if (token.kind == TokenKind::kText) {
      body.push_back(make(StatementKind::kText));
      body.back()->name = in_.take().value;
    } else if (token.kind == TokenKind::kPrintBegin) {
      in_.take();
      body.push_back(make(StatementKind::kPrint));
      body.back()->value = in_.parse_tuple();
      if (in_.token().kind != TokenKind::kPrintEnd)
        in_.fail("expected the end of the tag, found {}", in_.describe_token());
      in_.take();
    } else if (token.kind == TokenKind::kBlockBegin) {
      const JinjaToken& name = in_.next_token();
      for (std::string_view end : ends)
        if (name.is_name(end)) return body;
      if (ends.size() == 0 && (name.value.starts_with("end") || name.value.starts_with("el")))
        return body;
      in_.take();
      body.push_back(parse_tag());
    } else {
      if (ends.size() > 0)
        in_.fail("expected a tag \"{}\", found {}", *(ends.end() - 1), in_.describe_token());
      return body;
    }
  }
}

JinjaBody Parser::parse_block(std::string_view end) {
  end_tag();
  JinjaBody body = parse_body({end});
  in_.take();
  in_.take();
  return body;
}

JinjaBody Parser::parse_own_block(std::string_view end) {
  const int loops = std::exchange(loops_, 0);
  JinjaBody body = parse_block(end);
  loops_ = loops;
  return body;
}

JinjaBody Parser::parse_else(std::string_view end) {
  if (in_.skip_name("else")) return parse_block(end);
  in_.expect_name(end);
  return {};
}

StatementPtr Parser::parse_tag() {
  static constexpr std::pair<std::string_view, StatementPtr (Parser::*)()> kTags[] = {
      {"if", &Parser::parse_if},           {"for", &Parser::parse_for},
      {"set", &Parser::parse_set},         {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call_block}, {"filter", &Parser::parse_filter_block},
      {"with", &Parser::parse_with}};
  const std::string tag = in_.take_name();
  StatementPtr node;
  for (const auto& [name, parse] : kTags)
    if (tag == name) node = (this->*parse)();
  if (tag == "generation") {
    node = make(StatementKind::kScope);
    node->body = parse_own_block("endgeneration");
  } else if (tag == "break" || tag == "continue") {
    node = make(tag == "break" ? StatementKind::kBreak : StatementKind::kContinue);
    if (loops_ == 0) in_.fail("\"{}\" outside of a loop", tag);
  } else if (tag == "print") {
    node = make(StatementKind::kPrint);
    node->value = in_.parse_tuple();
  }
  if (!node) in_.fail("the tag \"{}\" is not supported", tag);
  end_tag();
  return node;
}

StatementPtr Parser::parse_if() {
  StatementPtr first = make(StatementKind::kIf);
  JinjaStatement* node = first.get();
  for (int branches = 1;; ++branches) {
    if (branches > kMaxBranches) in_.fail("more than {} branches of an if", kMaxBranches);
    node->condition = in_.parse_tuple(false);
    end_tag();
    node->body = parse_body({"elif", "else", "endif"});
    in_.take();
    if (!in_.skip_name("elif")) break;
    node->other.push_back(make(StatementKind::kIf));
    node = node->other.back().get();
  }
  node->other = parse_else("endif");
  return first;
}

StatementPtr Parser::parse_for() {
  StatementPtr node = make(StatementKind::kFor);
  node->target = in_.parse_target();
  in_.expect_name("in");
  node->value = in_.parse_tuple(false);
  if (in_.skip_name("if")) node->condition = in_.parse_expression();
  if (in_.token().is_name("recursive")) in_.fail("recursive loops are not supported");
  end_tag();
  ++loops_;
  node->body = parse_body({"else", "endfor"});
  --loops_;
  in_.take();
  node->other = parse_else("endfor");
  return node;
}

StatementPtr Parser::parse_set() {
  StatementPtr node = make(StatementKind::kSet);
  node->target = in_.parse_target();
  if (in_.skip("=")) {
    node->value = in_.parse_tuple();
    return node;
  }
  node->kind = StatementKind::kSetBlock;
  if (node->target->kind == ExpressionKind::kTuple)
    in_.fail("expected \"=\", found {}", in_.describe_token());
  node->value = in_.parse_filters(nullptr);
  node->body = parse_own_block("endset");
  return node;
}

void Parser::parse_parameters(JinjaStatement& out) {
  in_.expect("(");
  while (!in_.token().is(")")) {
    if (!out.parameters.empty()) in_.expect(",");
    if (in_.token().is(")")) break;
    const bool had_default = !out.parameters.empty() && out.parameters.back().value;
    out.parameters.push_back({in_.take_name(), nullptr});
    if (in_.skip("="))
      out.parameters.back().value = in_.parse_expression();
    else if (had_default)
      in_.fail("a parameter without a default follows one with a default");
  }
  in_.expect(")");
}

StatementPtr Parser::parse_macro() {
  StatementPtr node = make(StatementKind::kMacro);
  node->name = in_.take_name();
  parse_parameters(*node);
  node->body = parse_own_block("endmacro");
  return node;
}

StatementPtr Parser::parse_call_block() {
  StatementPtr node = make(StatementKind::kCallBlock);
  node->name = "caller";
  if (in_.token().is("(")) parse_parameters(*node);
  node->value = in_.parse_expression();
  if (node->value->kind != ExpressionKind::kCall) in_.fail("expected a call of a macro");
  node->body = parse_own_block("endcall");
  return node;
}

StatementPtr Parser::parse_filter_block() {
  StatementPtr node = make(StatementKind::kFilterBlock);
  // The first filter has no | in front of it.
  JinjaExpressionPtr call = in_.make(ExpressionKind::kFilter, in_.take_name());
  call->children.push_back(nullptr);
  if (in_.token().is("(")) {
    JinjaExpressionPtr arguments = in_.parse_call(nullptr);
    call->children = std::move(arguments->children);
    call->keywords = std::move(arguments->keywords);
  }
  node->value = in_.parse_filters(std::move(call));
  node->body = parse_own_block("endfilter");
  return node;
}

StatementPtr Parser::parse_with() {
  StatementPtr node = make(StatementKind::kScope);
  while (in_.token().kind != TokenKind::kBlockEnd) {
    if (!node->parameters.empty()) in_.expect(",");
    node->parameters.push_back({in_.take_name(), nullptr});
    in_.expect("=");
    node->parameters.back().value = in_.parse_expression();
  }
  node->body = parse_block("endwith");
  return node;
}

}  // namespace

JinjaBody parse_jinja(std::string_view text, const std::string& name) {
  return Parser(text, name).parse_template();
}

}  // namespace etrlrec
