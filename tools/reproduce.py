#!/usr/bin/env python3
"""Runs the commands of docs/reproduce.md: reproduce.py TABLE... [--data DIR] [--out DIR], or --list.

A table is a section "## id: title" of that page; its block is run by bash as it stands, with $DATA and $OUT, and ends with
the first command that fails.
"""
import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECTION = re.compile(r"^## ([a-z-]+): (.+?)\n(.*?)^```sh\n(.*?)^```$", re.M | re.S)


def tables():
    """id -> (title, what it costs, commands), in the order of the page."""
    with open(os.path.join(ROOT, "docs", "reproduce.md"), encoding="utf-8") as file:
        page = file.read()
    found = {name: (title, " ".join(text.split()), commands) for name, title, text, commands in SECTION.findall(page)}
    if len(found) != page.count("\n## ") or len(found) != page.count("\n```sh\n"):
        sys.exit("error: docs/reproduce.md: expected sections \"## id: title\" with different ids and one block each")
    return found


def main():
    known = tables()
    parser = argparse.ArgumentParser(prog="./run reproduce", description="Runs the commands of docs/reproduce.md.")
    parser.add_argument("table", nargs="*", help=", ".join(known))
    parser.add_argument("--data", help="folder with ml-100k, steam and beauty")
    parser.add_argument("--out", default="runs/reproduce", help="folder of the results, default runs/reproduce")
    parser.add_argument("--list", action="store_true", help="the tables and what they cost")
    options = parser.parse_args()
    for name in options.table:
        if name not in known:
            parser.error(f"unknown table {name}; known: {', '.join(known)}")
    if options.list or not options.table:
        for name, (title, cost, _) in known.items():
            print(f"{name:<16} {title}. {cost}")
        return
    for name in options.table:
        commands = known[name][2]
        if "$DATA" in commands and not options.data:
            parser.error(f"{name}: expected --data, a folder with ml-100k, steam and beauty")
    environment = {**os.environ, "OUT": os.path.abspath(options.out), "DATA": os.path.abspath(options.data or ".")}
    for name in options.table:
        print(f"reproduce: {name}, {known[name][0]}", file=sys.stderr)
        done = subprocess.run(["bash", "-euxc", known[name][2]], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            sys.exit(f"error: {name}: a command ended with {done.returncode}\nhint: ./run reproduce {name} goes on")


if __name__ == "__main__":
    main()
