#!/usr/bin/env python3
"""Does the policy use time, and only where time says something? Worlds in which only order, only gaps or only season
inform (and the one in which all do), each with the input ablations of `evaluate --ablate`.

  ./run ablations [--out DIR] [--worlds all,order,gaps,season]

Every world is one `etrlrec demo --informative …`; finished runs are not repeated. Prints a Markdown table of hit@1 on the
test rows, the difference to the unchanged input in points, and the p value of the paired test (Holm over the table)."""
import argparse
import json
import subprocess
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent.parent / "build" / "etrlrec"
ABLATIONS = ["shuffle-history", "permute-gaps", "shift-season"]


def run(*arguments, quiet=True):
    command = [str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE if quiet else None, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"failed with {done.returncode}: {' '.join(command)}")
    return done.stdout


def evaluate(folder, ablation, model):
    out = folder / "ablations" / f"{model}-{ablation}"
    run("evaluate", "--data", folder / "data", "--model", folder / model, "--ablate", ablation, "--out", out, "--replace",
        "--name", ablation, "--quiet", "--json")
    with open(out / "summary.json", encoding="utf-8") as file:
        return json.load(file), out


def holm(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, values[i] * (len(values) - rank)))
        adjusted[i] = largest
    return adjusted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/ablations", type=Path)
    parser.add_argument("--worlds", default="all,order,gaps,season")
    parser.add_argument("--model", default="policy", help="folder of the run that is judged")
    parser.add_argument("--seed", default=42, type=int)
    options = parser.parse_args()
    rows = []
    for world in options.worlds.split(","):
        folder = options.out / world
        if not (folder / "summary.json").exists():
            run("demo", "--informative", world, "--out", folder, "--seed", options.seed, quiet=False)
        base, base_folder = evaluate(folder, "none", options.model)
        for ablation in ABLATIONS:
            row, out = evaluate(folder, ablation, options.model)
            test = json.loads(run("compare", out, base_folder, "--json", "--force", "--quiet"))["pairs"][0]["hit@1"]
            rows.append((world, base, ablation, row, test))
    adjusted = holm([test["p"] for *_, test in rows])
    print("| informative | hit@1 | ablation | hit@1 | points | p (McNemar, Holm) |\n|---|---:|---|---:|---:|---:|")
    for (world, base, ablation, row, _), p in zip(rows, adjusted):
        points = 100 * (row["hit@1"] - base["hit@1"])
        print(f"| {world} | {base['hit@1']:.3f} | {ablation} | {row['hit@1']:.3f} | {points:+.1f} | {p:.1g} |")


if __name__ == "__main__":
    main()
