// The syntax tree of a Jinja template. Internal to text/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja_value.h"

namespace etrlrec {

struct JinjaExpression {
  enum class Kind : int8_t {
    kConstant,
    kName,
    kList,
    kTuple,
    kDict,       // children: keys and values in turn
    kAttribute,  // child.name
    kItem,       // children[0][children[1]]
    kSlice,      // children[0][children[1]:children[2]:children[3]], null where left out
    kCall,       // children: what is called, arguments
    kFilter,     // children: input (null in filter blocks), arguments
    kTest,       // children: input, arguments
    kUnary,      // name: + - not
    kBinary,     // name: + - * / // % ** ~ and or
    kCompare,    // children: operands; keywords: the operators between them
    kCondition,  // children: condition, value, other value or null
  };
  Kind kind = Kind::kConstant;
  int line = 1;
  int height = 1;  // of the tree below
  std::string name;
  JinjaValue value;
  std::vector<std::unique_ptr<JinjaExpression>> children;
  std::vector<std::string> keywords;  // names of the last arguments
};

using JinjaExpressionPtr = std::unique_ptr<JinjaExpression>;

struct JinjaStatement {
  enum class Kind : int8_t {
    kText,
    kPrint,
    kIf,         // condition, body, other
    kFor,        // target, value, condition (or null), body, other
    kSet,        // target, value
    kSetBlock,   // target, value (filters or null), body
    kMacro,      // name, parameters, body
    kCallBlock,  // value (the call), parameters, body
    kFilterBlock,
    kScope,  // body: generation, with (parameters)
    kBreak,
    kContinue,
  };
  struct Parameter {
    std::string name;
    JinjaExpressionPtr value;  // default of a macro's; null: none
  };
  Kind kind = Kind::kText;
  int line = 1;
  std::string name;  // kText: the text
  JinjaExpressionPtr target, value, condition;
  std::vector<Parameter> parameters;
  std::vector<std::unique_ptr<JinjaStatement>> body, other;
};

using JinjaBody = std::vector<std::unique_ptr<JinjaStatement>>;

}  // namespace etrlrec
