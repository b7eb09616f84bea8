#!/usr/bin/env python3
"""Writes README's file map: one table per room between two markers, one row per unit with the first sentence of its
header. `--check` writes nothing and exits 1 when the map is stale. --root DIR works on another tree."""
import argparse
import sys
from pathlib import Path

import units as source_units

BEGIN, END = "<!-- file map: begin (tools/file_map.py writes it) -->", "<!-- file map: end -->"
ROOMS = ["base", "text", "data", "temporal", "kernels", "nn", "tuning", "models", "engine", "train", "eval", "method", "app"]


def cell(sentence):
    return sentence.rstrip(".").replace("|", "\\|").replace("<", "&lt;")


def file_map(src):
    units = source_units.read_units(src)
    rooms = ROOMS + sorted({unit.room for unit in units.values()} - set(ROOMS))
    tables = []
    for room in rooms:
        rows = [f"| `{unit.name}` | {cell(source_units.first_sentence(unit))} |"
                for unit in units.values() if unit.room == room]
        if rows:
            tables.append("\n".join([f"| unit of `src/{room}` | what it is |", "|---|---|", *rows]))
    return "\n\n".join(tables)


def with_map(readme, src):
    if BEGIN not in readme or END not in readme:
        sys.exit(f"README.md: expected the lines {BEGIN} and {END}")
    head, rest = readme.split(BEGIN, 1)
    return f"{head}{BEGIN}\n\n{file_map(src)}\n\n{END}{rest.split(END, 1)[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    path = options.root / "README.md"
    readme = path.read_text()
    fresh = with_map(readme, options.root / "src")
    if options.check:
        return 0 if fresh == readme else 1
    path.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
