"""What Jinja2 makes of short templates, with the settings and functions of Transformers' chat templates."""
import json

VARIABLES = {
    "s": "Hello World", "e": "", "u": "Stra\u00dfe \u4e09\u4f53 \u039f\u0394\u039f\u03a3", "sp": " \u00a0 a b \u3000\n", "n": 7, "z": 0,
    "f": 2.5, "big": 1e20, "tiny": 1e-05, "yes": True, "no": False, "nil": None,
    "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "d": {"b": 1, "a": [1, {"x": None}], "items": "key"},
    "m": [{"role": "system", "content": "S"}, {"role": "user", "content": "q", "n": 2}, {"role": "assistant", "content": "A", "n": 1}],
    "q": "it's \"quoted\"\t\\", "lines": "one\ntwo\n\nthree\r\nfour",
}

EXPRESSIONS = """
1 + 2 * 3 - 4|7 // 2|-7 // 2|7 % 3|-7 % 3|7 / 2|2 ** 3 ** 2|-2 ** 2|2 ** -1|7.0 // 2|-7.5 % 2|1e3|1.5e-7|10 ** 15 * 1.0|0.1 + 0.2
big|tiny|f * 2|yes + 1|[yes, no, nil, 1.0, 'a']|(1,)|(1, 2)|{'a': 1, 2: [3]}|{}|[]|()|n / z|n % z|9223372036854775807|1_000
'a' 'b'|'a' ~ 1 ~ none ~ true|'a' + 'b'|'a' + 1|'ab' * 3|[1] * 2|3 * 'x'|'x' * -1|[1] + [2]|(1,) + (2,)|[1] + (2,)|nil + 1
s == 'Hello World'|s != 1|1 < 2 < 3|1 < 3 < 2|'a' < 'b'|[1, 2] < [1, 3]|'a' < 1|1 == 1.0|true == 1|none == false|missing == missing2|missing == none
'lo' in s|'x' not in s|2 in l|'b' in d|1 in 'abc'|'a' in missing|missing in l|nil in [none]|'a' in nil|not n|not not n|n and 'x'|z or 'y'
'a' if yes else 'b'|'a' if no else 'b'|'a' if no|('a' if no) is undefined|missing|missing.x|missing[0]|missing + 1|missing ~ 'x'|missing or 'd'
s[0]|s[-1]|s[99]|s[1:4]|s[::-1]|s[::2]|s[-3:]|s[:-3]|s[4:1]|l[0]|l[-1]|l[5]|l[1:]|l[::-1]|l[5:]|u[5]|u[::-1]|u[1:8]|s[1:2:0]|nil[0]|nil[1:]|d[0:1]
d.b|d['b']|d['items']|d.items()|d.keys()|d.values()|d.get('b')|d.get('x')|d.get('x', 'y')|d.x|d.x.y|d.a[1].x|d['a'][0]|d.a.0|m[0].role|m.0.role
d.pop('b')|l.append(1)|d.update({})|d.clear|l.sort()|s.__class__|s.upper.__globals__|missing()|n()|s.nosuch()|l.index(1)|l.count(1)|l.index(9)
s.upper()|s.lower()|s.title()|s.capitalize()|u.upper()|u.lower()|u.title()|'\u01c6'.title()|'\ufb01x'.upper()|"they're".title()|'aB cD'.title()
s.strip()|sp.strip()|sp.lstrip()|sp.rstrip()|'xxaxx'.strip('x')|'xyaxy'.lstrip('yx')|'abc'.rstrip('cb')|'a-b'.strip(none)
s.split()|s.split('o')|s.split('o', 1)|s.rsplit('o', 1)|' a  b '.split()|' a  b c '.split(none, 1)|' a  b c '.rsplit(none, 1)|'a,b,'.split(',')|''.split()|''.split(',')|s.split('')|s.split(sep=' ')
lines.splitlines()|lines.splitlines(true)|s.startswith('He')|s.startswith(('x', 'H'))|s.endswith('d')|s.endswith(1)|s.replace('l', 'L')|s.replace('l', 'L', 1)|'ab'.replace('', '-')
s.find('o')|s.find('z')|s.rfind('o')|u.find('\u4e09')|s.index('z')|s.count('l')|'aaa'.count('aa')|', '.join(w)|','.join([1])|'-'.join('abc')|s.removeprefix('Hello ')|s.removesuffix('ld')
'%s is %d' % ('a', 3)|'%s' % 5|'%s' % [1]|'%5.2f|%-4s|%04d' % (3.14159, 'ab', 42)|'%(b)s' % d|'%d' % 'x'|'%s %s' % 'a'|'%%' % ()|'%x' % 255|'%s' % (1, 2)
'{} {}'.format(1, 'a')|'{1}{0}'.format('a', 'b')|'{x}'.format(x=2)|'{{}}'.format()|'{}'.format()
sp | trim|'xax' | trim('x')|s | length|u | length|l | length|d | length|missing | length|n | length|l | count
d | tojson|d | tojson(indent=2)|[] | tojson(indent=2)|u | tojson|u | tojson(ensure_ascii=true)|q | tojson|'<a&b>' | tojson|[1.0, 1e20, 1e-5, none, true] | tojson|missing | tojson|{'b': 1, 'a': 2} | tojson(sort_keys=true)|d | tojson(separators=(',', ':'))|{1: 2, none: 3, true: 4} | tojson|(1, 2) | tojson
d | items | list|missing | items | list|nil | items | list|d | list|s | list|l | list|nil | list|5 | list|5 | string|nil | string|l | string|1.0 | string
'42' | int|'4.9' | int|'x' | int|'x' | int(5)|4.9 | int|'ff' | int(0, 16)|nil | int|yes | int|' 42 ' | int|'1_0' | int|'+5' | int|missing | int|'3.5' | float|'x' | float|'1e3' | float|n | float|' 2 ' | float|'inf' | float
l | join|l | join(', ')|m | join(',', attribute='role')|missing | join|s | join('-')|m | map(attribute='role') | list|m | map(attribute='n') | list|m | map(attribute='n', default=0) | list|w | map('upper') | list|w | map('replace', 'a', 'x') | join|m | map(attribute='role') | join(',')|nil | map('upper') | list
l | select('odd') | list|l | reject('odd') | list|l | select | list|[0, 1, '', none] | select | list|m | selectattr('role', 'equalto', 'user') | list|m | selectattr('n') | list|m | selectattr('n', 'defined') | map(attribute='n') | list|m | rejectattr('role', 'in', ['system', 'user']) | list|m | selectattr('role', '==', 'user') | first|l | select('>', 1) | list
l | first|l | last|[] | first|s | first|s | last|[] | last|l | select | first|l | select | last|w | lower|s | upper|'foo bar-baz (qux)' | title|'\u00dfa' | title|'aBC' | capitalize|5 | upper
s | replace('l', 'L')|s | replace('l', 'L', 1)|5 | replace('5', '6')|missing | default('d')|e | default('d')|e | default('d', true)|nil | d('x', boolean=true)|missing | d|l | reverse | list|s | reverse|d | reverse | list
l | sort|l | sort(reverse=true)|w | sort|w | sort(case_sensitive=true)|m | sort(attribute='role') | map(attribute='role') | list|[1, 'a'] | sort|w | unique | list|w | unique(true) | list|{'b': 1, 'A': 2} | dictsort|{'b': 1, 'A': 2} | dictsort(by='value')|{'b': 1, 'a': 2} | dictsort(reverse=true)
'a\nb\n\nc' | indent|'a\nb' | indent(2, true)|'a\n\nb' | indent(2, blank=true)|'a\nb' | indent('> ')|'<b>&"' | e|'<b>' | escape|('<b>' | safe) + '<i>'|('<b>' | safe) ~ '<i>'|'<b>' | safe
-5 | abs|-5.5 | abs|2.5 | round|3.5 | round|2.567 | round(2)|2.1 | round(0, 'ceil')|2.9 | round(method='floor')|7 | round|l | sum|m[1:] | sum(attribute='n')|[] | sum|[[1], [2]] | sum(start=[])|l | min|l | max|w | max|w | min|[] | max
'%s-%s' | format(1, 2)|'%(a)s' | format(a=3)|'a bc, d' | wordcount|[1, 2, 3] | batch(2) | list|[1, 2, 3] | batch(2, 0) | list
missing is defined|n is defined|missing is undefined|nil is none|s is string|n is number|yes is number|f is number|n is integer|yes is integer|f is float|n is float|yes is boolean|n is boolean|d is mapping|l is mapping
l is iterable|s is iterable|n is iterable|missing is iterable|d is iterable|l is sequence|s is sequence|d is sequence|n is sequence|missing is sequence|d.items() is sequence|yes is true|1 is true|no is false|z is false|n is odd|n is even|n is divisibleby 7|n is divisibleby(2)
s is eq 'Hello World'|n is equalto 7|n is == 7|n is ne 7|n is gt 3|n is lessthan(3)|n is in [7]|'x' is in 'xyz'|'abc' is lower|'ABC' is upper|'Abc' is lower|s is not string|s is not none|nil is not none|missing is callable|n is callable|not missing is defined|n is sameas none|nil is sameas none|n is nosuch|n | nosuch
range(3) | list|range(1, 7, 2) | list|range(3, 0, -1) | list|range(0) | list|range(2)[1]|range(200000) | list|range('a')|dict(a=1, b=2)|dict(d).b|dict([('a', 1)])|namespace(a=1).a|namespace(a=1).b|namespace({'a': 2}).a|raise_exception('no')|strftime_now('%Y')
1 if 1 == 1 and not 2 > 3 or false else 2|n is defined and n > 3|n + 1 | string|(n + 1) | string ~ 'x'|-n | abs|1 ~ 2 + 3|'a' ~ 'b' | upper|1 + 2 ~ 3|2 * 3 ~ 4|[1, 2, 3][1:][0]|(1, 2)[0]|{'a': {'b': 2}}['a'].b|'abc'[1].upper()|[x for x in l]
'\\x41\\u00e9\\101\\q\\'\\"'|"a\\\nb"|'tab\\there'|''|"\U0001f4da"|q|[q, "'", '\n\u00a0\u200b']|{'a': nil}.a is none|l == [3, 1, 2]|{'a': 1} == {'a': 1.0}|d.a == [1, {'x': none}]
"""

TEMPLATES = [
    "{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}/{{ loop.depth }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in l if x > 1 %}{{ x }}{{ loop.last }}{% else %}none{% endfor %}", "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for a, b in [(1, 2), (3,)] %}{{ a }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% for x in range(5) %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}", "{% for x in nil %}{% endfor %}", "{% for x in missing %}{{ x }}{% else %}none{% endfor %}",
    "{% for c in s %}{{ c }}.{% endfor %}", "{% for x in l %}{% for y in w %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{% for y in l %}{% set x = y %}{% endfor %}{{ x }}", "{% if n %}{% set x = 1 %}{% endif %}{{ x }}", "{% for y in l %}{{ x }}{% set x = y %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=0) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}", "{% set d.x = 1 %}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = 1 %}",
    "{% set x %}a{{ n }}{% endset %}{{ x | upper }}", "{% set x | upper | trim %} a {% endset %}[{{ x }}]", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}",
    "{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}|{{ f(1, c=3) }}|{{ f() }}|{{ f(1, 2, 3) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(b=2) }}",
    "{% macro f(x) %}{{ x }}{% if x > 0 %}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) | length }}{{ f(3) }}", "{% macro f() %}{{ y }}{% endmacro %}{% set y = 5 %}{{ f() }}",
    "{% macro f() %}{% set n = 1 %}{{ n }}{% endmacro %}{{ f() }}{{ n }}", "{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}x{{ n }}{% endcall %}",
    "{% macro f() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) f() %}{{ a }}-{{ b }}{% endcall %}", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aa{% endfilter %}", "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}", "{% raw %}{{ n }}{% if %}{% endraw %}", "{%- raw -%} x {%- endraw -%} y", "a{# c #}b{#- c -#} d", "{#-#} a", "{% print n %}", "{{ 1, 2 }}",
    "  {% if yes %}\n  a\n  {% endif %}\n  b\n", "a\n\n  {%- if yes -%}  \n b \n{%- endif %}\n c", "  {%+ if yes %}a{% endif %}\n", "{% if yes +%}\na{% endif %}", "x {{- n -}} y", "x\n  {{ n }}\n\ny\n\n",
    "{% if yes %}\n\n\na{% endif %}", "{# c #}\nx", "   {# c #}  \nx", "  {% set x = 1 %}  {% set y = 2 %}\nz", "a\r\nb\rc\r\n", "\t{% if yes %}x{% endif %}\t", "{%- for x in l %}\n- {{ x }}\n{%- endfor %}", "{% for x in l -%}\n  {{ x }}\n{% endfor %}",
    "{% if z %}a{% elif n %}b{% else %}c{% endif %}", "{% if z %}a{% elif z %}b{% else %}c{% endif %}", "{% if missing %}a{% endif %}-", "{{ {'a': {'b': 1}}.a.b }}", "{{ {'a':{}} }}", "{{ '}}' }}{{ \"%}\" }}", "{ { }} %} #}",
    "{{ n", "{% if n %}", "{% endif %}", "{{ }}", "{{ 1 + }}", "{% nosuch %}", "{% for x l %}{% endfor %}", "{{ 'a }}", "{{ (1 }}", "{{ 1 ] }}", "{# open", "{% set true = 1 %}", "{{ a b }}", "{% break %}", "{% else %}", "{{ f(a=1, 2) }}", "{% raw %}x",
    "{% set f = s.upper %}{{ f() }}", "{% set r = m | selectattr('n') %}{{ r | list | length }}{{ r | list | length }}", "{% for x in m | map(attribute='role') %}{{ x }}{{ loop.last }} {% endfor %}", "{{ m | map(attribute='role') | length }}",
    "{% set x = l + [4] %}{{ x }}{{ l }}", "{% set loop_messages = m[1:] if m[0].role == 'system' else m %}{{ loop_messages | length }}", "{% if l is string or m and not z %}y{% endif %}", "{% set x = namespace() %}{% set x.a = [1] %}{{ x.a }}{{ x.b is defined }}",
    "{% set content = s %}{% if '</think>' in content %}{{ content.split('</think>')[-1].lstrip('\\n') }}{% else %}{{ content }}{% endif %}", "{{ (m | selectattr('role', 'equalto', 'user') | list)[-1].content }}", "{{ m | map(attribute='content') | map('lower') | unique | sort | join('+') }}",
    "{% for i in range(m | length - 1, -1, -1) %}{{ m[i].role[0] }}{% endfor %}", "{% for message in m %}{%- if (message.role == 'user') != (loop.index0 % 2 == 1) -%}{{ raise_exception('roles') }}{%- endif -%}{{ message.role }}{% endfor %}",
]


def environment():
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.CallBlock(self.call_method("body"), [], [], body).set_lineno(line)

        def body(self, caller):
            return caller()

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    out = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    out.filters["tojson"] = tojson
    out.globals.update(raise_exception=raise_exception, strftime_now=lambda format: "26 Jul 2024")
    return out


def render(env, template, variables):
    """The text, or None for an error of any kind."""
    try:
        return env.from_string(template).render(**variables)
    except Exception:
        return None


def make(folder):
    env = environment()
    templates = ["{{ " + each + " }}" for line in EXPRESSIONS.strip().split("\n") for each in split_line(line)] + TEMPLATES
    cases = [[template, render(env, template, VARIABLES)] for template in templates]
    (folder / "jinja").mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (folder / "jinja" / "templates.json").write_text(
        '{"variables": ' + json.dumps(VARIABLES, ensure_ascii=False) + ',\n"cases": [\n' + lines + "\n]}\n")


def split_line(line):
    """Expressions between bars; a filter's bar has blanks around it, one in a string is followed by %."""
    out, begin = [], 0
    for i, c in enumerate(line):
        if c == "|" and line[i - 1] != " " and line[i + 1:i + 2] not in (" ", "%"):
            out.append(line[begin:i])
            begin = i + 1
    return out + [line[begin:]]
