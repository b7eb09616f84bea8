#!/usr/bin/env python3
"""Checks the house rules that a compiler cannot: which room includes which, that units (a header and its .cc together)
form no cycle, that a body is where its header says, file and function sizes, the torch rule, that the README's file map is
fresh, and that no absolute path slipped in. Run from anywhere; exits 1 and prints one line per violation, which
says what to do about it. --root DIR checks another tree."""
import argparse
import re
import sys
from pathlib import Path

import file_map
import units as source_units

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
MAY_USE = {
    "base": set(),
    "text": {"base"},
    "data": {"base", "text"},
    "temporal": {"base", "data", "text"},
    "remote": {"base", "text"},
    "kernels": {"base"},
    "nn": {"base", "kernels"},
    "tuning": {"base", "kernels", "nn"},
    "models": {"base", "kernels", "nn", "tuning"},
    "engine": {"base", "text", "kernels", "nn", "tuning", "models"},
    "train": {"base", "text", "nn", "tuning", "models", "engine"},
    "eval": {"base", "data", "text", "temporal", "nn", "tuning", "models", "engine"},
    "method": {"base", "data", "text", "temporal", "remote", "kernels", "nn", "tuning", "models", "engine", "train", "eval"},
}
MAY_USE["app"] = set(MAY_USE)
TORCH_FREE = {"base", "data", "text", "temporal", "remote", "kernels"}
ONLY_IN = {  # heavy headers and the places that may include them
    r"arrow/|parquet/": "data/",
    r"CLI/": "app/",
    r"httplib\.h": "remote/http_client.cc",
    r"sentencepiece_": "text/sentencepiece.cc",
    r"toml\+\+/": "method/recipe_file.cc",
    r"torch/torch\.h": None,
}
MAX_FILE, MAX_FUNCTION = 500, 80

errors = []


def set_root(root):
    global ROOT, SRC
    ROOT, SRC = root, root / "src"


def report(path, line, message):
    errors.append(f"{path.relative_to(ROOT)}:{line}: {message}")


def check_includes(path, room, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#include\s+[<"]([^>"]+)[>"]', line)
        if not match:
            continue
        name = match.group(1)
        target = name.split("/")[0]
        if target in MAY_USE and target != room and target not in MAY_USE[room]:
            report(path, number, room_hint(room, name))
        if room in TORCH_FREE and re.match(r"torch/|ATen/|c10/", name):
            report(path, number, f"room {room} must not include torch")
        for pattern, place in ONLY_IN.items():
            if re.match(pattern, name) and (place is None or not str(path.relative_to(SRC)).startswith(place)):
                report(path, number, f"{name} belongs {'nowhere' if place is None else 'in src/' + place}")
        if name == "nlohmann/json.hpp" and path.suffix == ".h" and path.name != "json.h":
            report(path, number, "headers use nlohmann/json_fwd.hpp")
        if name == "base/json.h" and path.suffix == ".h":
            report(path, number, "base/json.h belongs in .cc files")


def function_lengths(text):
    """Yields (line, length) of brace blocks that follow a parameter list at namespace or class level."""
    stripped = re.sub(r'R"(\w*)\((.|\n)*?\)\1"', lambda m: '""' + "\n" * m.group(0).count("\n"), text)
    stripped = re.sub(r'"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])*\'', '""', stripped)
    stripped = re.sub(r"//[^\n]*", "", stripped)
    stack, line, head = [], 1, ""
    for char in stripped:
        if char == "\n":
            line += 1
        if char == "{":
            is_scope = re.search(r"\b(namespace|struct|class|enum|union)\b[^()]*$", head) is not None
            is_function = not is_scope and ")" in head and all(kind == "scope" for kind, _ in stack)
            stack.append(("scope" if is_scope else "function" if is_function else "block", line))
            head = ""
        elif char == "}":
            if stack:
                kind, start = stack.pop()
                if kind == "function":
                    yield start, line - start + 1
            head = ""
        elif char == ";":
            head = ""
        else:
            head += char


def check_units(units):
    """Cycles between units, .cc files without a header, bodies that are not in the .cc of their header."""
    for part in source_units.components(units):
        trail = source_units.shortest_cycle(units, part)
        path, line = units[trail[0]].includes[trail[1]]
        edges = "; ".join(f"{units[a].includes[b][0].relative_to(SRC)}:{units[a].includes[b][1]} includes {b}.h"
                          for a, b in zip(trail, trail[1:]))
        report(path, line, f"units include each other in a circle: {edges}. Move what both need into a unit below them, "
               f"or pass it in" + (f" (all units of the circle: {', '.join(part)})" if len(part) > len(trail) - 1 else ""))
    home_of_function, home_of_class = {}, {}
    for unit in units.values():
        for key in unit.declared:
            home_of_function.setdefault(key, set()).add(unit.name)
        for name in unit.classes:
            home_of_class.setdefault(name, set()).add(unit.name)
    for unit in units.values():
        if ".cc" not in unit.files:
            continue
        path, misplaced = unit.files[".cc"], {}
        for class_name, function, parameters, line in unit.defined:
            homes = home_of_class.get(class_name, ()) if class_name else home_of_function.get((function, parameters), ())
            # Only a header that this file includes can have declared what is defined here.
            homes = [home for home in homes if home in unit.includes]
            if unit.name in home_of_class.get(class_name, ()) or (function, parameters) in unit.declared:
                continue
            if len(homes) == 1:
                misplaced.setdefault(homes[0], []).append((line, f"{class_name}::{function}" if class_name else function))
        for home, bodies in misplaced.items():
            names = ", ".join(f"{name}()" for _, name in bodies)
            report(path, bodies[0][0], f"declared in {home}.h: {names}. Move the "
                   f"{'body' if len(bodies) == 1 else 'bodies'} to {home}.cc or the declarations to {unit.name}.h")
        # main.cc and the commands of app, which main.cc names, are included by nobody.
        if ".h" not in unit.files and unit.room != "app" and not misplaced:
            report(path, 1, f"{unit.name}.h is missing: give this file a header with its declarations, or move its content "
                   "to the unit that declares it")


def room_hint(room, target):
    below = ", ".join(sorted(MAY_USE[room])) or "nothing"
    return (f"room {room} may not include {target}: pass the value in, or move what is needed down to a room that {room} "
            f"may use ({below})")


def check_table():
    """The table of rooms itself must have an order: a room may use no room that may use it."""
    for room, targets in MAY_USE.items():
        for target in sorted(targets):
            if room in MAY_USE[target]:
                errors.append(f"tools/check_style.py: rooms {room} and {target} may use each other: take one out of MAY_USE")


def check_files(sources, others):
    for path in sources + others:
        text = path.read_text()
        lines = text.count("\n")
        if lines > MAX_FILE:
            report(path, lines, f"{lines} lines, at most {MAX_FILE}: split the unit by what its parts are about")
        if re.search(r'"/(home|root|work|tmp|usr|opt)/', text):
            report(path, 1, "absolute path in a string: take it from an option or the environment")
        if path in others or path.parent == SRC:
            continue
        room = path.relative_to(SRC).parts[0]
        if room not in MAY_USE:
            report(path, 1, f"unknown room {room}: add it to MAY_USE and to docs/architecture.md")
            continue
        check_includes(path, room, text)
        for line, length in function_lengths(text):
            if length > MAX_FUNCTION:
                report(path, line, f"function of {length} lines, at most {MAX_FUNCTION}: give its steps names")


def check_readme(units):
    """The file map is generated; its lines are the first sentences of headers, which must say something."""
    readme = ROOT / "README.md"
    if file_map.with_map(readme.read_text(), SRC) != readme.read_text():
        errors.append("README.md: the file map is stale: run tools/file_map.py")
    for unit in units.values():
        path = unit.files.get(".h", unit.files.get(".cc"))
        sentence = source_units.first_sentence(unit)
        if len(sentence.split()) < 3:
            report(path, 1, f"expected a first sentence that says what {unit.name} is, found \"{sentence}\": write the "
                   "comment at the head of the file")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--units", action="store_true", help="only the rules about units, as a report that fails nothing")
    options = parser.parse_args()
    set_root(options.root.resolve())
    sources = sorted(p for p in SRC.rglob("*") if p.suffix in (".h", ".cc"))
    others = sorted(list((ROOT / "tests").glob("*.cc")) + list((ROOT / "bench").glob("*.cc")))
    if options.units:
        check_units(source_units.read_units(SRC))
    else:
        check_units(source_units.read_units(SRC))
        check_table()
        check_files(sources, others)
        check_readme(source_units.read_units(SRC))
    print("\n".join(errors) if errors else f"style: {len(sources)} files, no violation")
    return 1 if errors and not options.units else 0


if __name__ == "__main__":
    sys.exit(main())
