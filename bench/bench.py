#!/usr/bin/env python3
"""Speed of the program on this machine, and side by side with plain PyTorch recommenders where they are given.

  ./run bench                                              training and rollout rates on a small synthetic world
  ./run bench --ml-100k DIR --peer-python P --peer SCRIPT  also SASRec, GRU4Rec (peer_gru4rec.py) and ranks in the whole catalogue
                                                           on MovieLens-100K, ours and the peers' in turn
  ./run bench --peers DIR --peer-python P [--shape XS]     language-model work on random weights, ours and the peers' in turn
                                                           (bench/language_models.py); a peer that does not run is named
       [--rows decode,natural,...] [--tokenizer PATH ...] [--text FILE] [--scratch DIR]
  ./run bench --against OLD_BUILD [--jobs decode,sft,...] [--turns 3]   this build and an older one in turn (bench/two_builds.py)

The peer is a script that takes `--impl plain --loss ce` and prints one JSON line with "targets_per_s" and "eval_users_per_s", which
ranks twice, with seen items and without. Rates are read from the
program's own progress lines; compare ratios of one run, never absolute numbers of two machines."""
import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import language_models
import two_builds

PROGRAM = Path(__file__).resolve().parent.parent / "build" / "etrlrec"


def run(*arguments, program=PROGRAM):
    begin = time.monotonic()
    done = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"etrlrec {arguments[0]} failed:\n{done.stderr}")
    return done.stdout + done.stderr, time.monotonic() - begin


def rate(text):
    """The last tok/s of the progress lines, in tokens per second."""
    found = re.findall(r"tok/s=([0-9.]+)([kM]?)", text)
    if not found:
        return float("nan")
    number, unit = found[-1]
    return float(number) * {"": 1, "k": 1e3, "M": 1e6}[unit]


def small_world_inputs(program, folder):
    """What the stages below read: data, reasoning, base model and a student."""
    data, reasoning, base = folder / "data", folder / "reasoning", folder / "base"
    run("prepare", "--format", "synthetic", "--users", 1500, "--target", "last", "--out", data, program=program)
    # A build of before answers by title knows numbers alone.
    by_number = ["--answer", "number"] if "--answer" in run("construct", "--help", program=program)[0] else []
    run("construct", "--data", data, "--out", reasoning, "--draws", 1, "--hint-policy", "never", "--no-filter-answer", *by_number,
        program=program)
    run("new-lm", "--data", data, "--out", base, program=program)
    rate_of_stage(program, folder, "distill", "student")


def rate_of_stage(program, folder, stage, out=None):
    """Tokens (fit: targets) per second of one stage."""
    data, reasoning = folder / "data", folder / "reasoning"
    inputs = {"fit": ["--model", "sasrec", "--num-train-epochs", 6],
              "distill": ["--reasoning", reasoning, "--model", folder / "base", "--max-steps", 150, "--eval-rows", 0],
              "reinforce": ["--reasoning", reasoning, "--model", folder / "student", "--max-steps", 20, "--eval-rows", 0]}[stage]
    with tempfile.TemporaryDirectory() as name:
        target = folder / out if out else Path(name) / "out"
        return rate(run(stage, "--data", data, *inputs, "--out", target, program=program)[0])


def small_world(folder):
    small_world_inputs(PROGRAM, folder)
    for stage in ("distill", "reinforce"):
        print(f"{stage:<12} {rate_of_stage(PROGRAM, folder, stage):>10.0f} tokens/s")


def compare(name, unit, ours, theirs):
    """Medians, all turns, and their ratio."""
    print(f"{name:<12} {statistics.median(ours):>10.0f} {unit}   ({', '.join(f'{x:.0f}' for x in ours)})")
    if theirs:
        print(f"  the peer   {statistics.median(theirs):>10.0f} {unit}   ({', '.join(f'{x:.0f}' for x in theirs)})")
        print(f"  ratio      {statistics.median(ours) / statistics.median(theirs):>10.2f}", flush=True)


def peer_line(options, script, *arguments):
    command = [options.peer_python, script, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{script} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def recommenders(folder, options):
    """Ours and the peers' in turn, three times. Rates of training leave validation out; users ranked in the whole catalogue count
    from histories to two ranks, with and without the items of the history, on both sides."""
    data, log = folder / "ml", Path(options.ml_100k) / "u.data"
    run("prepare", "--input", options.ml_100k, "--split", "leave-one-out", "--out", data)
    names = ("sasrec", "gru4rec", "ranking")
    ours, theirs = {name: [] for name in names}, {name: [] for name in names}
    for turn in range(3):
        for model in ("sasrec", "gru4rec"):
            text, _ = run("fit", "--data", data, "--model", model, "--out", folder / f"{model}-{turn}", "--num-train-epochs", 6)
            ours[model].append(rate(text))
        ours["ranking"].append(language_models.ours("ranking", "sasrec", "float32")["users_per_s"])
        if options.peer:
            peer = peer_line(options, options.peer, "--impl", "plain", "--loss", "ce", "--max-epochs", 6, "--data", log)["result"]
            theirs["sasrec"].append(peer["targets_per_s"])
            theirs["ranking"].append(peer["eval_users_per_s"])
            peer = peer_line(options, language_models.HERE / "peer_gru4rec.py", "--data", log)
            theirs["gru4rec"].append(peer["targets_per_s"])
    compare("SASRec", "targets/s", ours["sasrec"], theirs["sasrec"])
    compare("GRU4Rec", "targets/s", ours["gru4rec"], theirs["gru4rec"])
    compare("ranking", "users/s", ours["ranking"], theirs["ranking"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ml-100k", type=Path)
    parser.add_argument("--peer-python", default="python3")
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peers", type=Path)
    language_models.add_options(parser)
    parser.add_argument("--against", type=Path, help="build folder of another commit, measured in turn with build/")
    parser.add_argument("--jobs", help="with --against: stages, decode, rollouts, rank, sft, grpo (default: all)")
    parser.add_argument("--turns", type=int, default=3, help="with --against")
    options = parser.parse_args()
    if options.against:
        return two_builds.run(options)
    if options.peers:
        return language_models.run(options)
    with tempfile.TemporaryDirectory() as name:
        small_world(Path(name))
        if options.ml_100k:
            recommenders(Path(name), options)


if __name__ == "__main__":
    main()
