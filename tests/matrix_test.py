#!/usr/bin/env python3
"""Each artefact to each command that takes one: matrix_test.py PROGRAM [ARGUMENT].

Two small worlds are made, and with the first and the second one of everything: data set, recommenders, reasoning, language
models, candidates, predictions. Every artefact is then given to every argument of every command. TAKES says which are
right there; all others must be refused, with an exit code that says so (2 usage, 3 input, 4 does not fit), a message that
names what was given or what it is, and nothing written. A second ARGUMENT of the program limits it to one row of the table.
"""
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

PROGRAM = os.path.abspath(sys.argv[1])
ROOT = tempfile.mkdtemp(prefix="etrlrec_matrix_")
REFUSED = {2, 3, 4}


def run(*arguments, threads=1):
    command = [PROGRAM, *map(str, arguments), "-q", "-t", str(threads)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def make(*arguments):
    done = run(*arguments, threads=2)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")


def make_world(name, users, items, seed):
    """Everything that belongs to one log. `name` is the first letter of all its folders."""
    make("prepare", "--format", "synthetic", "--users", users, "--num-items", items, "--seed", seed, "-o", name + "-data")
    data = ["-d", name + "-data"]
    make("fit", *data, "-o", name + "-fit", "-m", "popularity,markov")
    make("fit", *data, "-o", name + "-early", "-m", "markov", "--train-share", ".5")
    make("construct", *data, "-o", name + "-reasoning", "--limit", 60, "--no-filter-answer", "--answer", "number")
    early = ["--recommender", name + "-early/markov"]
    make("construct", *data, "-o", name + "-pattern", "--limit", 60, "--no-filter-answer", "--answer", "number",
         "--knowledge", "pattern", *early)
    make("new-lm", *data, "-o", name + "-base", "--hidden-size", 32, "--num-hidden-layers", 2, "--num-attention-heads", 1,
         "--init", "random")
    make("distill", *data, "--reasoning", name + "-reasoning", "-m", name + "-base", "--max-steps", 1, "--batch-size", 2,
         "--lora-r", 2, "--eval-rows", 2, "-o", name + "-student")
    make("distill", *data, "--reasoning", name + "-pattern", *early, "-m", name + "-base", "--max-steps", 1, "--batch-size", 2,
         "--eval-rows", 2, "-o", name + "-knowing")
    make("candidates", *data, "-o", name + "-candidates.jsonl", "--num-candidates", 5, "--limit", 8)
    make("evaluate", *data, "-m", "random", "--limit", 8, "-o", name + "-predictions")
    make("embed", *data, "-m", "encoder", "-o", name + "-titles")


PARTS = {"data": "data", "recommender": "fit/markov", "early": "early/markov", "reasoning": "reasoning", "base": "base",
         "student": "student", "adapter": "student/adapter", "candidates": "candidates.jsonl", "predictions": "predictions",
         "titles": "titles"}
ARTEFACTS = {f"{world} {kind}": f"{world}-{path}" for world in "ab" for kind, path in PARTS.items()}
ARTEFACTS.update({"empty folder": "empty", "text file": "text.txt", "gguf file": "model.gguf", "encoder": "encoder", "damaged model": "damaged", "nothing": "not-there"})

MODELS = {"a base", "a student", "b base"}  # a model of new-lm, like any published one, belongs to no log
ANY_MODEL = MODELS | {"b student"}
RECOMMENDERS = {"a recommender", "a early"}
RUNS = ["--limit", 4]
A = ["-d", "a-data"]
ORDER = ["--tasks", "ta", "--num-virtual-tokens", 2]
STEP = ["--max-steps", 1, "--batch-size", 2, "--eval-rows", 2, "-o", "OUT"]
# Name of the argument -> the command with X in its place, the artefacts that are right there.
TAKES = {
    "inspect DATA": (["inspect", "X"], {"a data", "b data"}),
    "fit --data": (["fit", "-d", "X", "-m", "popularity", "-o", "OUT"], {"a data", "b data"}),
    "construct --data": (["construct", "-d", "X", "--limit", 4, "-o", "OUT"], {"a data", "b data"}),
    "construct --recommender": (["construct", *A, "--knowledge", "pattern", "--recommender", "X", "--limit", 4, "-o", "OUT"],
                                {"a early"}),
    "construct --teacher-model": (["construct", *A, "--teacher", "local", "--teacher-model", "X", "--limit", 2, "--draws", 1,
                                   "--hint-policy", "never", "--max-new-tokens", 2, "--style", "natural", "-o", "OUT"], ANY_MODEL),
    "construct --teacher-file": (["construct", *A, "--teacher", "file", "--teacher-file", "X", "--limit", 2, "-o", "OUT"], set()),
    "construct --student": (["construct", *A, "--teacher", "local", "--teacher-model", "a-base", "--student", "X", "--limit", 2,
                             "--draws", 1, "--hint-policy", "never", "--max-new-tokens", 2, "--style", "natural", "-o", "OUT"],
                            ANY_MODEL | {"encoder", "damaged model"}),   # only its tokenizer is read
    "new-lm --data": (["new-lm", "-d", "X", "--hidden-size", 32, "--num-attention-heads", 1, "--num-hidden-layers", 2,
                       "--init", "random", "-o", "OUT"], {"a data", "b data"}),
    "pretrain --data": (["pretrain", "-d", "X", "-m", "a-base", *STEP], {"a data", "b data"}),
    "pretrain --model": (["pretrain", *A, "-m", "X", *STEP], MODELS),
    "soft-prompt --data": (["soft-prompt", "-d", "X", "-m", "a-base", *ORDER, *STEP], {"a data", "b data"}),
    "soft-prompt --model": (["soft-prompt", *A, "-m", "X", *ORDER, *STEP], {"a base", "b base"}),
    "soft-prompt --recommender": (["soft-prompt", *A, "-m", "a-base", "--tasks", "rps", "--recommender", "X", *STEP], {"a early"}),
    "distill --init-prompt": (["distill", *A, "--reasoning", "a-reasoning", "-m", "a-base", "--init-prompt", "X", "--lora-r", 2,
                               *STEP], set()),
    "reinforce --init-prompt": (["reinforce", *A, "-m", "a-student", "--init-prompt", "X", "--lora-r", 2, "--group-size", 2, "--min-valid", 0,
                                 *STEP], set()),
    "candidates --data": (["candidates", "-d", "X", "--limit", 4, "-o", "OUT"], {"a data", "b data"}),
    "candidates --recommender": (["candidates", *A, "--kind", "hard", "--recommender", "X", *RUNS, "-o", "OUT"],
                                 RECOMMENDERS),
    "audit --data": (["audit", "-d", "X"], {"a data", "b data"}),
    "audit --reasoning": (["audit", *A, "--reasoning", "X"], {"a reasoning"}),
    "audit --recommender": (["audit", *A, "--reasoning", "a-pattern", "--recommender", "X"], {"a early"}),
    "evaluate --recommender": (["evaluate", *A, "-m", "a-knowing", "--recommender", "X", *RUNS, "-o", "OUT"], RECOMMENDERS),
    "evaluate --retrieve": (["evaluate", *A, "-m", "a-student", "--candidates", "all", "--retrieve", "X", "--top-n", 5, "--limit", 2,
                             "-o", "OUT"], RECOMMENDERS),
    "evaluate --data": (["evaluate", "-d", "X", "-m", "random", *RUNS, "-o", "OUT"], {"a data", "b data"}),
    "evaluate --model": (["evaluate", *A, "-m", "X", *RUNS, "-o", "OUT"], MODELS | RECOMMENDERS),
    "evaluate --candidates": (["evaluate", *A, "-m", "random", "--candidates", "X", *RUNS, "-o", "OUT"], {"a candidates"}),
    "compare": (["compare", "a-predictions", "X"], {"a predictions"}),
    "compare --data": (["compare", "a-predictions", "a-predictions", "-d", "X"], {"a data"}),
    "compare --candidates": (["compare", "a-predictions", "a-predictions", *A, "--candidates", "X"], set()),
    "embed --data": (["embed", "-d", "X", "-m", "encoder", "-o", "OUT"], {"a data", "b data"}),
    "embed --model": (["embed", *A, "-m", "X", "-o", "OUT"], {"encoder"}),
    "fit --embeddings": (["fit", *A, "-m", "content", "--embeddings", "X", "-o", "OUT"], {"a titles"}),
    "distill --data": (["distill", "-d", "X", "--reasoning", "a-reasoning", "-m", "a-base", *STEP], {"a data"}),
    "distill --reasoning": (["distill", *A, "--reasoning", "X", "-m", "a-base", *STEP], {"a reasoning"}),
    "distill --model": (["distill", *A, "--reasoning", "a-reasoning", "-m", "X", *STEP], MODELS),
    "distill --recommender": (["distill", *A, "--reasoning", "a-pattern", "-m", "a-base", "--recommender", "X", *STEP],
                              {"a early"}),
    "distill --knowledge list --recommender": (["distill", *A, "--label-only", "-m", "a-base", "--knowledge", "list",
                                                "--recommender", "X", *STEP], {"a early"}),
    "audit --model": (["audit", *A, "--model", "X", "--recommender", "a-early/markov"], set()),
    "reinforce --data": (["reinforce", "-d", "X", "--reasoning", "a-reasoning", "-m", "a-student", "--recommender",
                          "a-early/markov", "--group-size", 2, "--min-valid", 0, *STEP], {"a data"}),
    "reinforce --model": (["reinforce", *A, "--reasoning", "a-reasoning", "-m", "X", "--recommender", "a-early/markov",
                           "--group-size", 2, "--min-valid", 0, *STEP], {"a student"}),
    "reinforce --recommender": (["reinforce", *A, "--reasoning", "a-reasoning", "-m", "a-student", "--recommender", "X",
                                 "--group-size", 2, "--min-valid", 0, *STEP], {"a early"}),
    "reinforce --embeddings": (["reinforce", *A, "--reasoning", "a-reasoning", "-m", "a-student", "--recommender",
                                "a-early/markov", "--embeddings", "X", "--group-size", 2, "--min-valid", 0, *STEP], {"a titles"}),
    "reinforce --reasoning": (["reinforce", *A, "--reasoning", "X", "-m", "a-student", "--recommender", "a-early/markov",
                               "--group-size", 2, "--min-valid", 0, *STEP], {"a reasoning"}),
    "recommend --data": (["recommend", "-d", "X", "-m", "a-student", "--recommender", "a-fit/markov", "--user", "u7"],
                         {"a data"}),
    "recommend --model": (["recommend", *A, "-m", "X", "--recommender", "a-fit/markov", "--user", "u7"], MODELS),
    "recommend --recommender": (["recommend", *A, "-m", "a-student", "--recommender", "X", "--user", "u7"], RECOMMENDERS),
    "generate --model": (["generate", "-m", "X", "-p", "History", "-n", 2], ANY_MODEL),
    "generate --adapter": (["generate", "-m", "a-base", "--adapter", "X", "-p", "History", "-n", 2], {"a adapter"}),
    "score --model": (["score", "-m", "X", "--ids", "ids.json", "-o", "OUT"], ANY_MODEL),
    "export merge --model": (["export", "merge", "-m", "X", "--adapter", "a-student/adapter", "-o", "OUT"], {"a base"}),
    "export merge --adapter": (["export", "merge", "-m", "a-base", "--adapter", "X", "-o", "OUT"], {"a adapter"}),
    # A tokenizer of new-lm cuts texts in a way that GGUF has no name for; main() exports an imported model.
    "export gguf --model": (["export", "gguf", "-m", "X", "-o", "OUT"], set()),
    "import FILE": (["import", "X", "-o", "OUT"], {"gguf file"}),
}
# Right by chance or by design, beside TAKES: what a command cannot know (an adapter does not name the log it is of; the
# shapes of both worlds' models are the same), or takes with a warning.
ALSO_TAKES = {
    "generate --adapter": {"b adapter"},
    "export merge --adapter": {"b adapter"},
    "export merge --model": {"b base", "b student"},
}


def check(argument, artefact):
    """One line that says what is wrong, or nothing."""
    command, right = TAKES[argument]
    out = f"out-{argument}-{artefact}".replace(" ", "_")
    given = ARTEFACTS[artefact]
    done = run(*[{"X": given, "OUT": out}.get(word, word) for word in command])
    code, said = done.returncode, done.stderr.strip()
    where = f"{argument}, given {artefact}:"
    written = os.path.exists(os.path.join(ROOT, out))
    if artefact in right:
        return f"{where} expected to be taken, found exit code {code}: {said}" if code != 0 else None
    if artefact in ALSO_TAKES.get(argument, ()):
        return None if code in REFUSED | {0} else f"{where} exit code {code}: {said}"
    # audit judges reasoning of another log or recommender and finds every line wrong: its gate.
    if code not in (REFUSED | {8} if argument in ("audit --reasoning", "audit --recommender") else REFUSED):
        return f"{where} expected exit code 2, 3 or 4, found {code}: {said}"
    if "error" not in said.lower():
        return f"{where} refused without a message: {said}"
    return f"{where} refused, but something was written" if written else None


def main():
    begin = time.time()
    golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
    shutil.copytree(os.path.join(golden, "bert"), os.path.join(ROOT, "encoder"))
    shutil.copy(os.path.join(golden, "tokenizers", "bert", "tokenizer.json"), os.path.join(ROOT, "encoder"))
    make_world("a", 80, 120, 1)
    make_world("b", 90, 130, 2)
    os.mkdir(os.path.join(ROOT, "empty"))
    shutil.copytree(os.path.join(ROOT, "a-student"), os.path.join(ROOT, "damaged"))
    with open(os.path.join(ROOT, "damaged", "model.safetensors"), "r+b") as file:
        file.truncate(1000)
    make("import", os.path.join(golden, "gguf", "mixed.gguf"), "-o", "imported")
    make("export", "gguf", "-m", "imported", "-o", "model.gguf", "--type", "q8_0")
    for name, text in (("text.txt", "nothing of ours\n"), ("ids.json", "[[1, 2, 3]]")):
        with open(os.path.join(ROOT, name), "w", encoding="utf-8") as file:
            file.write(text)
    for command in (["evaluate", *A, "-m", "a-knowing", *RUNS], ["recommend", *A, "-m", "a-knowing", "--user", "u7"],
                    ["evaluate", *A, "-m", "a-student", "--recommender", "a-early/markov", *RUNS]):
        done = run(*command)
        if done.returncode != 2 or "hint: " not in done.stderr:
            sys.exit(f"{' '.join(map(str, command))}: expected exit code 2 and a hint, found {done.returncode}\n{done.stderr}")
    rows = [row for row in TAKES if len(sys.argv) < 3 or row.startswith(sys.argv[2])]
    cells = list(itertools.product(rows, ARTEFACTS))
    wrong = []
    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(lambda cell: check(*cell), cells):
            if line:
                wrong.append(line)
                print(line, flush=True)
    times = os.environ.get("ETRLREC_TEST_TIMES")
    if times:
        os.makedirs(os.path.dirname(times), exist_ok=True)
        with open(times, "w", encoding="utf-8") as file:
            file.write(f"{time.time() - begin:.2f}\tmatrix of {len(cells)} cells\n")
    print(f"{len(cells)} cells, {len(wrong)} wrong")
    shutil.rmtree(ROOT, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
