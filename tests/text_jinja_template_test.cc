// The Jinja interpreter: which bytes count as the template's, what is refused and how, bounds on
// what a hostile template can use.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "text/jinja_template.h"

namespace etrlrec {
namespace {

// The text with what came with the data in ⟦ ⟧.
std::string marked(const std::string& text, const OrderedJson& data) {
  std::map<std::string, JinjaValue> variables{{"bos", JinjaValue::text("<s>", true)}};
  for (const auto& [name, value] : data.items())
    variables.emplace(name, JinjaValue::from_json(value));
  const JinjaText rendered = JinjaTemplate(text, "t").render(variables);
  std::string out;
  size_t begin = 0;
  for (const JinjaText::Run& run : rendered.runs()) {
    const std::string part = rendered.bytes().substr(begin, run.end - begin);
    out += run.from_template ? part : "⟦" + part + "⟧";
    begin = run.end;
  }
  return out;
}

std::string refusal(const std::string& text, const OrderedJson& data = OrderedJson::object(),
                    const JinjaLimits& limits = {}) {
  std::map<std::string, JinjaValue> variables;
  for (const auto& [name, value] : data.items())
    variables.emplace(name, JinjaValue::from_json(value));
  try {
    const JinjaText found =
        JinjaTemplate(text, "t").render(variables, {.strftime_now = {}, .limits = limits});
    return "no error: " + found.bytes();
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(JinjaTemplate, says_which_bytes_came_with_the_data) {
  const OrderedJson data{
      {"c", " <s>a,b "}, {"l", {"x", "y"}}, {"d", {{"k", "v"}}}, {"n", 5}, {"empty", ""}};
  const std::pair<const char*, const char*> cases[] = {
      {"<s>{{ c }}</s>", "<s>⟦ <s>a,b ⟧</s>"},
      {"{{ bos + c + '<e>' }}", "<s>⟦ <s>a,b ⟧<e>"},
      {"{{ c ~ bos ~ empty ~ '!' }}", "⟦ <s>a,b ⟧<s>!"},
      {"{{ (' ' + c + '|') | trim }}", "⟦<s>a,b ⟧|"},
      {"{{ ('[' ~ c ~ ']').strip('[] ') }}", "⟦<s>a,b⟧"},
      {"{{ (bos ~ c)[1:7] }}", "s>⟦ <s>⟧"},
      {"{{ (bos ~ c ~ ',z').split(',') | join('+') }}", "<s>⟦ <s>a⟧+⟦b ⟧+z"},
      {"{{ c.replace('a', '<s>') }}", "⟦ <s>⟧<s>⟦,b ⟧"},
      {"{{ 'a-b' | replace('-', c) }}", "a⟦ <s>a,b ⟧b"},
      {"{{ l | join('<s>') }}", "⟦x⟧<s>⟦y⟧"},
      {"{{ 'ab' | upper }}{{ c | upper }}", "AB⟦ <S>A,B ⟧"},
      {"{{ (bos ~ l[0]) | upper }}", "⟦<S>X⟧"},
      {"{{ l }}{{ d | tojson }}{{ ['<s>'] }}", "⟦['x', 'y']{\"k\": \"v\"}⟧['<s>']"},
      {"{{ '<' ~ n ~ '>' }}", "<⟦5⟧>"},
      {"{% set x %}<s>{{ c }}{% endset %}{{ x }}", "<s>⟦ <s>a,b ⟧"},
      {"{% macro f(x) %}<s>{{ x }}{% endmacro %}{{ f(c) }}{{ f('t') }}", "<s>⟦ <s>a,b ⟧<s>t"},
      {"{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", "⟦k⟧=⟦v⟧"},
      {"{{ '%s<s>' % c }}{{ '{}<e>'.format(l[1]) }}", "⟦ <s>a,b ⟧<s>⟦y⟧<e>"},
      {"{{ (c ~ '\\n' ~ bos) | indent(1) }}", "⟦ <s>a,b ⟧\n <s>"},
      {"{{ c | e }}", "⟦ &lt;s&gt;a,b ⟧"},
      {"{{ l | first }}{{ l | map('upper') | list | last }}", "⟦xY⟧"},
      {"{{ c | reverse }}", "⟦ b,a>s< ⟧"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(marked(text, data), expected) << text;
}

TEST(JinjaTemplate, names_what_it_refuses_and_the_line) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{% include 'x' %}", "t:2: the tag \"include\" is not supported"},
      {"{% for x in [1] recursive %}{% endfor %}", "recursive loops are not supported"},
      {"\n\n{{ 'x' | pprint }}", "t:3: the filter \"pprint\" is not supported"},
      {"{{ 1 is prime }}", "the test \"prime\" is not supported"},
      {"{{ 'x'.zfill(3) }}", "the attribute str.zfill is not supported"},
      {"{{ cycler(1) }}", "the function cycler is not supported"},
      {"{% macro f() %}{{ varargs }}{% endmacro %}{{ f() }}", "varargs is not supported"},
      {"{{ f(*x) }}", "arguments written *list are not supported"},
      {"{{ '%e' % 1 }}", "the conversion %e is not supported"},
      {"{{ '{:3}'.format(1) }}", "format: the field {:3} is not supported"},
      {"{{ raise_exception('not so: {}') }}", "t:1: not so: {}"},
      {"{{ x.y }}", "x is undefined, so it has no \"y\""},
      {"{% if a %}", "expected a tag \"endif\", found the end of the template"},
      {"{{ a", "the tag has no end }}"},
      {"x\n{{ 'a' + 1 }}", "t:2: str and int cannot be combined by +"},
      {"{{ namespace }}", "a function has no text of its own"},
      {"{{ range(3) }}", "hint: write | list"},
      {"{{ [1].append(2) }}", "\"append\" is undefined and cannot be called"},
      {"{{ strftime_now('%Y') }}", "strftime_now is undefined"},
      {"{{ 'x' | tojson(indent=2, colour=1) }}", "the argument \"colour\" is not supported"},
      {"{% set x.y = 1 %}", "x.y cannot be set"},
      {"{{ 0x10 }}", "numbers in other bases than ten are not supported"},
  };
  for (const auto& [text, part] : cases)
    EXPECT_NE(refusal(text).find(part), std::string::npos) << text << "\n" << refusal(text);
}

TEST(JinjaTemplate, bounds_what_a_template_can_use) {
  std::string deep_list = "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}";
  deep_list += "{% set ns.x = [ns.x] %}{% endfor %}";
  std::string doubled = "{% set ns = namespace(x='ab') %}{% for i in range(100) %}";
  doubled += "{% set ns.x = ns.x + ns.x %}{% endfor %}";
  std::string tree = "{% set ns = namespace(x=['a']) %}{% for i in range(60) %}";
  tree += "{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  std::string turns =
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  const std::string many_ifs = [] {
    std::string out = "{% if a %}";
    for (int i = 0; i < 200; ++i) out += "{% elif a %}";
    return out + "{% endif %}";
  }();
  std::string sum = "{{ 1";
  for (int i = 0; i < 1000; ++i) sum += " + 1";
  sum += " }}";
  const std::pair<std::string, const char*> cases[] = {
      {"{{ range(100001) }}", "range: expected at most 100000 items"},
      {"{{ 'x' * 99999999999 }}", "repeated 99999999999 times is too much"},
      {"{{ [1] * 99999999999 }}", "is too much"},
      {doubled, "expected a text of at most"},
      {deep_list, "nested more than 100 deep"},
      {tree + "{{ ns.x }}", "expected a text of at most"},
      {tree + "{{ ns.x == ns.x | list }}", "steps"},
      {turns, "steps"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested more than"},
      {"{{ " + std::string(500, '(') + "1" + std::string(500, ')') + " }}", "nested more than"},
      {"{{ " + std::string(5000, '-') + "1 }}", "nested more than"},
      {sum, "operators in each other"},
      {many_ifs, "branches of an if"},
      {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
      {"{{ 2 ** 64 }}", "beyond 64 bits"},
      {"{{ 1 % 0 }}", "division by zero"},
      {"{{ '%99999d' % 1 }}", "is not supported"},
  };
  for (const auto& [text, part] : cases) {
    const std::string found =
        refusal(text, OrderedJson::object(), {.steps = 2'000'000, .text_bytes = size_t{1} << 20});
    EXPECT_NE(found.find(part), std::string::npos) << text.substr(0, 80) << "\n" << found;
  }
}

// A namespace and a macro may hold themselves; nothing of them is left behind a rendering.
TEST(JinjaTemplate, frees_what_holds_itself) {
  const std::string text =
      "{% set ns = namespace() %}{% set ns.me = ns %}{% macro f() %}{{ ns.me is defined }}"
      "{% endmacro %}{% set ns.f = f %}{{ ns.me.me.f() }}";
  EXPECT_EQ(JinjaTemplate(text, "t").render({}).bytes(), "True");
}

TEST(JinjaTemplate, takes_any_bytes_as_data) {
  const JinjaTemplate text("{{ x[0] }}{{ x | length }}{{ x | upper }}{{ x[::-1] }}{{ x | trim }}",
                           "t");
  const std::string bytes = "\xff\xc3 a\x80";
  const JinjaText found = text.render({{"x", JinjaValue::text(bytes)}});
  EXPECT_EQ(found.bytes(),
            "\xff"
            "5"
            "\xff\xc3 A\x80"
            "\x80"
            "a \xc3\xff"
            "\xff\xc3 a\x80");
}

}  // namespace
}  // namespace etrlrec
