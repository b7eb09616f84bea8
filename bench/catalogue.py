#!/usr/bin/env python3
"""What large catalogues cost: a synthetic log of USERS x EVENTS over ITEMS through the program, SASRec with sampled softmax.

  bench/catalogue.py --items 1000000 --users 200000 --events 50 [--epochs 0.2] [--rows 2000] [--max-length 50] [--threads N] [--scratch DIR]

An event is, with .7, one of the 20 items behind the user's last one, else one drawn by popularity (Zipf). Prints one JSON line: seconds
and peak memory of prepare, of --epochs passes over the users (with targets/s) and of ranking --rows test rows in
the whole catalogue. Needs Python alone."""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent.parent / "build" / "etrlrec"


def write_log(path, options):
    rng = random.Random(7)
    popularity = list(accumulate(1 / (rank + 10) for rank in range(options.items)))
    places = list(range(options.items))
    rng.shuffle(places)
    with open(path, "w", encoding="ascii", buffering=1 << 20) as file:
        file.write("user\titem\ttimestamp\n")
        for user in range(options.users):
            drawn = rng.choices(places, cum_weights=popularity, k=options.events)
            now, last = 1_600_000_000 + rng.randrange(30_000_000), drawn[0]
            for item in drawn:
                if rng.random() < .7:
                    item = (last + 1 + rng.randrange(20)) % options.items
                file.write(f"u{user}\ti{item}\t{now}\n")
                now, last = now + rng.randrange(200_000), item


def run(*arguments):
    """Output, seconds and peak memory in MB of one call."""
    begin = time.monotonic()
    process = subprocess.Popen([str(PROGRAM), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"etrlrec {arguments[0]} failed:\n{text}")
    return text, round(time.monotonic() - begin, 1), usage.ru_maxrss // 1024


def last_number(pattern, text):
    found = re.findall(pattern + r"([0-9.]+)([kM]?)", text)
    return float(found[-1][0]) * {"": 1, "k": 1e3, "M": 1e6}[found[-1][1]] if found else None


def measure(folder, options):
    log, data, models = folder / "log.tsv", folder / "data", folder / "models"
    write_log(log, options)
    figures = {"items": options.items, "users": options.users, "events": options.events, "max_length": options.max_length}
    threads = ["--threads", options.threads] if options.threads else []
    _, figures["prepare_s"], figures["prepare_mb"] = run(
        "prepare", "--input", log, "--out", data, "--split", "leave-one-out", "--train-candidates", 0,
        "--valid-candidates", 0, "--test-candidates", 0, *threads)
    text, figures["fit_s"], figures["fit_mb"] = run(
        "fit", "--data", data, "--model", "sasrec", "--loss", "sampled", "--out", models, "--num-train-epochs", options.epochs,
        "--max-length", options.max_length, "--eval-rows", options.rows, *threads)
    figures["targets_per_s"] = last_number(r"tok/s=", text)
    text, figures["ranking_s"], figures["ranking_mb"] = run(
        "evaluate", "--data", data, "--candidates", "all", "--model", models / "sasrec", "--limit", options.rows, "--out", folder / "rows",
        *threads)
    figures["ndcg@10"] = last_number(r"ndcg@10 ", text)
    print(json.dumps(figures), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("items", 1_000_000), ("users", 200_000), ("events", 50), ("rows", 2000), ("max-length", 50),
                          ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--epochs", type=float, default=0.2)
    parser.add_argument("--scratch", type=Path, help="folder for log, data and models, kept (default: a temporary one; 2 GB)")
    options = parser.parse_args()
    if options.scratch:
        options.scratch.mkdir(parents=True, exist_ok=True)
        return measure(options.scratch, options)
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), options)


if __name__ == "__main__":
    main()
