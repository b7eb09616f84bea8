"""Language-model work on random weights, ours and the peers' in turn. Each row: ours, the peer's, ratio (above 1: ours is better).

Groups of rows (--rows): decode, rollouts, rank, grpo, sft (scripts of --peers: generate.py, llamacpp_decode.py, rank_candidates.py,
grpo_step.py, sft_lora.py); natural (LoRA SFT on 64 padded natural rows, peer_sft.py); load (checkpoint of shape S to the first
token, peer_load.py); bpe (one core, peer_bpe.py, needs --tokenizer); reading (time lines, all
weights of the model that reads MovieLens-100K, peer_reading.py); prompt (a step of DELRec's stage 1,
peer_prompt.py); memory (adapters on int8 bases of 0.5B and 3B, no peer)."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPEED = HERE.parent / "build" / "etrlrec_speed"
GROUPS = ["decode", "rollouts", "rank", "grpo", "sft", "natural", "load", "bpe", "reading", "prompt", "memory"]


def add_options(parser):
    parser.add_argument("--shape", choices=["XS", "S"], default="XS")
    parser.add_argument("--rows", default=",".join(GROUPS), help="groups of rows, separated by commas (default: all)")
    parser.add_argument("--tokenizer", type=Path, action="append", default=[],
                        help="tokenizer.json, or a folder with it or with vocab.json and merges.txt; may be repeated")
    parser.add_argument("--text", type=Path, help="English text for bpe (default: docstrings of the peer's packages)")
    parser.add_argument("--scratch", type=Path, help="folder for checkpoints, kept (default: a temporary one; 8 GB with memory)")


def one_core(command):
    """The command on the first core this process may use."""
    core = min(os.sched_getaffinity(0))
    return ["taskset", "-c", str(core), *command]


def ours(job, *more, wrap=list):
    done = subprocess.run(wrap([str(SPEED), job, *map(str, more)]), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"etrlrec_speed {job} failed:\n{done.stderr}")
    return json.loads(done.stdout) if done.stdout else None


def theirs(options, script, *arguments, wrap=list):
    """The last line of a peer's script as JSON; None, and a line that says so, when it does not run."""
    path = HERE / script if script.startswith("peer_") else options.peers / script
    command = wrap([options.peer_python, str(path), *map(str, arguments)])
    done = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    if done.returncode != 0:
        print(f"  {script} did not run: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
        return None
    return json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}


def row(name, mine, peer=None, lower_is_better=False):
    if peer:
        ratio = peer / mine if lower_is_better else mine / peer
        print(f"{name:<60} {mine:>10.2f} {peer:>10.2f} {ratio:>7.2f} x", flush=True)
    else:
        print(f"{name:<60} {mine:>10.2f} {'-':>10}", flush=True)


OWN = ("float32", "bfloat16")   # storage of the frozen base; with bfloat16 the machine decides the arithmetic


def decode_rows(options):
    prompt = ["--prompt", 256]
    wanted = options.groups
    if not wanted & {"decode", "rollouts"}:
        return
    llama = theirs(options, "llamacpp_decode.py", "--shape", options.shape, "--type", "BF16", "--batch", 1, 32, *prompt)
    hf = [theirs(options, "generate.py", "--shape", options.shape, "--dtype", t, "--batch", 1, 32, *prompt)
          for t in ("bfloat16", "float32")]

    def best(batch, key):
        found = [peer["result"][f"b{batch}"][key] for peer in (llama, *hf) if peer and f"b{batch}" in peer["result"]]
        return max(found, default=None)

    if "decode" in wanted:
        llama_one = llama["result"]["b1"]["decode_tok_s"] if llama else None
        for storage in ("bfloat16", "int8"):
            row(f"decode, batch 1, {storage}, tok/s (llama.cpp bf16)", ours("decode", options.shape, storage)["decode_tok_s"],
                llama_one)
        for storage in OWN:
            row(f"prefill, {storage}, tok/s (best peer, batch 32)", ours("decode", options.shape, storage, 32)["prefill_tok_s"],
                best(32, "prefill_tok_s"))
    if "rollouts" in wanted:
        for storage in OWN:
            row(f"rollouts 4 x 8, {storage}, decode tok/s (best peer)", ours("rollouts", options.shape, storage)["decode_tok_s"],
                best(32, "decode_tok_s"))


def rank_rows(options):
    for dtype in OWN:
        mine = ours("rank", options.shape, dtype)["prompts_per_s"]
        for method in ("full", "prefix"):
            peer = theirs(options, "rank_candidates.py", "--shape", options.shape, "--dtype", dtype, "--method", method,
                          "--prompts", 8)
            row(f"ranking 20 titles, both {dtype}, prompts/s ({method})", mine, peer and peer["result"]["prompts_per_s"])


def grpo_rows(options):
    for dtype in OWN:
        mine = ours("grpo", options.shape, dtype)
        for impl in ("trl", "hand"):
            peer = theirs(options, "grpo_step.py", "--shape", options.shape, "--dtype", dtype, "--impl", impl)
            row(f"GRPO step, both {dtype}, s ({impl})", mine["step_s"], peer and peer["result"]["step_s"], True)
            row(f"GRPO step, both {dtype}, peak MB ({impl})", mine["peak_rss_mb"], peer and peer["peak_rss_mib"], True)


def dense_sft_rows(options):
    mine = ours("sft", options.shape, "float32")
    for tokens, name in ((0, "all labels"), (128, "a quarter labelled, head there only")):
        head = ["--head", "loss_only", "--loss-tokens", tokens] if tokens else []
        peer = theirs(options, "sft_lora.py", "--shape", options.shape, "--dtype", "float32", *head)
        row(f"LoRA SFT, tok/s (dense 8 x 512, {name})", mine["tokens_per_s"], peer and peer["result"]["tokens_per_s"])
        row("LoRA SFT, peak MB", mine["peak_rss_mb"], peer and peer["peak_rss_mib"], True)


def natural_rows(options):
    """The same 64 rows on both sides: the peer pads batches of 8 rows of like length."""
    for head in ("labelled", "all"):
        for dtype in OWN:
            mine = ours("sft", options.shape, dtype)
            peer = theirs(options, "peer_sft.py", "--shape", options.shape, "--dtype", dtype, "--head", head)
            name = f"LoRA SFT, natural rows, both {dtype}, {{}} (PEFT, logits: {head})"
            for key, unit in (("rows_per_s", "rows/s"), ("tokens_per_s", "tok/s"), ("peak_rss_mb", "peak MB")):
                row(name.format(unit), mine[key], peer and peer[key], key == "peak_rss_mb")


def timed_first_line(command):
    """Seconds from the start of the process to its first line, and that line; (None, error) when it fails."""
    begin = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE)
    line = process.stdout.readline()
    seconds = time.monotonic() - begin
    _, error = process.communicate()
    if process.returncode != 0 or not line:
        return None, error.strip().splitlines()[-1] if error.strip() else str(process.returncode)
    return seconds, json.loads(line)


def checkpoint(options, shape):
    """A random bfloat16 checkpoint in the scratch folder."""
    folder = options.scratch / shape
    if not (folder / "config.json").exists():
        partial = options.scratch / (shape + ".partial")
        ours("save", shape, "bfloat16", partial)
        partial.rename(folder)
    return folder


def load_rows(options):
    """In turns, the page cache warm: whole processes from exec to the first token, and the peer's without start-up."""
    folder = checkpoint(options, "S")
    for file in sorted(folder.glob("*.safetensors")):
        with open(file, "rb") as data:
            while data.read(1 << 24):
                pass
    for dtype in ("bfloat16", "float32"):
        mine, peer, inner = [], [], []
        for _ in range(3):
            seconds, line = timed_first_line([SPEED, "load", folder, dtype])
            if seconds is None:
                raise SystemExit(f"etrlrec_speed load failed: {line}")
            mine.append(seconds)
            seconds, line = timed_first_line([options.peer_python, HERE / "peer_load.py", folder, dtype])
            if seconds is None:
                print(f"  peer_load.py did not run: {line}")
                break
            peer.append(seconds)
            inner.append(line["first_token_s"])
        whole = statistics.median(mine)
        row(f"1 GB checkpoint to first token, {dtype}, s (process)", whole, peer and statistics.median(peer), True)
        row("  our process, the peer without its start-up", whole, inner and statistics.median(inner), True)


def bpe_rows(options):
    if not options.tokenizer:
        print("  bpe: no --tokenizer given, left out")
    text = options.text
    if options.tokenizer and text is None:
        text = options.scratch / "english.txt"
        if not text.exists() and theirs(options, "peer_bpe.py", "text", text) is None:
            return
    for source in options.tokenizer:
        folder = options.scratch / ("tokenizer-" + "-".join(source.absolute().parts[-2:]))
        if theirs(options, "peer_bpe.py", "folder", source.absolute(), folder) is None:
            continue
        out = [options.scratch / "ours.ids", options.scratch / "theirs.ids"]
        mine, peer = [], []
        for _ in range(3):
            mine.append(ours("bpe", folder, text.absolute(), out[0], wrap=one_core)["best_mb_per_s"])
            line = theirs(options, "peer_bpe.py", "encode", folder, text.absolute(), out[1], wrap=one_core)
            if line is None:
                break
            peer.append(line["best_mb_per_s"])
            if out[0].read_bytes() != out[1].read_bytes():
                raise SystemExit(f"bpe: {source}: the ids differ from those of tokenizers")
        row(f"BPE, one core, MB/s ({source.name}, best of 15)", max(mine), max(peer, default=None))


def reading_rows(options):
    """In turns, medians of three."""
    settings = (["--head", "labelled", "--group-by-length"], ["--head", "labelled"], ["--head", "all"])
    mine, peers = [], [[] for _ in settings]
    for _ in range(3):
        mine.append(ours("reading", "timeline", "float32")["tokens_per_s"])
        for found, setting in zip(peers, settings):
            line = theirs(options, "peer_reading.py", *setting)
            found.extend([line["tokens_per_s"]] if line else [])
    for found, setting in zip(peers, settings):
        row(f"reading time lines, tok/s (eager PyTorch {' '.join(setting)})", statistics.median(mine),
            statistics.median(found) if found else None)


def prompt_rows(options):
    for dtype in OWN:
        mine = ours("prompt", options.shape, dtype)
        for head in ("labelled", "all"):
            peer = theirs(options, "peer_prompt.py", "--shape", options.shape, "--dtype", dtype, "--head", head)
            name = f"prompt tuning, 20 rows, both {dtype}, {{}} (PEFT, logits: {head})"
            row(name.format("s a step"), mine["step_s"], peer and peer["step_s"], True)
            row(name.format("peak MB"), mine["peak_rss_mb"], peer and peer["peak_rss_mb"], True)


def memory_rows(options):
    for shape, rows, bar in (("S", 1, 1536), ("S", 2, 1536), ("3B", 1, 6144)):
        mine = ours("adapters", checkpoint(options, shape), "int8", rows, 400)
        row(f"LoRA on an int8 {shape}, {rows} x 400 tokens, peak MB (bar {bar})", mine["peak_rss_mb"])
        print("  " + json.dumps({key: value for key, value in mine.items() if key.endswith("mb") or key == "step_s"}))


def run_groups(options):
    print(f"{'shape ' + options.shape:<60} {'ours':>10} {'peer':>10}")
    decode_rows(options)
    for group, job in (("rank", rank_rows), ("grpo", grpo_rows), ("sft", dense_sft_rows), ("natural", natural_rows),
                       ("load", load_rows), ("bpe", bpe_rows), ("reading", reading_rows), ("prompt", prompt_rows),
                       ("memory", memory_rows)):
        if group in options.groups:
            job(options)


def run(options):
    options.groups = set(options.rows.split(","))
    if options.groups - set(GROUPS):
        sys.exit(f"--rows: expected some of {', '.join(GROUPS)}, found {options.rows}")
    options.peers = options.peers.absolute()
    if options.scratch:
        options.scratch = options.scratch.absolute()
        options.scratch.mkdir(parents=True, exist_ok=True)
        return run_groups(options)
    with tempfile.TemporaryDirectory() as name:
        options.scratch = Path(name)
        return run_groups(options)
