#include "text/jinja_eval.h"

#include <algorithm>

#include "text/jinja_filters.h"
#include "text/jinja_functions.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_tests.h"

namespace etrlrec {

class JinjaScope {
 public:
  explicit JinjaScope(std::shared_ptr<JinjaScope> parent) : parent_(std::move(parent)) {}
  const JinjaValue* find(const std::string& name) const {
    for (const JinjaScope* scope = this; scope != nullptr; scope = scope->parent_.get())
      if (const auto found = scope->names_.find(name); found != scope->names_.end())
        return &found->second;
    return nullptr;
  }
  void set(const std::string& name, JinjaValue value) { names_[name] = std::move(value); }
  void clear() { names_.clear(); }

 private:
  std::unordered_map<std::string, JinjaValue> names_;
  std::shared_ptr<JinjaScope> parent_;
};

namespace {

using Scope = std::shared_ptr<JinjaScope>;
using ExpressionKind = JinjaExpression::Kind;
using StatementKind = JinjaStatement::Kind;

class Evaluator {
 public:
  Evaluator(JinjaContext& context, const std::function<std::string(const std::string&)>& clock)
      : context_(context), functions_(context, clock) {}
  Evaluator(const Evaluator&) = delete;
  // A scope holds the macros that hold it: the circle is opened here.
  ~Evaluator() {
    for (const Scope& scope : captured_) scope->clear();
  }
  enum class Flow { kNext, kBreak, kContinue };
  Flow run(const JinjaBody& body, const Scope& scope, JinjaText& out);

 private:
  class Depth {
   public:
    explicit Depth(Evaluator& evaluator) : evaluator_(evaluator) {
      const int most = evaluator.context_.limits.depth;
      if (evaluator.depth_ >= most)
        evaluator.context_.fail("blocks, expressions and calls are nested more than {} deep", most);
      ++evaluator.depth_;
    }
    Depth(const Depth&) = delete;
    ~Depth() { --evaluator_.depth_; }

   private:
    Evaluator& evaluator_;
  };

  Flow run_statement(const JinjaStatement& node, const Scope& scope, JinjaText& out);
  Flow run_for(const JinjaStatement& node, const Scope& scope, JinjaText& out);
  void run_call_block(const JinjaStatement& node, const Scope& scope, JinjaText& out);
  Flow run_scope(const JinjaStatement& node, const Scope& scope, JinjaText& out);
  void append(JinjaText& out, const JinjaText& text);
  JinjaValue render_block(const JinjaStatement& node, const Scope& scope);
  void assign(const JinjaExpression& target, const JinjaValue& value, const Scope& scope);
  JinjaValue make_macro(const JinjaStatement& node, const Scope& scope);

  JinjaValue eval(const JinjaExpression& node, const Scope& scope);
  JinjaItems eval_all(const JinjaExpression& node, const Scope& scope);
  JinjaValue eval_optional(const JinjaExpressionPtr& node, const Scope& scope);
  JinjaValue eval_name(const JinjaExpression& node, const Scope& scope);
  JinjaValue eval_dict(const JinjaExpression& node, const Scope& scope);
  JinjaValue eval_filter(const JinjaExpression& node, const Scope& scope);
  JinjaValue eval_compare(const JinjaExpression& node, const Scope& scope);
  JinjaValue eval_binary(const JinjaExpression& node, const Scope& scope);
  JinjaArguments eval_arguments(const JinjaExpression& node, const Scope& scope);
  JinjaValue eval_call(const JinjaExpression& node, const Scope& scope, const JinjaValue* caller);
  JinjaValue call_macro(const JinjaCallable& macro, const JinjaArguments& given,
                        const JinjaValue* caller);

  JinjaContext& context_;
  JinjaFunctions functions_;
  int depth_ = 0;
  JinjaValue block_input_;  // of the filters of a block
  std::vector<Scope> captured_;
};

void Evaluator::append(JinjaText& out, const JinjaText& text) {
  context_.charge(1 + text.size() / 16);
  context_.check_text(out.size() + text.size());
  out.append(text);
}

Evaluator::Flow Evaluator::run(const JinjaBody& body, const Scope& scope, JinjaText& out) {
  for (const auto& node : body)
    if (const Flow flow = run_statement(*node, scope, out); flow != Flow::kNext) return flow;
  return Flow::kNext;
}

Evaluator::Flow Evaluator::run_statement(const JinjaStatement& node, const Scope& scope,
                                         JinjaText& out) {
  const Depth depth(*this);
  context_.charge();
  context_.line = node.line;
  switch (node.kind) {
    case StatementKind::kText:
      append(out, JinjaText(node.name, true));
      break;
    case StatementKind::kPrint:
      append(out, print_value(context_, eval(*node.value, scope)));
      break;
    case StatementKind::kIf:
      return run(is_true(eval(*node.condition, scope)) ? node.body : node.other, scope, out);
    case StatementKind::kFor:
      return run_for(node, scope, out);
    case StatementKind::kSet:
      assign(*node.target, eval(*node.value, scope), scope);
      break;
    case StatementKind::kSetBlock:
      assign(*node.target, render_block(node, scope), scope);
      break;
    case StatementKind::kMacro:
      scope->set(node.name, make_macro(node, scope));
      break;
    case StatementKind::kCallBlock:
      run_call_block(node, scope, out);
      break;
    case StatementKind::kFilterBlock:
      append(out, print_value(context_, render_block(node, scope)));
      break;
    case StatementKind::kScope:
      return run_scope(node, scope, out);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::run_for(const JinjaStatement& node, const Scope& scope, JinjaText& out) {
  auto items = iterate(context_, eval(*node.value, scope));
  if (node.condition) {
    JinjaItems kept;
    for (const JinjaValue& item : items->items) {
      const Scope turn = std::make_shared<JinjaScope>(scope);
      assign(*node.target, item, turn);
      if (is_true(eval(*node.condition, turn))) kept.push_back(item);
    }
    items = make_list(context_, std::move(kept)).sequence_pointer();
  }
  if (items->items.empty()) return run(node.other, scope, out);
  const auto loop = std::make_shared<JinjaLoop>();
  loop->items = items;
  for (size_t i = 0; i < items->items.size(); ++i) {
    context_.charge();
    loop->index = i;
    const Scope turn = std::make_shared<JinjaScope>(scope);
    turn->set("loop", JinjaValue(loop));
    assign(*node.target, items->items[i], turn);
    if (run(node.body, turn, out) == Flow::kBreak) break;
  }
  return Flow::kNext;
}

// The values of `with` are read outside of it.
Evaluator::Flow Evaluator::run_scope(const JinjaStatement& node, const Scope& scope,
                                     JinjaText& out) {
  const Scope inner = std::make_shared<JinjaScope>(scope);
  for (const auto& parameter : node.parameters)
    inner->set(parameter.name, eval(*parameter.value, scope));
  return run(node.body, inner, out);
}

void Evaluator::run_call_block(const JinjaStatement& node, const Scope& scope, JinjaText& out) {
  const JinjaValue caller = make_macro(node, scope);
  append(out, print_value(context_, eval_call(*node.value, scope, &caller)));
}

JinjaValue Evaluator::render_block(const JinjaStatement& node, const Scope& scope) {
  JinjaText text;
  run(node.body, std::make_shared<JinjaScope>(scope), text);
  JinjaValue value{std::move(text)};
  if (!node.value) return value;
  block_input_ = std::move(value);
  return eval(*node.value, scope);
}

JinjaValue Evaluator::make_macro(const JinjaStatement& node, const Scope& scope) {
  if (captured_.empty() || captured_.back() != scope) captured_.push_back(scope);
  return make_function({JinjaCallable::Kind::kMacro, node.name, {}, &node, scope});
}

void Evaluator::assign(const JinjaExpression& target, const JinjaValue& value, const Scope& scope) {
  if (target.kind == ExpressionKind::kName) {
    scope->set(target.name, value);
  } else if (target.kind == ExpressionKind::kAttribute) {
    const JinjaValue object = eval(*target.children[0], scope);
    if (!object.is(JinjaType::kNamespace))
      context_.fail("{}.{} cannot be set: {} is no namespace", target.children[0]->name,
                    target.name, target.children[0]->name);
    object.name_space().attributes[target.name] = value;
  } else {
    const auto items = iterate(context_, value);
    if (items->items.size() != target.children.size())
      context_.fail("expected {} values to set, found {}", target.children.size(),
                    items->items.size());
    for (size_t i = 0; i < target.children.size(); ++i)
      assign(*target.children[i], items->items[i], scope);
  }
}

JinjaItems Evaluator::eval_all(const JinjaExpression& node, const Scope& scope) {
  JinjaItems items;
  for (const JinjaExpressionPtr& child : node.children) items.push_back(eval(*child, scope));
  return items;
}

JinjaValue Evaluator::eval_optional(const JinjaExpressionPtr& node, const Scope& scope) {
  return node ? eval(*node, scope) : JinjaValue::none();
}

JinjaValue Evaluator::eval(const JinjaExpression& node, const Scope& scope) {
  const Depth depth(*this);
  context_.charge();
  context_.line = node.line;
  switch (node.kind) {
    case ExpressionKind::kConstant:
      return node.value;
    case ExpressionKind::kName:
      return eval_name(node, scope);
    case ExpressionKind::kList:
      return make_list(context_, eval_all(node, scope));
    case ExpressionKind::kTuple:
      return make_sequence(context_, JinjaType::kTuple, eval_all(node, scope));
    case ExpressionKind::kDict:
      return eval_dict(node, scope);
    case ExpressionKind::kAttribute:
      return get_attribute(context_, eval(*node.children[0], scope), node.name);
    case ExpressionKind::kItem: {
      const JinjaValue value = eval(*node.children[0], scope);
      return get_item(context_, value, eval(*node.children[1], scope));
    }
    case ExpressionKind::kSlice: {
      const JinjaValue value = eval(*node.children[0], scope);
      const JinjaValue begin = eval_optional(node.children[1], scope);
      const JinjaValue end = eval_optional(node.children[2], scope);
      return get_slice(context_, value, begin, end, eval_optional(node.children[3], scope));
    }
    case ExpressionKind::kCall:
      return eval_call(node, scope, nullptr);
    case ExpressionKind::kFilter:
      return eval_filter(node, scope);
    case ExpressionKind::kTest: {
      const JinjaValue value = eval(*node.children[0], scope);
      return JinjaValue(run_test(context_, node.name, value, eval_arguments(node, scope)));
    }
    case ExpressionKind::kUnary:
      return unary_operation(context_, node.name, eval(*node.children[0], scope));
    case ExpressionKind::kBinary:
      return eval_binary(node, scope);
    case ExpressionKind::kCompare:
      return eval_compare(node, scope);
    case ExpressionKind::kCondition:
      if (is_true(eval(*node.children[0], scope))) return eval(*node.children[1], scope);
      return node.children[2] ? eval(*node.children[2], scope)
                              : JinjaValue::undefined("the value of an if without else");
  }
  return {};
}

JinjaValue Evaluator::eval_name(const JinjaExpression& node, const Scope& scope) {
  if (const JinjaValue* found = scope->find(node.name)) return *found;
  if (functions_.has(node.name))
    return make_function({JinjaCallable::Kind::kFunction, node.name, {}, nullptr, nullptr});
  if (node.name == "varargs" || node.name == "kwargs" || node.name == "self")
    context_.fail("the name {} is not supported", node.name);
  return JinjaValue::undefined(node.name);
}

JinjaValue Evaluator::eval_dict(const JinjaExpression& node, const Scope& scope) {
  std::vector<std::pair<JinjaValue, JinjaValue>> entries;
  for (size_t i = 0; i < node.children.size(); i += 2) {
    JinjaValue key = eval(*node.children[i], scope);
    entries.emplace_back(std::move(key), eval(*node.children[i + 1], scope));
  }
  return make_dict(context_, std::move(entries));
}

JinjaValue Evaluator::eval_filter(const JinjaExpression& node, const Scope& scope) {
  const JinjaValue input =
      node.children[0] ? eval(*node.children[0], scope) : std::move(block_input_);
  const JinjaArguments arguments = eval_arguments(node, scope);
  context_.line = node.line;
  return run_filter(context_, node.name, input, arguments);
}

JinjaValue Evaluator::eval_compare(const JinjaExpression& node, const Scope& scope) {
  JinjaValue left = eval(*node.children[0], scope);
  for (size_t i = 0; i < node.keywords.size(); ++i) {
    JinjaValue right = eval(*node.children[i + 1], scope);
    if (!compare(context_, node.keywords[i], left, right)) return JinjaValue(false);
    left = std::move(right);
  }
  return JinjaValue(true);
}

JinjaValue Evaluator::eval_binary(const JinjaExpression& node, const Scope& scope) {
  JinjaValue left = eval(*node.children[0], scope);
  if (node.name == "and" || node.name == "or")
    return is_true(left) == (node.name == "or") ? left : eval(*node.children[1], scope);
  const JinjaValue right = eval(*node.children[1], scope);
  context_.line = node.line;
  return binary_operation(context_, node.name, left, right);
}

// Of a call, filter or test; children[0] is what it is applied to.
JinjaArguments Evaluator::eval_arguments(const JinjaExpression& node, const Scope& scope) {
  JinjaArguments out;
  const size_t first_named = node.children.size() - node.keywords.size();
  for (size_t i = 1; i < node.children.size(); ++i) {
    JinjaValue value = eval(*node.children[i], scope);
    if (i < first_named)
      out.positional.push_back(std::move(value));
    else
      out.named.emplace_back(node.keywords[i - first_named], std::move(value));
  }
  return out;
}

JinjaValue Evaluator::eval_call(const JinjaExpression& node, const Scope& scope,
                                const JinjaValue* caller) {
  const JinjaValue callee = eval(*node.children[0], scope);
  if (callee.is_undefined())
    context_.fail("{} is undefined and cannot be called", callee.undefined_name());
  if (!callee.is(JinjaType::kCallable))
    context_.fail("a value of type {} cannot be called", type_name(callee));
  const JinjaArguments arguments = eval_arguments(node, scope);
  context_.line = node.line;
  const JinjaCallable& callable = callee.callable();
  if (callable.kind == JinjaCallable::Kind::kMacro) return call_macro(callable, arguments, caller);
  if (callable.kind == JinjaCallable::Kind::kMethod)
    return call_method(context_, callable, arguments);
  return functions_.call(callable.name, arguments);
}

JinjaValue Evaluator::call_macro(const JinjaCallable& macro, const JinjaArguments& given,
                                 const JinjaValue* caller) {
  const auto& parameters = macro.macro->parameters;
  if (given.positional.size() > parameters.size())
    context_.fail("{}: expected at most {} arguments, found {}", macro.name, parameters.size(),
                  given.positional.size());
  const Scope scope = std::make_shared<JinjaScope>(macro.scope);
  if (caller != nullptr) scope->set("caller", *caller);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = parameters[i].name;
    if (i < given.positional.size())
      scope->set(name, given.positional[i]);
    else
      scope->set(name, JinjaValue::undefined(name));
  }
  size_t used = 0;
  std::vector<bool> is_named(parameters.size());
  for (const auto& [name, value] : given.named)
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i].name != name) continue;
      if (i < given.positional.size() || is_named[i])
        context_.fail("{}: the argument \"{}\" is given twice", macro.name, name);
      scope->set(name, value);
      is_named[i] = true;
      ++used;
    }
  if (used < given.named.size())
    context_.fail("{}: an argument has a name that is no parameter", macro.name);
  for (size_t i = given.positional.size(); i < parameters.size(); ++i)
    if (!is_named[i] && parameters[i].value)
      scope->set(parameters[i].name, eval(*parameters[i].value, scope));
  JinjaText out;
  run(macro.macro->body, scope, out);
  return JinjaValue(std::move(out));
}

}  // namespace

JinjaText evaluate_jinja(JinjaContext& context, const JinjaBody& body,
                         const std::map<std::string, JinjaValue>& variables,
                         const std::function<std::string(const std::string&)>& strftime_now) {
  Evaluator evaluator(context, strftime_now);
  const Scope scope = std::make_shared<JinjaScope>(nullptr);
  for (const auto& [name, value] : variables) scope->set(name, value);
  JinjaText out;
  evaluator.run(body, scope, out);
  return out;
}

}  // namespace etrlrec
