#!/usr/bin/env python3
"""Prints the slowest tests of the last run: slowest.py BUILD_FOLDER [COUNT].

Reads what ctest leaves in BUILD_FOLDER/test-times: *.json of GoogleTest, *.tsv (seconds, name) of the Python tests."""
import json
import sys
from pathlib import Path


def times(folder):
    for path in sorted(folder.glob("*.json")):
        for suite in json.loads(path.read_text())["testsuites"]:
            for test in suite["testsuite"]:
                if test["status"] == "RUN":
                    yield float(test["time"].rstrip("s")), f"{suite['name']}.{test['name']}", path.stem
    for path in sorted(folder.glob("*.tsv")):
        for line in path.read_text().splitlines():
            seconds, name = line.split("\t")
            yield float(seconds), name, path.stem


def main(folder, count=20):
    found = sorted(times(Path(folder) / "test-times"), reverse=True)
    if not found:
        sys.exit(f"{folder}/test-times: no times")
    print(f"{len(found)} tests, {sum(t[0] for t in found):.0f} s of tests; the slowest:")
    for seconds, name, entry in found[: int(count)]:
        print(f"{seconds:8.1f} s  {name}  ({entry})")


if __name__ == "__main__":
    main(*sys.argv[1:])
