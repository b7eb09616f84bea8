#!/usr/bin/env python3
"""Peer of `etrlrec prepare`: polars reads a log, sorts it, takes its 5-core and splits it, leave-one-out.

  peer_prepare.py make FILE --source u.data --rows N    N rows of user, item, rating and time, tab separated: copies of MovieLens-100K
                                                        with shifted ids, interleaved row by row
  peer_prepare.py polars FILE                           one run in this process, timed behind the imports; one JSON line
  peer_prepare.py etrlrec FILE --program etrlrec        one run of the program, from its start to its end, data set folder written
  peer_prepare.py both FILE --program etrlrec           both in turns, --turns times; one row of a Markdown table

The user's file is read once before anything is timed. polars writes nothing; the program also writes and hashes its folder. Needs polars
and numpy."""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

USERS, ITEMS = 943, 1682  # of MovieLens-100K
COLUMNS = ["user", "item", "rating", "time"]


def make(options):
    import numpy as np
    import polars as pl
    log = np.loadtxt(options.source, dtype=np.int64)
    copies = options.rows // len(log)
    shift = np.arange(copies)
    with open(options.file, "wb") as out:
        for part in np.array_split(log, max(1, len(log) * copies // 5_000_000)):
            rows = {"user": part[:, [0]] + USERS * shift, "item": part[:, [1]] + ITEMS * shift,
                    "rating": np.repeat(part[:, [2]], copies, 1), "time": np.repeat(part[:, [3]], copies, 1)}
            pl.DataFrame({name: column.ravel() for name, column in rows.items()}).write_csv(out, include_header=False, separator="\t")


def polars(options):
    import polars as pl
    begin = time.perf_counter()
    log = pl.read_csv(options.file, separator="\t", has_header=False, new_columns=COLUMNS,
                      schema_overrides=[pl.Int32, pl.Int32, pl.Int8, pl.Int64])
    read = time.perf_counter()
    log = log.sort(["user", "time"], maintain_order=True)
    while True:
        rows = len(log)
        log = log.filter((pl.len().over("user") >= options.k_core) & (pl.len().over("item") >= options.k_core))
        if len(log) == rows:
            break
    log = log.with_columns(pl.int_range(pl.len()).reverse().over("user").alias("back"))
    parts = [log.filter(pl.col("back") >= 2), log.filter(pl.col("back") == 1), log.filter(pl.col("back") == 0)]
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": round(seconds, 2), "read": round(read - begin, 2), "rows": [len(part) for part in parts],
                      "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))


def etrlrec(options):
    folder = tempfile.mkdtemp()
    command = [options.program, "prepare", "--input", options.file, "--map", "user=1,item=2,rating=3,time=4", "--k-core", str(options.k_core),
               "--split", "leave-one-out", "--train-candidates", "0", "--valid-candidates", "0", "--test-candidates", "0",
               "--out", os.path.join(folder, "data")]
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begin
    if status != 0:
        sys.exit(errors.decode())
    with open(os.path.join(folder, "data", "prepare.json")) as file:
        report = json.load(file)
    shutil.rmtree(folder)
    print(json.dumps({"seconds": round(seconds, 2), "rows": [report[f"{part}_rows"] for part in ("train", "valid", "test")],
                      "peak_mib": round(usage.ru_maxrss / 1024)}))


def both(options):
    with open(options.file, "rb") as file:
        while file.read(1 << 24):
            pass
    runs = {"etrlrec": [], "polars": []}
    for _ in range(options.turns):
        for side in runs:
            command = [sys.executable, __file__, side, options.file, "--k-core", str(options.k_core), "--program", options.program]
            runs[side].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ours, peer = ({key: statistics.median(run[key] for run in runs[side]) for key in ("seconds", "peak_mib")} for side in runs)
    rows = sum(runs["polars"][0]["rows"])
    print(f"| {rows:,} | {ours['seconds']:.2f} | {peer['seconds']:.2f} | {ours['seconds'] / peer['seconds']:.2f} "
          f"| {ours['peak_mib']:.0f} | {peer['peak_mib']:.0f} | {ours['peak_mib'] / peer['peak_mib']:.2f} |")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("action", choices=["make", "polars", "etrlrec", "both"])
parser.add_argument("file")
parser.add_argument("--source", default="u.data")
parser.add_argument("--rows", type=int, default=20_000_000)
parser.add_argument("--k-core", type=int, default=5)
parser.add_argument("--program", default="etrlrec")
parser.add_argument("--turns", type=int, default=3)
arguments = parser.parse_args()
{"make": make, "polars": polars, "etrlrec": etrlrec, "both": both}[arguments.action](arguments)
