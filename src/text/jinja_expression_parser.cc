#include "text/jinja_expression_parser.h"

#include <algorithm>
#include <charconv>

namespace etrlrec {
namespace {

using ExpressionKind = JinjaExpression::Kind;
using TokenKind = JinjaToken::Kind;

constexpr int kMaxDepth = 100;   // of what the parser calls itself for
constexpr int kMaxHeight = 300;  // of the tree, which grows with operators in a row, too

// Binary operators from the loosest to the tightest level.
constexpr std::string_view kLevels[][4] = {
    {"+", "-", "", ""}, {"~", "", "", ""}, {"*", "/", "//", "%"}, {"**", "", "", ""}};

}  // namespace

JinjaExpressionParser::JinjaExpressionParser(std::vector<JinjaToken> tokens, std::string name)
    : tokens_(std::move(tokens)), name_(std::move(name)) {}

JinjaExpressionParser::Depth::Depth(JinjaExpressionParser& parser) : parser_(parser) {
  if (parser.depth_ >= kMaxDepth) parser.fail("nested more than {} deep", kMaxDepth);
  ++parser.depth_;
}

const JinjaToken& JinjaExpressionParser::next_token() const {
  return tokens_[std::min(at_ + 1, tokens_.size() - 1)];
}

JinjaToken JinjaExpressionParser::take() {
  JinjaToken out = token();
  if (at_ + 1 < tokens_.size()) ++at_;
  return out;
}

bool JinjaExpressionParser::skip(std::string_view op) {
  const bool found = token().is(op);
  if (found) take();
  return found;
}

bool JinjaExpressionParser::skip_name(std::string_view name) {
  const bool found = token().is_name(name);
  if (found) take();
  return found;
}

std::string JinjaExpressionParser::describe_token() const {
  switch (token().kind) {
    case TokenKind::kEnd:
      return "the end of the template";
    case TokenKind::kPrintEnd:
    case TokenKind::kBlockEnd:
      return "the end of the tag";
    case TokenKind::kString:
      return "a string";
    default:
      return fmt::format("\"{}\"", token().value);
  }
}

void JinjaExpressionParser::expect(std::string_view op) {
  if (!skip(op)) fail("expected \"{}\", found {}", op, describe_token());
}

void JinjaExpressionParser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail("expected \"{}\", found {}", name, describe_token());
}

std::string JinjaExpressionParser::take_name() {
  if (token().kind != TokenKind::kName) fail("expected a name, found {}", describe_token());
  return take().value;
}

JinjaExpressionPtr JinjaExpressionParser::make(ExpressionKind kind, std::string name) const {
  auto node = std::make_unique<JinjaExpression>();
  node->kind = kind;
  node->line = token().line;
  node->name = std::move(name);
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::close(JinjaExpressionPtr node) const {
  for (const JinjaExpressionPtr& child : node->children)
    if (child) node->height = std::max(node->height, child->height + 1);
  if (node->height > kMaxHeight) fail("more than {} operators in each other", kMaxHeight);
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_expression(bool with_condition) {
  const Depth depth(*this);
  JinjaExpressionPtr node = parse_or();
  while (with_condition && token().is_name("if")) {
    JinjaExpressionPtr condition = make(ExpressionKind::kCondition);
    take();
    condition->children.push_back(parse_or());
    condition->children.push_back(std::move(node));
    condition->children.push_back(skip_name("else") ? parse_expression() : nullptr);
    node = close(std::move(condition));
  }
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_chain(const char* name, Operand operand) {
  JinjaExpressionPtr node = (this->*operand)();
  while (token().is_name(name)) {
    JinjaExpressionPtr both = make(ExpressionKind::kBinary, take().value);
    both->children.push_back(std::move(node));
    both->children.push_back((this->*operand)());
    node = close(std::move(both));
  }
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_or() {
  return parse_chain("or", &JinjaExpressionParser::parse_and);
}

JinjaExpressionPtr JinjaExpressionParser::parse_and() {
  return parse_chain("and", &JinjaExpressionParser::parse_not);
}

JinjaExpressionPtr JinjaExpressionParser::parse_not() {
  if (!token().is_name("not")) return parse_compare();
  const Depth depth(*this);
  JinjaExpressionPtr node = make(ExpressionKind::kUnary, take().value);
  node->children.push_back(parse_not());
  return close(std::move(node));
}

JinjaExpressionPtr JinjaExpressionParser::parse_compare() {
  JinjaExpressionPtr first = parse_binary(0), node;
  for (;;) {
    static constexpr std::string_view kOperators[] = {"==", "!=", "<", "<=", ">", ">="};
    std::string op;
    if (token().kind == TokenKind::kOperator &&
        std::find(std::begin(kOperators), std::end(kOperators), token().value) !=
            std::end(kOperators)) {
      op = take().value;
    } else if (skip_name("in")) {
      op = "in";
    } else if (token().is_name("not") && next_token().is_name("in")) {
      take();
      take();
      op = "not in";
    } else {
      return node ? close(std::move(node)) : std::move(first);
    }
    if (!node) {
      node = make(ExpressionKind::kCompare);
      node->children.push_back(std::move(first));
    }
    node->keywords.push_back(std::move(op));
    node->children.push_back(parse_binary(0));
  }
}

JinjaExpressionPtr JinjaExpressionParser::parse_binary(size_t level) {
  if (level == std::size(kLevels)) return parse_unary(true);
  JinjaExpressionPtr node = parse_binary(level + 1);
  while (token().kind == TokenKind::kOperator &&
         std::find(std::begin(kLevels[level]), std::end(kLevels[level]), token().value) !=
             std::end(kLevels[level])) {
    JinjaExpressionPtr both = make(ExpressionKind::kBinary, take().value);
    both->children.push_back(std::move(node));
    both->children.push_back(parse_binary(level + 1));
    node = close(std::move(both));
  }
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_unary(bool with_filters) {
  JinjaExpressionPtr node;
  if (token().is("-") || token().is("+")) {
    const Depth depth(*this);
    node = make(ExpressionKind::kUnary, take().value);
    node->children.push_back(parse_unary(false));
    node = close(std::move(node));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filters ? parse_filter_chain(std::move(node)) : std::move(node);
}

JinjaExpressionPtr JinjaExpressionParser::parse_number() {
  JinjaExpressionPtr node = make(ExpressionKind::kConstant);
  const JinjaToken number = take();
  const char *begin = number.value.data(), *end = begin + number.value.size();
  if (number.kind == TokenKind::kInteger) {
    int64_t value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc())
      fail("the integer {} has more than 64 bits", number.value);
    node->value = JinjaValue(value);
  } else {
    double value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc())
      fail("the number {} is out of range", number.value);
    node->value = JinjaValue(value);
  }
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_primary() {
  JinjaExpressionPtr node = make(ExpressionKind::kConstant);
  switch (token().kind) {
    case TokenKind::kName: {
      const std::string name = take().value;
      const std::string_view word = name;
      if (word == "true" || word == "True" || word == "false" || word == "False") {
        node->value = JinjaValue(word[0] == 't' || word[0] == 'T');
      } else if (word == "none" || word == "None") {
        node->value = JinjaValue::none();
      } else {
        node->kind = ExpressionKind::kName;
        node->name = name;
      }
      return node;
    }
    case TokenKind::kString: {
      std::string text;
      while (token().kind == TokenKind::kString) text += take().value;
      node->value = JinjaValue::text(std::move(text), true);
      return node;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return parse_number();
    default:
      break;
  }
  if (token().is("[")) return parse_list();
  if (token().is("{")) return parse_dict();
  if (!token().is("(")) fail("expected an expression, found {}", describe_token());
  take();
  if (token().is(")")) {
    node->kind = ExpressionKind::kTuple;
    take();
    return node;
  }
  node = parse_tuple();
  expect(")");
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_list() {
  JinjaExpressionPtr node = make(ExpressionKind::kList);
  expect("[");
  while (!token().is("]")) {
    if (!node->children.empty()) expect(",");
    if (token().is("]")) break;
    node->children.push_back(parse_expression());
  }
  expect("]");
  return close(std::move(node));
}

JinjaExpressionPtr JinjaExpressionParser::parse_dict() {
  JinjaExpressionPtr node = make(ExpressionKind::kDict);
  expect("{");
  while (!token().is("}")) {
    if (!node->children.empty()) expect(",");
    if (token().is("}")) break;
    node->children.push_back(parse_expression());
    expect(":");
    node->children.push_back(parse_expression());
  }
  expect("}");
  return close(std::move(node));
}

bool JinjaExpressionParser::ends_tuple() const {
  return token().kind == TokenKind::kPrintEnd || token().kind == TokenKind::kBlockEnd ||
         token().is(")") || token().is_name("recursive") || token().is("=");
}

JinjaExpressionPtr JinjaExpressionParser::parse_tuple(bool with_condition) {
  JinjaExpressionPtr first = parse_expression(with_condition);
  if (!token().is(",")) return first;
  JinjaExpressionPtr node = make(ExpressionKind::kTuple);
  node->children.push_back(std::move(first));
  while (skip(",") && !ends_tuple()) node->children.push_back(parse_expression(with_condition));
  return close(std::move(node));
}

JinjaExpressionPtr JinjaExpressionParser::parse_target() {
  static constexpr std::string_view kReserved[] = {"true", "false", "none",
                                                   "True", "False", "None"};
  const auto name = [&]() -> JinjaExpressionPtr {
    if (token().is("(")) {
      const Depth depth(*this);
      take();
      JinjaExpressionPtr inner = parse_target();
      expect(")");
      return inner;
    }
    JinjaExpressionPtr node = make(ExpressionKind::kName);
    node->name = take_name();
    if (std::find(std::begin(kReserved), std::end(kReserved), node->name) != std::end(kReserved))
      fail("\"{}\" cannot be set", node->name);
    if (!skip(".")) return node;
    JinjaExpressionPtr attribute = make(ExpressionKind::kAttribute);
    attribute->name = take_name();
    attribute->children.push_back(std::move(node));
    return attribute;
  };
  JinjaExpressionPtr first = name();
  if (!token().is(",")) return first;
  JinjaExpressionPtr node = make(ExpressionKind::kTuple);
  node->children.push_back(std::move(first));
  while (skip(",") && !ends_tuple() && !token().is_name("in")) node->children.push_back(name());
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_postfix(JinjaExpressionPtr node) {
  for (;;) {
    if (token().is(".") || token().is("["))
      node = parse_subscript(std::move(node));
    else if (token().is("("))
      node = parse_call(std::move(node));
    else
      return node;
  }
}

JinjaExpressionPtr JinjaExpressionParser::parse_subscript(JinjaExpressionPtr node) {
  JinjaExpressionPtr out = make(ExpressionKind::kAttribute);
  if (skip(".")) {
    if (token().kind == TokenKind::kInteger) {
      out->kind = ExpressionKind::kItem;
      out->children.push_back(std::move(node));
      out->children.push_back(parse_number());
    } else {
      out->name = take_name();
      out->children.push_back(std::move(node));
    }
    return close(std::move(out));
  }
  expect("[");
  out = parse_subscribed(std::move(node));
  expect("]");
  return out;
}

JinjaExpressionPtr JinjaExpressionParser::parse_subscribed(JinjaExpressionPtr node) {
  JinjaExpressionPtr out = make(ExpressionKind::kItem);
  out->children.push_back(std::move(node));
  if (!token().is(":")) {
    out->children.push_back(parse_tuple());
    if (!token().is(":")) return close(std::move(out));
  } else {
    out->children.push_back(nullptr);
  }
  out->kind = ExpressionKind::kSlice;
  for (int part = 0; part < 2; ++part) {
    const bool given = skip(":") && !token().is(":") && !token().is("]");
    out->children.push_back(given ? parse_expression() : nullptr);
  }
  return close(std::move(out));
}

void JinjaExpressionParser::parse_arguments(JinjaExpression& call) {
  expect("(");
  for (bool first = true; !token().is(")"); first = false) {
    if (!first) expect(",");
    if (token().is(")")) break;
    if (token().is("*") || token().is("**"))
      fail("arguments written {}list are not supported", token().value);
    if (token().kind == TokenKind::kName && next_token().is("=")) {
      call.keywords.push_back(take().value);
      take();
    } else if (!call.keywords.empty()) {
      fail("an argument without a name follows one with a name");
    }
    call.children.push_back(parse_expression());
  }
  expect(")");
}

JinjaExpressionPtr JinjaExpressionParser::parse_call(JinjaExpressionPtr callee) {
  JinjaExpressionPtr node = make(ExpressionKind::kCall);
  node->children.push_back(std::move(callee));
  parse_arguments(*node);
  return close(std::move(node));
}

JinjaExpressionPtr JinjaExpressionParser::parse_filters(JinjaExpressionPtr input) {
  JinjaExpressionPtr node = std::move(input);
  while (token().is("|")) {
    take();
    JinjaExpressionPtr filter = make(ExpressionKind::kFilter, take_name());
    filter->children.push_back(std::move(node));
    if (token().is("(")) parse_arguments(*filter);
    node = close(std::move(filter));
  }
  return node;
}

JinjaExpressionPtr JinjaExpressionParser::parse_filter_chain(JinjaExpressionPtr node) {
  for (;;) {
    if (token().is("|"))
      node = parse_filters(std::move(node));
    else if (token().is_name("is"))
      node = parse_test(std::move(node));
    else if (token().is("("))
      node = parse_call(std::move(node));
    else
      return node;
  }
}

JinjaExpressionPtr JinjaExpressionParser::parse_test(JinjaExpressionPtr node) {
  take();
  const bool negated = skip_name("not");
  JinjaExpressionPtr test = make(ExpressionKind::kTest, take_name());
  test->children.push_back(std::move(node));
  const bool is_value = token().kind == TokenKind::kName || token().kind == TokenKind::kString ||
                        token().kind == TokenKind::kInteger || token().kind == TokenKind::kFloat ||
                        token().is("[") || token().is("{");
  if (token().is("(")) {
    parse_arguments(*test);
  } else if (is_value && !token().is_name("else") && !token().is_name("or") &&
             !token().is_name("and")) {
    if (token().is_name("is")) fail("tests cannot follow each other");
    test->children.push_back(parse_postfix(parse_primary()));
  }
  test = close(std::move(test));
  if (!negated) return test;
  JinjaExpressionPtr out = make(ExpressionKind::kUnary, "not");
  out->children.push_back(std::move(test));
  return close(std::move(out));
}

}  // namespace etrlrec
