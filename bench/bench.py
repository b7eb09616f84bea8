#!/usr/bin/env python3
"""Speed of the program on this machine, and side by side with a plain PyTorch SASRec where one is given.

  ./run bench                                              training and rollout rates on a small synthetic world
  ./run bench --ml-100k DIR --peer-python P --peer SCRIPT  also SASRec on MovieLens-100K, ours and the peer's in turn
  ./run bench --peers DIR --peer-python P [--shape XS]     language-model work on random weights, ours and the scripts of DIR
                                                           (generate.py, llamacpp_decode.py, rank_candidates.py, grpo_step.py,
                                                           sft_lora.py) in turn; a peer that does not run is named and left out

The peer is a script that takes `--impl plain --loss ce` and prints one JSON line with "targets_per_s". Rates are read from the
program's own progress lines; compare ratios of one run, never absolute numbers of two machines."""
import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent.parent / "build" / "etrlrec"


def run(*arguments):
    begin = time.monotonic()
    done = subprocess.run([str(PROGRAM), *map(str, arguments)], capture_output=True, text=True)
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


def small_world(folder):
    data, reasoning, base = folder / "data", folder / "reasoning", folder / "base"
    run("prepare", "--format", "synthetic", "--users", 1500, "--target", "last", "--out", data)
    run("construct", "--data", data, "--out", reasoning, "--draws", 1, "--hint-policy", "never", "--no-filter-answer")
    run("new-lm", "--data", data, "--out", base)
    text, seconds = run("distill", "--data", data, "--reasoning", reasoning, "--model", base, "--out", folder / "student",
                        "--max-steps", 150, "--eval-rows", 0)
    print(f"distill      {rate(text):>10.0f} tokens/s   ({seconds:.1f} s in all)")
    text, seconds = run("reinforce", "--data", data, "--model", folder / "student", "--reasoning", reasoning, "--out",
                        folder / "policy", "--max-steps", 20, "--eval-rows", 0)
    print(f"reinforce    {rate(text):>10.0f} tokens/s   ({20 / seconds:.2f} steps/s of 32 prompts x 8)")


def sasrec(folder, options):
    """Ours and the peer's in turn, three times; medians. Both rates leave validation out."""
    data, ours, theirs = folder / "ml", [], []
    run("prepare", "--input", options.ml_100k, "--split", "leave-one-out", "--out", data)
    for turn in range(3):
        text, _ = run("fit", "--data", data, "--model", "sasrec", "--out", folder / f"ml-fit-{turn}", "--num-train-epochs", 6)
        ours.append(rate(text))
        if options.peer:
            command = [options.peer_python, options.peer, "--impl", "plain", "--loss", "ce", "--max-epochs", 6, "--data",
                       Path(options.ml_100k) / "u.data"]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
            theirs.append(json.loads(done.stdout.strip().splitlines()[-1])["result"]["targets_per_s"])
    print(f"SASRec       {statistics.median(ours):>10.0f} targets/s   ({', '.join(f'{x:.0f}' for x in ours)})")
    if theirs:
        print(f"  the peer   {statistics.median(theirs):>10.0f} targets/s   ({', '.join(f'{x:.0f}' for x in theirs)})")
        print(f"  ratio      {statistics.median(ours) / statistics.median(theirs):>10.2f}")


def ours(job, shape, storage, *more):
    done = subprocess.run([str(PROGRAM.parent / "etrlrec_speed"), job, shape, storage, *map(str, more)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"etrlrec_speed {job} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def theirs(options, script, *arguments):
    command = [options.peer_python, str(options.peers / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=options.peers)
    if done.returncode != 0:
        print(f"  {script} did not run: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def row(name, mine, peer, lower_is_better=False):
    if peer:
        ratio = peer / mine if lower_is_better else mine / peer
        print(f"{name:<44} {mine:>10.2f} {peer:>10.2f} {ratio:>7.2f} x", flush=True)
    else:
        print(f"{name:<44} {mine:>10.2f} {'-':>10}", flush=True)


def language_models(options):
    """Each row: ours, the peer's, ratio (above 1: ours is faster)."""
    shape, prompt = options.shape, ["--prompt", 256]
    print(f"{'shape ' + shape:<44} {'ours':>10} {'peer':>10}")
    decode = {t: ours("decode", shape, t)["decode_tok_s"] for t in ("bfloat16", "int8")}
    llama = theirs(options, "llamacpp_decode.py", "--shape", shape, "--type", "BF16", "--batch", 1, 32, *prompt)
    hf = {t: theirs(options, "generate.py", "--shape", shape, "--dtype", t, "--batch", 1, 32, *prompt) for t in ("bfloat16", "float32")}

    def best(batch, key):
        found = [peer["result"][f"b{batch}"][key] for peer in (llama, *hf.values()) if peer and f"b{batch}" in peer["result"]]
        return max(found, default=None)

    llama_one = llama["result"]["b1"]["decode_tok_s"] if llama else None
    row("decode, batch 1, bf16, tok/s (llama.cpp bf16)", decode["bfloat16"], llama_one)
    row("decode, batch 1, int8, tok/s (llama.cpp bf16)", decode["int8"], llama_one)
    rollouts = ours("rollouts", shape, "float32")
    row("rollouts 4 x 8, decode tok/s (best peer)", rollouts["decode_tok_s"], best(32, "decode_tok_s"))
    row("prefill, tok/s (best peer, batch 32)", ours("decode", shape, "float32", 32)["prefill_tok_s"], best(32, "prefill_tok_s"))
    rank = ours("rank", shape, "float32")["prompts_per_s"]
    for method in ("full", "prefix"):
        peer = theirs(options, "rank_candidates.py", "--shape", shape, "--dtype", "float32", "--method", method, "--prompts", 8)
        row(f"ranking 20 titles, prompts/s ({method})", rank, peer and peer["result"]["prompts_per_s"])
    mine = ours("grpo", shape, "float32")
    for impl in ("trl", "hand"):
        peer = theirs(options, "grpo_step.py", "--shape", shape, "--dtype", "float32", "--impl", impl)
        row(f"GRPO step, s ({impl})", mine["step_s"], peer and peer["result"]["step_s"], True)
        row(f"GRPO step, peak MB ({impl})", mine["peak_rss_mb"], peer and peer["peak_rss_mib"], True)
    mine = ours("sft", shape, "float32")
    for tokens, name in ((0, "all labels"), (128, "a quarter labelled, head there only")):
        head = ["--head", "loss_only", "--loss-tokens", tokens] if tokens else []
        peer = theirs(options, "sft_lora.py", "--shape", shape, "--dtype", "float32", *head)
        row(f"LoRA SFT, tok/s (dense 8 x 512, {name})", mine["tokens_per_s"], peer and peer["result"]["tokens_per_s"])
        row("LoRA SFT, peak MB", mine["peak_rss_mb"], peer and peer["peak_rss_mib"], True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ml-100k", type=Path)
    parser.add_argument("--peer-python", default="python3")
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--shape", choices=["XS", "S"], default="XS")
    options = parser.parse_args()
    if options.peers:
        return language_models(options)
    with tempfile.TemporaryDirectory() as name:
        small_world(Path(name))
        if options.ml_100k:
            sasrec(Path(name), options)


if __name__ == "__main__":
    main()
