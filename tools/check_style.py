#!/usr/bin/env python3
"""Checks the house rules that a compiler cannot: which room includes which, that headers form no cycle inside a room,
file and function sizes, the torch rule, that the README maps every source file, and that no absolute path slipped in.
Run from anywhere; exits 1 and prints one line per violation."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
MAY_USE = {
    "base": set(),
    "text": {"base"},
    "data": {"base", "text"},
    "temporal": {"base", "data", "text"},
    "kernels": {"base"},
    "nn": {"base", "kernels"},
    "tuning": {"base", "kernels", "nn"},
    "models": {"base", "kernels", "nn", "tuning"},
    "engine": {"base", "text", "kernels", "nn", "tuning", "models"},
    "train": {"base", "text", "nn", "tuning", "models", "engine"},
    "eval": {"base", "data", "text", "temporal", "nn", "tuning", "models", "engine"},
    "method": {"base", "data", "text", "temporal", "kernels", "nn", "tuning", "models", "engine", "train", "eval"},
}
MAY_USE["app"] = set(MAY_USE)
TORCH_FREE = {"base", "data", "text", "temporal"}
ONLY_IN = {  # heavy headers and the places that may include them
    r"arrow/|parquet/": "data/",
    r"CLI/": "app/",
    r"sentencepiece_": "text/sentencepiece.cc",
    r"torch/torch\.h": None,
}
MAX_FILE, MAX_FUNCTION = 500, 80

errors = []


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
            report(path, number, f"room {room} may not include {name}")
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


def check_cycles(graph):
    state = {}

    def visit(node, trail):
        if state.get(node) == "done":
            return
        if node in trail:
            cycle = trail[trail.index(node):] + [node]
            report(SRC / node, 1, "include cycle: " + " -> ".join(cycle))
            return
        for target in graph.get(node, ()):
            visit(target, trail + [node])
        state[node] = "done"

    for node in graph:
        visit(node, [])


def main():
    graph = {}
    sources = sorted(p for p in SRC.rglob("*") if p.suffix in (".h", ".cc"))
    others = sorted(list((ROOT / "tests").glob("*.cc")) + list((ROOT / "bench").glob("*.cc")))
    for path in sources + others:
        text = path.read_text()
        lines = text.count("\n")
        if lines > MAX_FILE:
            report(path, lines, f"{lines} lines, at most {MAX_FILE}")
        if re.search(r'"/(home|root|work|tmp|usr|opt)/', text):
            report(path, 1, "absolute path in a string")
        if path in others:
            continue
        room = path.relative_to(SRC).parts[0]
        if room in ("pch.h", "pch_plain.h"):
            continue
        if room not in MAY_USE:
            report(path, 1, f"unknown room {room}")
            continue
        check_includes(path, room, text)
        if path.suffix == ".h":
            graph[str(path.relative_to(SRC))] = [
                m for m in re.findall(r'#include "([^"]+)"', text) if m.split("/")[0] == room]
        for line, length in function_lengths(text):
            if length > MAX_FUNCTION:
                report(path, line, f"function of {length} lines, at most {MAX_FUNCTION}")
    check_cycles(graph)
    readme = (ROOT / "README.md").read_text()
    for path in sources:
        stem = str(path.relative_to(SRC).with_suffix(""))
        if stem not in ("pch", "pch_plain") and f"`{stem}`" not in readme:
            report(path, 1, f"README.md has no line for `{stem}`")
    for stem in re.findall(r"^\| `([a-z]+/[a-z0-9_]+)` \|", readme, re.M):
        if not any((SRC / (stem + suffix)).exists() for suffix in (".h", ".cc")):
            errors.append(f"README.md: `{stem}` names no file of src/")
    print("\n".join(errors) if errors else f"style: {len(sources)} files, no violation")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
