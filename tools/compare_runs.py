#!/usr/bin/env python3
"""Compares two run folders bit by bit: compare_runs.py OLD NEW.

Every file of OLD must be in NEW with the same content, and the other way round. What two runs of the same program may
differ in is left out before the comparison, by kind of file:
  *.json, *.jsonl   the keys in VOLATILE, at any depth; the run folder's own path inside strings becomes <run>
  *.toml            lines of options in VOLATILE; the run folder's own path
  *.html            the block of times and memory under "How it was made"; the run folder's own path
  events.out.*      names and wall times; the events of a folder are compared in order
  anything else     nothing: the bytes must be the same (safetensors, bin, txt, ...)
--ignore GLOB       leaves files out (may be repeated), --allow-missing GLOB accepts files that only one folder has,
--drop KEY          leaves one more JSON key out (a field that a new version records).
Prints one line per difference and a count; exits 1 if there is a difference, 2 if a folder is not there."""
import argparse
import fnmatch
import json
import re
import struct
import sys
from pathlib import Path

VOLATILE = {
    "seconds", "train_seconds", "step_time", "rollout_time", "peak_rss_mb", "version", "cpu", "threads", "arithmetic",
    "inputs", "out", "base_model_name_or_path",
}
SHOWN_PER_FILE = 5


def volatile(key, dropped):
    """train/step_time is step_time of the stage train."""
    return key.rpartition("/")[2] in VOLATILE or key in dropped


def normal(value, root, dropped):
    """A JSON value without volatile keys and with <run> for the folder's own path."""
    if isinstance(value, dict):
        return {k: normal(v, root, dropped) for k, v in value.items() if not volatile(k, dropped)}
    if isinstance(value, list):
        return [normal(v, root, dropped) for v in value]
    if isinstance(value, str):
        return own_path(value, root)
    return value


def own_path(text, root):
    for name in sorted(root, key=len, reverse=True):
        text = text.replace(name, "<run>")
    return text


def same_number(a, b):
    """JSON numbers are equal when their bits are: 0.1 and 0.1, nan and nan, but not 1 and 1.0."""
    if type(a) is not type(b):
        return False
    return a == b if not isinstance(a, float) else struct.pack("d", a) == struct.pack("d", b)


def json_differences(a, b, where, out):
    if isinstance(a, dict) and isinstance(b, dict):
        if list(a) != list(b) and set(a) == set(b):
            out.append(f"{where or '/'}: other order of keys")
        for key in list(a) + [k for k in b if k not in a]:
            place = f"{where}/{key}"
            if key not in a or key not in b:
                out.append(f"{place}: only in the {'new' if key not in a else 'old'} folder")
            else:
                json_differences(a[key], b[key], place, out)
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            out.append(f"{where}: {len(a)} entries, then {len(b)}")
        for index, (x, y) in enumerate(zip(a, b)):
            json_differences(x, y, f"{where}[{index}]", out)
    elif isinstance(a, (int, float)) and isinstance(b, (int, float)):
        if not same_number(a, b):
            out.append(f"{where}: {a!r}, then {b!r}")
    elif a != b:
        out.append(f"{where}: {short(a)}, then {short(b)}")


def short(value, limit=120):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit] + "..."


def parse_json(data, is_lines):
    text = data.decode("utf-8")
    if is_lines:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text)


def compare_json(old, new, roots, dropped, is_lines):
    values = [normal(parse_json(data, is_lines), root, dropped) for data, root in zip((old, new), roots)]
    out = []
    json_differences(values[0], values[1], "", out)
    return out


def compare_toml(old, new, roots, dropped):
    def lines(data, root):
        kept = []
        for line in data.decode("utf-8").splitlines():
            key = line.split("=")[0].strip().strip("\"'")
            if not volatile(key, dropped) and not line.startswith("#"):
                kept.append(own_path(line, root))
        return kept
    return line_differences(lines(old, roots[0]), lines(new, roots[1]))


def compare_html(old, new, roots):
    def lines(data, root):
        text = own_path(data.decode("utf-8"), root)
        # The table of seconds per stage and the memory, nothing else of that section.
        text = re.sub(r'(<h2>How it was made</h2>)<p class="intro">.*?</tbody></table></div>', r"\1", text, flags=re.S)
        return re.sub(r">", ">\n", text).splitlines()
    return line_differences(lines(old, roots[0]), lines(new, roots[1]))


def line_differences(old, new):
    out = [f"line {n}: {short(a)}, then {short(b)}" for n, (a, b) in enumerate(zip(old, new), 1) if a != b]
    if len(old) != len(new):
        out.append(f"{len(old)} lines, then {len(new)}")
    return out


def events(paths):
    """The payloads of TensorBoard records without their wall time (field 1, a double, always first)."""
    out = []
    for path in paths:
        data, at = path.read_bytes(), 0
        while at + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            payload = data[at + 12 : at + 12 + length]
            out.append(payload[9:] if payload[:1] == b"\x09" else payload)
            at += 16 + length
    return out


def compare_bytes(old, new):
    if old == new:
        return []
    if len(old) != len(new):
        return [f"{len(old)} bytes, then {len(new)}"]
    first = next(i for i, (a, b) in enumerate(zip(old, new)) if a != b)
    count = sum(a != b for a, b in zip(old, new))
    return [f"{count} of {len(old)} bytes differ, the first at {first}"]


def compare_file(name, old_path, new_path, roots, dropped):
    old, new = old_path.read_bytes(), new_path.read_bytes()
    if old == new:
        return []
    suffix = Path(name).suffix
    try:
        if suffix in (".json", ".jsonl"):
            return compare_json(old, new, roots, dropped, suffix == ".jsonl")
        if suffix == ".toml":
            return compare_toml(old, new, roots, dropped)
        if suffix == ".html":
            return compare_html(old, new, roots)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        return [f"cannot be read ({error}) and differs"]
    return compare_bytes(old, new)


def is_event(name):
    return Path(name).name.startswith("events.out.tfevents.")


def files_of(folder, ignored):
    out = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not any(fnmatch.fnmatch(name, glob) for glob in ignored):
            out[name] = path
    return out


def compare_events(old, new):
    """One line per folder of event files whose events differ."""
    out = []
    groups = [{}, {}]
    for group, files in zip(groups, (old, new)):
        for name, path in files.items():
            if is_event(name):
                group.setdefault(str(Path(name).parent), []).append(path)
    for folder in sorted(set(groups[0]) | set(groups[1])):
        a, b = events(groups[0].get(folder, [])), events(groups[1].get(folder, []))
        # Times per step are events, too: their tags say so.
        timed = [t.encode() for t in VOLATILE]
        a, b = ([e for e in side if not any(t in e for t in timed)] for side in (a, b))
        if a != b:
            out.append(f"{folder}: {len(a)} events, then {len(b)}; "
                       f"{sum(x != y for x, y in zip(a, b))} of the common ones differ")
    return out


def own_names(folder):
    """How a run may have written its own folder into its files."""
    return {str(folder), str(folder.resolve())} - {"."}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--ignore", action="append", default=[], metavar="GLOB")
    parser.add_argument("--allow-missing", action="append", default=[], metavar="GLOB")
    parser.add_argument("--drop", action="append", default=[], metavar="KEY")
    parser.add_argument("--written-as", action="append", default=[], metavar="PATH",
                        help="a name by which a run knew its folder, if it was moved since")
    options = parser.parse_args()
    for folder in (options.old, options.new):
        if not folder.is_dir():
            print(f"{folder}: not a folder", file=sys.stderr)
            return 2
    roots = [own_names(folder) | set(options.written_as) for folder in (options.old, options.new)]
    old, new = files_of(options.old, options.ignore), files_of(options.new, options.ignore)
    differing, missing = 0, 0
    for name in sorted(set(old) ^ set(new)):
        if is_event(name) or any(fnmatch.fnmatch(name, glob) for glob in options.allow_missing):
            continue
        print(f"{name}: only in the {'old' if name in old else 'new'} folder")
        missing += 1
    common = [name for name in sorted(set(old) & set(new)) if not is_event(name)]
    for name in common:
        found = compare_file(name, old[name], new[name], roots, set(options.drop))
        differing += bool(found)
        for line in found[:SHOWN_PER_FILE]:
            print(f"{name}: {line}")
        if len(found) > SHOWN_PER_FILE:
            print(f"{name}: and {len(found) - SHOWN_PER_FILE} more")
    for line in compare_events(old, new):
        print(line)
        differing += 1
    print(f"{len(common)} files in both, {differing} differ, {missing} only in one")
    return 1 if differing or missing else 0


if __name__ == "__main__":
    sys.exit(main())
