"""Reads the units of src/: a unit is x.h with its x.cc (one of them may be missing). Knows what a unit includes, what its
header declares and what its .cc defines. The reader of C++ is a scanner for braces and semicolons: enough for code that
clang-format has laid out, and written so that it misses a declaration rather than invents one."""
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Unit:
    name: str                                        # "data/split"
    files: dict = field(default_factory=dict)        # ".h" or ".cc" -> path
    includes: dict = field(default_factory=dict)     # name of another unit -> (path, line) of the first include
    declared: dict = field(default_factory=dict)     # (function, number of parameters) -> line; from the header
    classes: set = field(default_factory=set)        # from the header
    defined: list = field(default_factory=list)      # (class or "", function, number of parameters, line); from the .cc

    @property
    def room(self):
        return self.name.split("/")[0]


def plain_code(text):
    """The text without comments, preprocessor lines and the contents of strings; line numbers stay."""
    def blank(match):
        return "\n" * match.group(0).count("\n")

    def replace(match):
        token = match.group(0)
        if token.startswith(("//", "/*", "#")) or token.lstrip(" \t").startswith("#"):
            return blank(match)
        return '""' + blank(match)

    return re.sub(r'//[^\n]*|/\*[\s\S]*?\*/|R"(\w*)\([\s\S]*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\''
                  r'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', replace, text, flags=re.M)


def statements(code):
    """Yields (scope, head, end, line) of every statement at namespace or class level; scope is a list of ("namespace" |
    "anonymous" | "class", name), end is ";" or "{", and line is where the statement begins."""
    scope, head, line, start = [], "", 1, 1
    depth = 0                                        # of braces that are no scope: bodies, initialisers
    for char in code:
        if char == "\n":
            line += 1
        if depth:
            depth += {"{": 1, "}": -1}.get(char, 0)
            continue
        if char == "{":
            kind = scope_of(head)
            if kind:
                scope.append(kind)
            else:
                yield list(scope), head.strip(), "{", start
                depth = 1
                if re.search(r"=\s*$|\b\w+\s*$", head) and "(" not in head:   # an initialiser: its ";" follows
                    head += " "
                    continue
            head = ""
        elif char == "}":
            if scope:
                scope.pop()
            head = ""
        elif char == ";":
            if head.strip():
                yield list(scope), head.strip(), ";", start
            head = ""
        else:
            if not head.strip() and not char.isspace():
                start, head = line, ""
            head += char


def scope_of(head):
    if re.search(r"\bnamespace\s*$", head):
        return ("anonymous", "")
    match = re.search(r"\bnamespace\s+([\w:]+)\s*$", head)
    if match:
        return ("namespace", match.group(1))
    if re.search(r'\bextern\s*""\s*$', head):
        return ("namespace", "")
    match = re.search(r"\b(?:struct|class|union)\s+(?:\[\[.*?\]\]\s*)?(\w+)(?:\s+final)?(?:\s*:[^:(][^()]*)?\s*$", head)
    return ("class", match.group(1)) if match else None


def function_of(head):
    """(class or "", function, number of parameters) of the head of a function, or None."""
    head = re.sub(r"\[\[.*?\]\]|\b(?:alignas|decltype|noexcept)\([^()]*\)", " ", head)
    if "operator" in head or re.match(r"(?:using|typedef|static_assert|friend|extern)\b", head):
        return None
    match = re.search(r"([A-Za-z_][\w:]*)\s*\(", head)
    if not match:
        return None
    before, names = head[:match.start()], match.group(1).split("::")
    if "=" in before or (not before.strip() and len(names) == 1):    # a variable; a macro
        return None
    depth, parameters = 0, ""
    for char in head[match.end():]:
        if char == ")" and depth == 0:
            break
        depth += 1 if char in "(<[{" else -1 if char in ")>]}" else 0
        parameters += "" if depth and char == "," else char
    count = parameters.count(",") + 1 if parameters.strip() not in ("", "void") else 0
    return (names[0] if len(names) > 1 else "", names[-1], count)


def read_units(src):
    """{name: Unit} of every .h and .cc below src/, except files that lie in no room."""
    units = {}
    for path in sorted(p for p in src.rglob("*") if p.suffix in (".h", ".cc") and p.parent != src):
        name = str(path.relative_to(src).with_suffix(""))
        unit = units.setdefault(name, Unit(name))
        unit.files[path.suffix] = path
        text = path.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r'\s*#include\s+"([^"]+)\.h"', line)
            if match and match.group(1) != name:
                unit.includes.setdefault(match.group(1), (path, number))
        for scope, head, end, line in statements(plain_code(text)):
            kinds = [kind for kind, _ in scope]
            if path.suffix == ".h":
                unit.classes.update(class_name for kind, class_name in scope if kind == "class")
            found = None if "class" in kinds or "anonymous" in kinds else function_of(head)
            if not found or re.match(r"(?:static|inline|constexpr|template)\b", head):
                continue
            if path.suffix == ".h" and end == ";" and not found[0]:
                unit.declared.setdefault(found[1:], line)
            if path.suffix == ".cc" and end == "{":
                unit.defined.append((*found, line))
    return units


def components(units):
    """Strongly connected components of the include graph that hold more than one unit (Tarjan)."""
    index, low, on_stack, stack, found = {}, {}, set(), [], []

    def visit(name):
        index[name] = low[name] = len(index)
        stack.append(name)
        on_stack.add(name)
        for target in units[name].includes:
            if target not in units:
                continue
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in on_stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            part = []
            while True:
                part.append(stack.pop())
                on_stack.discard(part[-1])
                if part[-1] == name:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    for name in units:
        if name not in index:
            visit(name)
    return found


def shortest_cycle(units, part):
    """The shortest way from a unit of the component back to itself, as a list of unit names."""
    best = None
    for first in part:
        seen, queue = {first: None}, [first]
        while queue:
            name = queue.pop(0)
            if first in units[name].includes:
                trail = [first]
                while name is not None:
                    trail.append(name)
                    name = seen[name]
                trail.reverse()
                if best is None or len(trail) < len(best):
                    best = trail
                break
            for target in units[name].includes:
                if target in part and target not in seen:
                    seen[target] = name
                    queue.append(target)
    return best


def first_sentence(unit):
    """The first sentence of the comment at the head of the unit's header (or of its .cc), "" where there is none."""
    path = unit.files.get(".h", unit.files.get(".cc"))
    words = []
    for line in path.read_text().splitlines():
        if not line.startswith("//"):
            break
        words.append(line[2:].strip())
    text = " ".join(words)
    # A sentence ends with a full stop before white space; the stop of an abbreviation ends none.
    for match in re.finditer(r"[.!?](?=\s|$)", text):
        if not re.search(r"\b(?:al|e\.g|i\.e|cf|vs|Eq|Sec|No)\.$", text[:match.end()]):
            return text[:match.end()]
    return text
