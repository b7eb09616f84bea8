#!/usr/bin/env python3
"""Every command as a user types it, on a very small world: cli_test.py PROGRAM.

What is checked is what only the program as a whole can show: exit codes, messages, files, --json, --config, and that
a training killed at any moment (SIGKILL) and started again leaves the files of an undisturbed one.
"""
import array
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
ROOT = tempfile.mkdtemp(prefix="etrlrec_cli_")
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def run(*arguments, code=0):
    """Runs the program in ROOT; returns stdout. Fails unless it ends with `code`."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: expected exit code {code}, found {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if code == 0 else done.stderr


def sha256(path):
    with open(os.path.join(ROOT, path), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def read_safetensors(path):
    """Values of the fp32 and int64 tensors of a file, flat."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            letter, width = ("q", 8) if entry["dtype"] == "I64" else ("f", 4)
            tensors[name] = struct.unpack(f"<{(end - begin) // width}{letter}", data[8 + size + begin:8 + size + end])
    return tensors


def write_safetensors(path, shapes):
    """Random fp32 tensors of these shapes."""
    numbers, header, data = random.Random(1), {}, []
    end = 0
    for name, shape in shapes.items():
        count = math.prod(shape)
        data.append(array.array("f", [numbers.random() - 0.5 for _ in range(count)]).tobytes())
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + 4 * count]}
        end += 4 * count
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))


SFT = ["distill", "-d", "data", "--reasoning", "reasoning", "-m", "base", "--sft-share", ".5", "--max-reasoning-tokens",
       "96", "--batch-size", "8", "--save-steps", "5", "--eval-rows", "10", "--eval-steps", "20", "-t", "1", "-q"]
RL = ["reinforce", "-d", "data", "--reasoning", "reasoning", "-m", "student", "--recommender", "early/sasrec",
      "--batch-size", "4", "--group-size", "4", "--save-steps", "3", "--eval-rows", "10", "--min-valid", "0",
      "--eval-steps", "10", "--beta", "0.05", "-t", "1", "-q"]

PROMPT = ["--adapter", "prompt", "--num-virtual-tokens", "6", "--lr", ".1"]
ADALORA = ["--adapter", "adalora", "--init-r", "4", "--target-r", "2", "--tinit", "2", "--tfinal", "2"]


def by_clock(command):
    """The training with checkpoints every fifth of a second instead of every few steps."""
    at = command.index("--save-steps")
    return command[:at] + command[at + 2:] + ["--save-seconds", ".2", "--seed", "43"]


def setUpModule():
    run("prepare", "--format", "synthetic", "--users", 300, "--num-items", 120, "-o", "data", "-q")
    run("fit", "-d", "data", "-o", "recommenders", "--num-train-epochs", 2, "--hidden-size", 16, "-q")
    run("fit", "-d", "data", "-o", "early", "-m", "sasrec", "--train-share", ".5", "--num-train-epochs", 2,
        "--hidden-size", 16, "-q")
    run("construct", "-d", "data", "-o", "reasoning", "--no-filter-answer", "--answer", "number", "-q")
    run("new-lm", "-d", "data", "-o", "base", "--hidden-size", 32, "--num-hidden-layers", 2, "--num-attention-heads", 1, "--init", "random",
        "-q")
    run(*SFT, "--max-steps", 30, "-o", "student")


def tearDownModule():
    shutil.rmtree(ROOT, ignore_errors=True)


class Killed(unittest.TestCase):
    @staticmethod
    def has_checkpoint(folder):
        return any(name.startswith("checkpoint-") for _, names, _ in os.walk(os.path.join(ROOT, folder)) for name in names)

    def check(self, command, plain, killed, model="", by_clock=False):
        """Kills `command` three times on its way to `killed`; then it ends as in `plain`. `model`: the model's folder in them."""
        begin = time.time()
        run(*command, "-o", plain)
        seconds = max(time.time() - begin, 1.0)
        # The first time as soon as there is a checkpoint, then at any moment, also before another one; the last attempt may
        # come to its end before.
        moments = [0.0] + [random.uniform(0.2, 0.7) * seconds for _ in range(2)]
        kills = continued = 0
        for moment in moments:
            process = subprocess.Popen([PROGRAM, *map(str, command), "-o", killed], cwd=ROOT,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            begin = time.time()
            while process.poll() is None and (time.time() < begin + moment or not self.has_checkpoint(killed)):
                time.sleep(0.002)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                continued += self.has_checkpoint(killed)
        self.assertGreater(kills, 0)
        self.assertGreater(continued, 0)
        run(*command, "-o", killed)
        # Which checkpoints are left beside the best and the last one is the clock's choice.
        names, others = (sorted(name for name in os.listdir(os.path.join(ROOT, folder, model))
                                if not (by_clock and name.startswith("checkpoint-"))) for folder in (plain, killed))
        self.assertEqual(names, others)
        compared = {"model.safetensors", "config.json", "tokenizer.json", "etrlrec.json", "inputs.json",
                    "metrics.json"} & set(names)
        self.assertIn("model.safetensors", compared)
        for name in compared:
            self.assertEqual(sha256(f"{plain}/{model}/{name}"), sha256(f"{killed}/{model}/{name}"), f"{name}, killed after {moments}")

    def test_distill(self):
        self.check(SFT + ["--max-steps", 60], "sft-plain", "sft-killed")

    def test_distill_with_ranks_found_and_noise(self):
        self.check(SFT + ADALORA + ["--max-steps", 60, "--lora-dropout", ".1", "--neftune-noise-alpha", "5"], "ada-plain", "ada-killed")
        for name in ["adapter_config.json", "adapter_model.safetensors"]:
            self.assertEqual(sha256(f"ada-plain/adapter/{name}"), sha256(f"ada-killed/adapter/{name}"))

    def test_distill_of_a_prompt_with_averaged_weights(self):
        self.check(SFT + PROMPT + ["--max-steps", 60, "--ema-decay", ".9"], "prompt-plain", "prompt-killed")
        for name in ["adapter_config.json", "adapter_model.safetensors"]:
            self.assertEqual(sha256(f"prompt-plain/adapter/{name}"), sha256(f"prompt-killed/adapter/{name}"))

    def test_reinforce(self):
        self.check(RL + ["--max-steps", 24], "rl-plain", "rl-killed")

    def test_distill_by_the_clock(self):
        self.check(by_clock(SFT) + ["--max-steps", 60], "clock-plain", "clock-killed", by_clock=True)

    def test_reinforce_by_the_clock(self):
        self.check(by_clock(RL) + ["--max-steps", 48], "rl-clock-plain", "rl-clock-killed", by_clock=True)

    def test_fit_by_the_clock(self):
        command = ["fit", "-d", "data", "-m", "sasrec", "--hidden-size", 32, "--num-train-epochs", 60, "--patience", 0,
                   "--save-seconds", ".1", "-t", 1, "-q"]
        self.check(command, "fit-clock-plain", "fit-clock-killed", model="sasrec", by_clock=True)


class Dtype(unittest.TestCase):
    def test_frozen_weights_need_an_adapter_to_be_trained(self):
        self.assertIn("--lora-r", run(*SFT, "--dtype", "int8", "--max-steps", 1, "-o", "no-adapter", code=2))
        run(*SFT, "--dtype", "int8", "--lora-r", 2, "--max-steps", 2, "-o", "int8-student", "-q")
        for dtype in ["float32", "bfloat16", "int8"]:
            run("evaluate", "-d", "data", "-m", "int8-student", "--dtype", dtype, "-o", f"int8-eval-{dtype}", "--limit", 5, "-q")

    def test_a_model_that_keeps_the_rounding_of_its_base_says_so(self):
        command = [PROGRAM, *SFT[:-1], "--dtype", "int8", "--lora-r", "2", "--max-steps", "1", "-o", "rounded"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
        self.assertIn("rounding of --dtype int8", said)
        with open(ROOT + "/rounded/etrlrec.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file)["merged_dtype"], "int8")
        run("export", "merge", "-m", "base", "--adapter", "rounded/adapter", "-o", "exact", "-q")
        name = "model.layers.0.mlp.up_proj.weight"
        base, rounded, exact = (read_safetensors(f"{ROOT}/{folder}/model.safetensors")[name]
                                for folder in ["base", "rounded", "exact"])
        step = max(map(abs, base)) / 127
        self.assertGreater(max(abs(a - b) for a, b in zip(rounded, exact)), step / 10)
        self.assertLess(max(abs(a - b) for a, b in zip(rounded, exact)), step)


class Adapters(unittest.TestCase):
    def logits(self, *more):
        with open(os.path.join(ROOT, "adapter-ids.json"), "w") as file:
            json.dump([[5, 9, 3, 11, 2, 8]], file)
        run("score", "--ids", "adapter-ids.json", "--logits", "-o", "adapter-scores.safetensors", "-q", *more)
        return read_safetensors(os.path.join(ROOT, "adapter-scores.safetensors"))["logits.0"]

    def assert_close(self, first, second):
        self.assertLess(max(abs(a - b) for a, b in zip(first, second)), 1e-4)

    def test_a_trained_adapter_leaves_in_both_forms(self):
        run(*RL, *ADALORA, "--max-steps", 9, "--optim", "lion", "--lr", ".01", "-o", "ada")
        with open(os.path.join(ROOT, "ada/adapter/adapter_config.json")) as file:
            config = json.load(file)
        self.assertEqual((config["peft_type"], config["init_r"], config["total_step"]), ("ADALORA", 4, 9))
        kept = [sum(pattern) for pattern in config["rank_pattern"].values()]
        self.assertEqual(sum(kept), 2 * len(kept))
        trained = self.logits("-m", "ada")
        self.assertGreater(max(abs(a - b) for a, b in zip(trained, self.logits("-m", "student"))), 1e-4)
        self.assert_close(trained, self.logits("-m", "student", "--adapter", "ada/adapter"))
        report = json.loads(run("export", "merge", "-m", "student", "--adapter", "ada/adapter", "-o", "ada-merged", "--json"))
        self.assertLess(report["logit_difference"], 1e-3)
        self.assert_close(trained, self.logits("-m", "ada-merged"))
        run("export", "peft", "-m", "ada", "-o", "ada-peft", "-q")
        self.assertEqual(sha256("ada/adapter/adapter_model.safetensors"), sha256("ada-peft/adapter_model.safetensors"))
        self.assertIn("already", run("export", "merge", "-m", "ada", "-o", "twice", code=2))
        self.assertIn("--adapter", run("export", "peft", "-m", "base", "-o", "none", code=3))

    def test_a_trained_prompt_is_used_everywhere(self):
        run(*SFT, *PROMPT, "--prompt-tuning-init", "text", "--prompt-tuning-init-text", "History; Now; Candidates;",
            "--dtype", "int8", "--max-steps", 30, "-o", "prompted")
        for name in ["model.safetensors", "config.json"]:
            self.assertEqual(sha256(f"base/{name}"), sha256(f"prompted/{name}"))
        with open(ROOT + "/prompted/adapter/adapter_config.json", encoding="utf-8") as file:
            config = json.load(file)
        self.assertEqual((config["peft_type"], config["num_virtual_tokens"]), ("PROMPT_TUNING", 6))
        # The folder itself, and the base with its adapter, are the same model.
        plain, prompted = self.logits("-m", "base"), self.logits("-m", "prompted")
        self.assertEqual(prompted, self.logits("-m", "base", "--adapter", "prompted/adapter"))
        self.assertGreater(max(abs(a - b) for a, b in zip(plain, prompted)), 1e-3)
        greedy = ["-p", "History; start", "-n", 16, "--temperature", 0, "--repetition-penalty", 1.3, "--json", "-q"]
        written = [json.loads(run("generate", *model, *greedy))["completions"][0]
                   for model in (["-m", "prompted"], ["-m", "base", "--adapter", "prompted/adapter"], ["-m", "base"])]
        self.assertEqual(written[0], written[1])
        self.assertNotEqual(written[0]["logprobs"], written[2]["logprobs"])
        run("evaluate", "-d", "data", "-m", "base", "--adapter", "prompted/adapter", "--limit", 9, "-q")
        self.assertIn("--adapter", run("evaluate", "-d", "data", "-m", "random", "--adapter", "prompted/adapter", code=2))
        for command in [["generate", "-m", "prompted", "-p", "History", "--num-beams", 3, "-n", 5],
                        ["evaluate", "-d", "data", "-m", "prompted", "--limit", 9],
                        ["evaluate", "-d", "data", "-m", "prompted", "--limit", 9, "--protocol", "title-mean"],
                        ["recommend", "-d", "data", "-m", "prompted", "--user", "u7", "--recommender", "recommenders/sasrec"]]:
            run(*command, "-q")
        run("export", "peft", "-m", "prompted", "-o", "prompt-peft", "-q")
        self.assertEqual(sha256("prompted/adapter/adapter_model.safetensors"), sha256("prompt-peft/adapter_model.safetensors"))
        self.assertIn("export peft", run("export", "merge", "-m", "base", "--adapter", "prompted/adapter", "-o", "no", code=2))
        self.assertIn("export peft", run("export", "merge", "-m", "prompted", "--adapter", "prompted/adapter", "-o", "no", code=2))

    def test_a_prompt_is_trained_further_alone_or_stays_beside_an_adapter(self):
        run(*SFT, *PROMPT, "--max-steps", 10, "-o", "first-prompt")
        command = [word if word != "student" else "first-prompt" for word in RL]
        self.assertIn("--adapter", run(*command, "--max-steps", 2, "-o", "never", code=2))
        run(*command, "--lora-r", 2, "--max-steps", 2, "-o", "beside-prompt")
        prompts = [sha256(folder + "/adapter/adapter_model.safetensors") for folder in ("first-prompt", "beside-prompt")]
        self.assertEqual(*prompts)
        self.assertNotEqual(sha256("base/model.safetensors"), sha256("beside-prompt/model.safetensors"))
        self.assertTrue(os.path.exists(os.path.join(ROOT, "beside-prompt/lora/adapter_model.safetensors")))
        run(*command, "--adapter", "prompt", "--lr", ".05", "--max-steps", 4, "-o", "second-prompt")
        self.assertEqual(sha256("base/model.safetensors"), sha256("second-prompt/model.safetensors"))
        self.assertNotEqual(sha256("first-prompt/adapter/adapter_model.safetensors"),
                            sha256("second-prompt/adapter/adapter_model.safetensors"))
        estimate = ["distill", "-d", "data", "--reasoning", "reasoning", "-m", "base", "--max-steps", 3, "--dry-run", "--json", "-q"]
        memory = json.loads(run(*estimate, *PROMPT, "-o", "dry"))["memory"]
        self.assertEqual((memory["adapter"], memory["optimiser"]), (6 * 32 * 4, 6 * 32 * 8))

    def test_options_of_another_kind_are_refused(self):
        self.assertIn("--adapter prompt", run(*SFT, "--num-virtual-tokens", 2, "-o", "never", code=2))
        self.assertIn("--adapter lora", run(*SFT, *PROMPT, "--lora-r", 2, "-o", "never", code=2))
        self.assertIn("--num-virtual-tokens", run(*SFT, "--adapter", "prompt", "-o", "never", code=2))
        self.assertIn("--prompt-weight", run(*SFT, *PROMPT, "--prompt-weight", ".1", "-o", "never", code=2))
        self.assertIn("--adapter adalora", run(*SFT, "--target-r", 2, "-o", "never", code=2))
        self.assertIn("no step", run(*SFT, *ADALORA, "--max-steps", 3, "-o", "never", code=2))


class Memory(unittest.TestCase):
    def peak(self, model, out):
        run("distill", "-d", "data", "--reasoning", "reasoning", "-m", model, *self.OPTIONS, "-o", out)
        with open(f"{ROOT}/{out}/run.json", encoding="utf-8") as file:
            return json.load(file)["peak_rss_mb"] * 2**20

    def estimate(self, model):
        told = json.loads(run("distill", "-d", "data", "--reasoning", "reasoning", "-m", model, *self.OPTIONS, "--dry-run",
                              "--json", "-o", "never"))
        return sum(told["memory"].values())

    OPTIONS = ["--max-steps", 2, "--batch-size", 8, "--eval-rows", 0, "-t", 1, "-q"]

    def test_the_estimate_is_near_the_measured_peak(self):
        """A wide model against a narrow one: what the program itself takes is in both. The estimate may be off by a third."""
        run("new-lm", "-d", "data", "-o", "wide", "--hidden-size", 512, "--num-hidden-layers", 4, "--num-attention-heads", 8,
            "--init", "random", "-q")
        measured = self.peak("wide", "wide-student") - self.peak("base", "narrow-student")
        estimated = self.estimate("wide") - self.estimate("base")
        self.assertGreater(estimated, 150 * 2**20)
        self.assertLess(abs(measured - estimated), estimated / 3, f"estimated {estimated >> 20} MB, measured {measured / 2**20:.0f} MB")


class Reproduce(unittest.TestCase):
    """docs/reproduce.md asks for nothing that the program does not know."""

    def test_commands_recipes_and_options_exist(self):
        home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        with open(os.path.join(home, "docs", "reproduce.md"), encoding="utf-8") as file:
            blocks = re.findall(r"^```sh\n(.*?)^```$", file.read(), re.M | re.S)
        recipes, helps, seen = run("run", "--list"), {}, 0
        for command in "\n".join(blocks).replace("\\\n", " ").splitlines():
            called = re.search(r"(?:build/etrlrec|\./run) ([a-z-]+)(.*)", command)
            if not called or called[1] in ("ablations", "bench"):
                continue
            name, words = called[1], called[2].split()
            if name == "run" and "$" not in words[0]:
                self.assertIn(words[0], recipes.split(), command)
            help_text = helps.setdefault(name, run(name, "--help"))
            for word in words:
                if word.startswith("-"):
                    self.assertRegex(help_text, r"(^|[\s,])" + re.escape(word) + r"[\s,]", command)
                    seen += 1
        self.assertGreater(seen, 40)


class Distill(unittest.TestCase):
    def test_times_belong_to_the_reasoning_or_to_the_label(self):
        message = run(*SFT, "--no-times", "--max-steps", 1, "-o", "no-times", code=2)
        self.assertIn("--attributes, --style, --knowledge: only without --reasoning", message)
        run("distill", "-d", "data", "--label-only", "-m", "base", "--no-times", "--no-attributes", "--limit", 20, "--eval-rows", 0, "--max-steps", 1, "-q",
            "-o", "no-times")
        with open(ROOT + "/no-times/etrlrec.json", encoding="utf-8") as card:
            card = json.load(card)
        self.assertIs(card["with_times"], False)
        self.assertIs(card["with_attributes"], False)


class Pretrain(unittest.TestCase):
    def test_refuses_an_adapter_that_it_cannot_train(self):
        message = run("pretrain", "-d", "data", "-m", "base", "--adapter", "prompt", "-o", "never", code=2)
        self.assertIn("--adapter prompt", message)
        self.assertFalse(os.path.exists(os.path.join(ROOT, "never")))


class Reinforce(unittest.TestCase):
    def test_refuses_a_recommender_that_knows_the_targets(self):
        command = [word if word != "early/sasrec" else "recommenders/sasrec" for word in RL]
        message = run(*command, "--max-steps", 1, "-o", "never", code=3)
        self.assertIn("--train-share", message)
        self.assertFalse(os.path.exists(os.path.join(ROOT, "never")))


class Judging(unittest.TestCase):
    def evaluate(self, out, *more, limit=60):
        return json.loads(run("evaluate", "-d", "data", "--limit", limit, "-o", out, "--json", "--replace", *more))

    def assert_paired(self, compared):
        """The pairs of a comparison are the differences of its rows, inside their intervals, with adjusted p-values."""
        rows = {row["model"]: row for row in compared["rows"]}
        (pair,) = compared["pairs"]
        first, second = (rows[pair[side].split(" / ")[0]] for side in ["first", "second"])
        self.assertNotEqual(first["model"], second["model"])
        self.assertEqual(pair["n"], 60)
        for metric in ["hit@1", "ndcg@10"]:
            test = pair[metric]
            self.assertAlmostEqual(test["difference"], first[metric] - second[metric], places=9)
            self.assertLessEqual(test["low"], test["difference"])
            self.assertLessEqual(test["difference"], test["high"])
            self.assertTrue(0 <= test["p"] <= 1)
        self.assertGreaterEqual(pair["hit@1_p_holm"], pair["hit@1"]["p"])

    def test_rows_of_every_kind_and_their_comparison(self):
        for name, model in [("of-student", "student"), ("of-markov", "recommenders/markov"), ("of-bayes", "bayes"),
                            ("of-teacher", "teacher")]:
            row = self.evaluate(name, "-m", model)
            self.assertEqual(row["n"], 60)
            self.assertLessEqual(row["hit@1_low"], row["hit@1"])
            self.assertLessEqual(row["hit@1"], row["hit@1_high"])
        table = run("compare", "of-bayes", "of-student", "of-markov")
        for name in ["bayes", "student", "markov", "hit@1", "McNemar"]:
            self.assertIn(name, table)
        self.assert_paired(json.loads(run("compare", "of-bayes", "of-markov", "--json")))

    def test_protocols_and_ablations(self):
        for protocol in ["first-answer", "elimination"]:
            row = self.evaluate("p-" + protocol, "-m", "student", "--protocol", protocol, limit=10)
            self.assertTrue(row["protocol"].startswith(protocol))
        curve = [self.evaluate(f"t-{share}", "-m", "student", "--protocol", "truncated-reasoning", "--reasoning-share", share, limit=10)
                 for share in [0, .5, 1]]
        self.assertTrue(curve[1]["protocol"].startswith("truncated-reasoning(0.5)["))
        self.assertAlmostEqual(curve[2]["reasoning_change"]["total_variation"], 0, places=4)
        self.assertGreater(curve[0]["reasoning_change"]["total_variation"], 0)
        flipped = self.evaluate("f", "-m", "student", "--protocol", "flipped-claims", limit=20)["reasoning_change"]
        self.assertEqual(flipped["rows"], 20)
        if "claims" not in flipped:  # a student of a few steps may say nothing that is true
            self.assertEqual(flipped["total_variation"], 0)
        else:
            self.assertLessEqual(flipped["flipped"], flipped["claims"])
        facts = self.evaluate("ff", "-m", "student", "--protocol", "flipped-facts", limit=20)["reasoning_change"]
        self.assertEqual(facts["rows_without_decision"] + facts["rows_without_flip"] + facts.get("flipped_rows", 0), 20)
        self.assertLessEqual(facts["decision_changed"], facts.get("flipped_rows", 0) / 20)
        for share in (.25, .5):
            run("evaluate", "-d", "data", "-m", "student", "--reasoning-share", share, code=2)
        self.evaluate("a-none", "-m", "student")
        for ablation in ["shuffle-history", "reverse-history", "permute-gaps", "inflate-gaps", "shift-season", "remove-times"]:
            self.evaluate("a-" + ablation, "-m", "student", "--ablate", ablation)
            self.assertNotEqual(sha256("a-none/predictions.jsonl"), sha256(f"a-{ablation}/predictions.jsonl"))

    def test_a_bar_that_is_missed_is_exit_code_8(self):
        run("evaluate", "-d", "data", "-m", "random", "--limit", 60, "--fail-under", ".99", code=8)


class Candidates(unittest.TestCase):
    def test_hard_ones_come_from_a_recommender_and_can_be_judged_on(self):
        run("candidates", "-d", "data", "--kind", "hard", "--recommender", "recommenders/sasrec", "-o", "hard.jsonl",
            "--limit", 50)
        easy = json.loads(run("evaluate", "-d", "data", "-m", "recommenders/sasrec", "--limit", 50, "--json"))
        hard = json.loads(run("evaluate", "-d", "data", "-m", "recommenders/sasrec", "--candidates", "hard.jsonl", "--json"))
        self.assertEqual(hard["n"], 50)
        self.assertLess(hard["mrr"], easy["mrr"])
        self.assertIn("hard20", hard["protocol"])
        run("candidates", "-d", "data", "--kind", "hard", "-o", "x.jsonl", code=2)
        run("candidates", "-d", "data", "-o", "hard.jsonl", code=2)

    def test_u_and_its_literal_form_can_be_judged_on(self):
        for kind, count in [("trained", 25), ("catalogue", 15)]:
            run("candidates", "-d", "data", "--kind", kind, "--num-candidates", count, "-o", f"{kind}.jsonl", "--limit", 30)
            row = json.loads(run("evaluate", "-d", "data", "-m", "random", "--candidates", f"{kind}.jsonl", "--json"))
            self.assertIn(f"{kind}{count}", row["protocol"])

    def test_first_items_of_a_recommender_are_ranked_again(self):
        row = json.loads(run("evaluate", "-d", "data", "-m", "student", "--candidates", "all", "--retrieve", "recommenders/markov",
                             "--top-n", 10, "--limit", 40, "--json"))
        self.assertTrue(row["protocol"].startswith("top10+likelihood[all"))
        self.assertEqual(row["first_stage"]["top_n"], 10)
        self.assertGreaterEqual(row["first_stage"]["recall"], row["hit@10"] - 1e-9)
        self.assertGreater(row["first_stage"]["recall"], 0)
        run("evaluate", "-d", "data", "-m", "student", "--retrieve", "recommenders/markov", code=2)
        run("evaluate", "-d", "data", "-m", "recommenders/markov", "--candidates", "all", "--retrieve", "recommenders/markov", code=2)

    def test_several_orders_are_averaged(self):
        row = json.loads(run("evaluate", "-d", "data", "-m", "student", "--permutations", 2, "--limit", 10, "--json"))
        self.assertEqual(row["n"], 10)
        run("evaluate", "-d", "data", "-m", "recommenders/markov", "--permutations", 2, "--limit", 10, code=2)

    def test_cold_ones_belong_to_rows_whose_target_nobody_chose_before(self):
        error = run("candidates", "-d", "data", "--kind", "cold", "--part", "train", "-o", "cold.jsonl", code=3)
        self.assertIn("every target of the train rows has an interaction in the training part", error)


class Scoring(unittest.TestCase):
    def test_log_probabilities_are_those_of_the_logits(self):
        with open(ROOT + "/rows.json", "w", encoding="utf-8") as file:
            json.dump([[1, 5, 9, 3], [7]], file)
        run("score", "-m", "student", "--ids", "rows.json", "--logits", "-o", "scored.safetensors")
        tensors = read_safetensors(ROOT + "/scored.safetensors")
        logits, width = tensors["logits.0"], len(tensors["logits.0"]) // 4
        for position, token in enumerate([5, 9, 3]):
            row = logits[position * width:(position + 1) * width]
            expected = row[token] - math.log(sum(math.exp(x) for x in row))
            self.assertAlmostEqual(tensors["logprobs.0"][position], expected, places=4)
        self.assertEqual(len(tensors["logprobs.1"]), 0)
        with open(ROOT + "/bad.json", "w", encoding="utf-8") as file:
            file.write('[[1, "x"]]')
        self.assertIn("row 0", run("score", "-m", "student", "--ids", "bad.json", "-o", "bad.safetensors", code=3))
        self.assertFalse(os.path.exists(ROOT + "/bad.safetensors"))

    def test_the_reference_arithmetic_gives_the_same_numbers_and_is_recorded(self):
        with open(os.path.join(ROOT, "plain-rows.json"), "w") as file:
            json.dump([[5, 9, 2, 7, 1], [3, 4]], file)
        scores = []
        for name in ("auto", "reference"):
            run("score", "-m", "student", "--ids", "plain-rows.json", "-o", f"{name}.safetensors", "--arithmetic", name, "-q")
            scores.append(read_safetensors(os.path.join(ROOT, f"{name}.safetensors")))
        for row in ("logprobs.0", "logprobs.1"):
            for fast, plain in zip(scores[0][row], scores[1][row]):
                self.assertAlmostEqual(fast, plain, places=3)
        run("evaluate", "-d", "data", "-m", "student", "--limit", 2, "--protocol", "first-answer", "-o", "plain-eval", "--arithmetic",
            "reference", "-q")
        with open(os.path.join(ROOT, "plain-eval", "run.json")) as file:
            self.assertEqual(json.load(file)["arithmetic"], "reference")
        self.assertIn("float16", run("score", "-m", "student", "--ids", "plain-rows.json", "-o", "x", "--arithmetic", "float16", code=2))

    def test_encoder_decoder_models_take_the_decoder_input_apart(self):
        folder = GOLDEN + "/t5/t5-flan"
        golden = read_safetensors(folder + "/golden.safetensors")
        rows = {"enc.json": ("input_ids", 30, 17), "dec.json": ("decoder_input_ids", 12, 8)}  # row 1 without padding
        for path, (name, width, length) in rows.items():
            with open(os.path.join(ROOT, path), "w", encoding="utf-8") as file:
                json.dump([golden[name][width:width + length]], file)
        score = ["score", "-m", folder, "--ids", "enc.json"]
        run(*score, "--decoder-ids", "dec.json", "--logits", "-o", "t5.safetensors")
        found = read_safetensors(ROOT + "/t5.safetensors")
        self.assertEqual(len(found["logprobs.0"]), 7)
        vocabulary = len(golden["logits"]) // len(golden["labels"])
        expected = golden["logits"][12 * vocabulary:20 * vocabulary]
        self.assertEqual(len(found["logits.0"]), len(expected))
        self.assertLess(max(abs(a - b) for a, b in zip(found["logits.0"], expected)), 2e-4)
        self.assertIn("--decoder-ids", run(*score, "-o", "none.safetensors", code=2))
        with open(ROOT + "/two.json", "w", encoding="utf-8") as file:
            json.dump([[0, 5], [0]], file)
        self.assertIn("1 rows", run(*score, "--decoder-ids", "two.json", "-o", "none.safetensors", code=3))
        self.assertIn("--decoder-ids", run("score", "-m", "student", "--ids", "enc.json", "--decoder-ids", "dec.json", "-o",
                                           "none.safetensors", code=2))


class Generation(unittest.TestCase):
    PROMPT = ["generate", "-m", "student", "-p", "History; start", "-q"]

    def completions(self, *options):
        return json.loads(run(*self.PROMPT, "--json", *options))["completions"]

    def test_text_is_cut_at_a_stop_string_and_streams_alike(self):
        plain = self.completions("-n", 40, "--temperature", 0)[0]
        self.assertEqual(len(plain["ids"]), len(plain["logprobs"]))
        stop = plain["text"][7:10]
        options = ["-n", 40, "--temperature", 0, "--stop", stop, "--stop", "not in the text"]
        cut = self.completions(*options)[0]
        self.assertEqual(cut["text"], plain["text"][:plain["text"].index(stop)])
        self.assertEqual(cut["finish_reason"], "stop")
        self.assertEqual(cut["ids"], plain["ids"][:len(cut["ids"])])
        self.assertEqual(run(*self.PROMPT, *options), cut["text"] + "\n")
        self.assertEqual(self.completions("-n", 3)[0]["finish_reason"], "length")

    def test_several_completions_and_beams(self):
        three = self.completions("-n", 12, "--num-return-sequences", 3, "--temperature", 1.5)
        self.assertEqual(len({text["text"] for text in three}), 3)
        self.assertEqual(three[0], self.completions("-n", 12, "--temperature", 1.5)[0])
        beams = self.completions("-n", 12, "--num-beams", 4, "--num-return-sequences", 4)
        scores = [text["logprob"] / len(text["ids"]) for text in beams]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(len({tuple(text["ids"]) for text in beams}), 4)
        with open(ROOT + "/choices.txt", "w") as file:
            file.write(" one\n one two\n three\n")
        chosen = self.completions("--num-beams", 5, "--num-return-sequences", 5, "--choices", "choices.txt")
        self.assertEqual(sorted(text["text"] for text in chosen), [" one", " one two", " three"])
        self.assertEqual({text["finish_reason"] for text in chosen}, {"stop"})
        with open(ROOT + "/empty.txt", "w") as file:
            file.write(" one\n\n")
        self.assertIn("empty.txt:2", run(*self.PROMPT, "--num-beams", 2, "--choices", "empty.txt", code=3))
        for wrong in [["--num-beams", 2, "--temperature", ".5"], ["--num-beams", 2, "--num-return-sequences", 3],
                      ["--choices", "choices.txt"],
                      ["--length-penalty", 2], ["--stop", ""], ["--system", "x"], ["--top-p", 2]]:
            run(*self.PROMPT, *wrong, code=2)

    def test_chat(self):
        message = run(*self.PROMPT, "--chat", code=4)
        self.assertIn("--chat-template", message)
        self.assertIn("chatml", message)
        self.assertIn("llama3", run(*self.PROMPT, "--chat", "--chat-template", "lama3", code=2))
        run(*self.PROMPT, "--chat", "--chat-template", "plain", "--system", "S", "-n", 5)
        talk = subprocess.run([PROGRAM, "generate", "-m", "student", "-q", "--json", "--chat", "--chat-template", "plain",
                               "-n", "5"], cwd=ROOT, capture_output=True, text=True, input="one\ntwo\n", check=True)
        self.assertEqual([json.loads(line)["prompt"] for line in talk.stdout.splitlines()], ["one", "two"])

    def test_a_conversation_computes_only_what_is_new(self):
        lines = [f"{k}: a film for a rainy evening in spring, and then another one" for k in range(3)]

        def talk(*options):
            done = subprocess.run([PROGRAM, "generate", "-m", "student", "-q", "--json", "--chat", "--chat-template", "plain",
                                   "-n", "9", *options], cwd=ROOT, capture_output=True, text=True, input="\n".join(lines),
                                  check=True)
            return [json.loads(line) for line in done.stdout.splitlines()]

        for options in [[], ["--num-beams", "3"]]:
            kept, fresh = talk(*options), talk("--prefix-cache-mb", "0", *options)
            self.assertEqual([turn["reused_tokens"] for turn in fresh], [0, 0, 0])
            self.assertEqual(kept[0]["reused_tokens"], 0)
            for before, after in zip(kept, kept[1:]):
                self.assertGreater(after["reused_tokens"], before["prompt_tokens"] - 16)
                self.assertLess(after["reused_tokens"], after["prompt_tokens"])
            for a, b in zip(kept, fresh):
                self.assertEqual([text["ids"] for text in a["completions"]], [text["ids"] for text in b["completions"]])
                self.assertAlmostEqual(a["completions"][0]["logprob"], b["completions"][0]["logprob"], places=3)
        self.assertIn("--chat", run(*self.PROMPT, "--prefix-cache-mb", 9, code=2))
        estimate = run("generate", "-m", "student", "--chat", "--chat-template", "plain", "--dry-run")
        self.assertRegex(estimate, r"prefix cache +256.0 MiB")

    def test_titles_as_answers(self):
        for protocol in ["title-sum", "title-mean"]:
            out = json.loads(run("evaluate", "-d", "data", "-m", "base", "--protocol", protocol, "--limit", 20, "--json", "-q"))
            self.assertIn(protocol, out["protocol"])


class BothFamilies(unittest.TestCase):
    """Every command that takes a model takes an encoder-decoder, too: a small T5 with the tokenizer of `base`."""
    SFT = [word if word != "base" else "t5-base" for word in SFT]

    @classmethod
    def setUpClass(cls):
        folder = ROOT + "/t5-base"
        os.mkdir(folder)
        for name in ["tokenizer.json", "tokenizer_config.json"]:
            shutil.copy(f"{ROOT}/base/{name}", folder)
        with open(ROOT + "/base/config.json", encoding="utf-8") as file:
            base = json.load(file)
        vocabulary, width, heads, inner = base["vocab_size"], 32, 2, 64
        config = {"model_type": "t5", "vocab_size": vocabulary, "d_model": width, "d_kv": 16, "d_ff": inner, "num_layers": 2,
                  "num_decoder_layers": 2, "num_heads": heads, "relative_attention_num_buckets": 8,
                  "relative_attention_max_distance": 64, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0,
                  "pad_token_id": 0, "eos_token_id": base["eos_token_id"]}
        with open(folder + "/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        shapes = {"shared.weight": [vocabulary, width]}
        for stack in ["encoder", "decoder"]:
            shapes[stack + ".final_layer_norm.weight"] = [width]
            attentions = ["SelfAttention"] + (["EncDecAttention"] if stack == "decoder" else [])
            for block in range(2):
                for layer, attention in enumerate(attentions):
                    at = f"{stack}.block.{block}.layer.{layer}."
                    shapes[at + "layer_norm.weight"] = [width]
                    for name in "qkv":
                        shapes[at + f"{attention}.{name}.weight"] = [heads * 16, width]
                    shapes[at + attention + ".o.weight"] = [width, heads * 16]
                    if block == 0 and layer == 0:
                        shapes[at + attention + ".relative_attention_bias.weight"] = [8, heads]
                at = f"{stack}.block.{block}.layer.{len(attentions)}."
                shapes[at + "layer_norm.weight"] = [width]
                for name, shape in [("wi_0", [inner, width]), ("wi_1", [inner, width]), ("wo", [width, inner])]:
                    shapes[at + f"DenseReluDense.{name}.weight"] = shape
        write_safetensors(folder + "/model.safetensors", shapes)
        run(*cls.SFT, "--max-steps", 12, "--logging-steps", 4, "-o", "t5-student")

    def losses(self, folder):
        with open(f"{ROOT}/{folder}/metrics.jsonl", encoding="utf-8") as file:
            return [row["train/loss"] for row in map(json.loads, file) if "train/loss" in row]

    def test_distills_evaluates_and_recommends(self):
        losses = self.losses("t5-student")
        self.assertLess(losses[-1], losses[0])
        for protocol in ["likelihood", "first-answer", "elimination", "title-sum"]:
            row = json.loads(run("evaluate", "-d", "data", "-m", "t5-student", "--limit", 6, "--protocol", protocol, "--json", "-q"))
            self.assertEqual(row["n"], 6)
        out = run("recommend", "-d", "data", "-m", "t5-student", "--user", "u7", "--recommender", "recommenders/sasrec", "-k", 3, "-q")
        self.assertEqual(len(json.loads(run("recommend", "-d", "data", "-m", "t5-student", "--user", "u7", "--recommender",
                                            "recommenders/sasrec", "-k", 3, "--json", "-q"))["items"]), 3, out)

    def test_reinforces(self):
        command = [word if word != "student" else "t5-student" for word in RL]
        run(*command, "--lora-r", 2, "--max-steps", 2, "-o", "t5-policy")
        run("evaluate", "-d", "data", "-m", "t5-policy", "--limit", 4, "-q")

    def test_adapters_merge_and_travel(self):
        run(*self.SFT, "--lora-r", 2, "--max-steps", 4, "-o", "t5-lora")
        with open(ROOT + "/t5-lora/adapter/adapter_config.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file)["task_type"], "SEQ_2_SEQ_LM")
        run("export", "merge", "-m", "t5-base", "--adapter", "t5-lora/adapter", "-o", "t5-merged", "-q")
        self.assertEqual(sha256("t5-merged/model.safetensors"), sha256("t5-lora/model.safetensors"))
        run("export", "peft", "-m", "t5-lora", "-o", "t5-peft", "-q")
        self.assertEqual(sha256("t5-peft/adapter_model.safetensors"), sha256("t5-lora/adapter/adapter_model.safetensors"))

    def scored(self, *model):
        for name, row in [("t5-source.json", [5, 9, 3]), ("t5-text.json", [0, 7, 4])]:
            with open(os.path.join(ROOT, name), "w", encoding="utf-8") as file:
                json.dump([row], file)
        run("score", *model, "--ids", "t5-source.json", "--decoder-ids", "t5-text.json", "-o", "t5-of-both.safetensors", "-q")
        return read_safetensors(ROOT + "/t5-of-both.safetensors")["logprobs.0"]

    def test_soft_prompts_by_name_beside_an_adapter(self):
        run(*self.SFT, *PROMPT, "--max-steps", 3, "-o", "t5-prompted")
        second = [word if word != "t5-base" else "t5-prompted" for word in self.SFT]
        run(*second, *PROMPT, "--prompt-name", "shop", "--max-steps", 3, "-o", "t5-twice")
        with open(ROOT + "/t5-twice/etrlrec.json", encoding="utf-8") as file:
            prompts = json.load(file)["soft_prompts"]
        self.assertEqual(prompts, [{"name": name, "num_virtual_tokens": 6} for name in ["default", "shop"]])
        self.assertEqual(sha256("t5-prompted/adapter/adapter_model.safetensors"), sha256("t5-twice/adapter/adapter_model.safetensors"))
        together = ["-m", "t5-base", "--adapter", "t5-twice/adapter", "--adapter", "t5-twice/adapter/shop"]
        self.assertEqual(self.scored("-m", "t5-twice"), self.scored(*together))
        self.assertNotEqual(self.scored("-m", "t5-twice"), self.scored("-m", "t5-prompted"))
        if not os.path.exists(ROOT + "/t5-lora"):
            run(*self.SFT, "--lora-r", 2, "--max-steps", 4, "-o", "t5-lora")
        self.assertNotEqual(self.scored(*together), self.scored(*together, "--adapter", "t5-lora/adapter"))
        run("generate", *together, "--adapter", "t5-lora/adapter", "-p", "History", "-n", 4, "-q")
        self.assertIn("--adapter", run("generate", "-m", "t5-base", "--adapter", "t5-lora/adapter", "--adapter", "t5-lora/adapter",
                                       "-p", "History", code=2))


class EncoderDecoder(unittest.TestCase):
    """T5 in `generate`: the real tokenizer, random weights."""
    TEXT = "translate English to German: The house is wonderful."
    IDS = [13959, 1566, 12, 2968, 10, 37, 629, 19, 1627, 5, 1]  # as Transformers documents them
    GENERATE = ["generate", "-m", "t5", "-q", "-p", TEXT]

    @classmethod
    def setUpClass(cls):
        shared = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shared")
        tokenizer, golden = shared + "/models/t5-tokenizer", GOLDEN + "/t5/t5-flan"
        if not os.path.exists(tokenizer):
            raise unittest.SkipTest("T5's own tokenizer is not here")
        os.mkdir(ROOT + "/t5")
        for name in ["spiece.model", "tokenizer.json", "tokenizer_config.json"]:
            shutil.copy(f"{tokenizer}/{name}", ROOT + "/t5")
        with open(golden + "/config.json", encoding="utf-8") as file:
            config = json.load(file)
        small, config["vocab_size"] = config["vocab_size"], 32128
        with open(ROOT + "/t5/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        with open(golden + "/model.safetensors", "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
        for shape in shapes.values():
            shape[0] = 32128 if shape[0] == small else shape[0]
        write_safetensors(ROOT + "/t5/model.safetensors", shapes)
        os.mkdir(ROOT + "/t5-adapter")
        pairs = {}
        for name, shape in shapes.items():
            if name.endswith(".q.weight"):
                module = "base_model.model." + name[:-len(".weight")]
                pairs[module + ".lora_A.weight"], pairs[module + ".lora_B.weight"] = [2, shape[1]], [shape[0], 2]
        write_safetensors(ROOT + "/t5-adapter/adapter_model.safetensors", pairs)
        with open(ROOT + "/t5-adapter/adapter_config.json", "w", encoding="utf-8") as file:
            json.dump({"peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0,
                       "bias": "none", "target_modules": ["q"]}, file)

    def completions(self, *options):
        out = json.loads(run(*self.GENERATE, "--json", *options))
        self.assertEqual(out["prompt_tokens"], len(self.IDS))
        return out["completions"]

    def scored(self, ids, *more):
        for name, row in [("t5-in.json", self.IDS), ("t5-out.json", [0] + ids)]:
            with open(os.path.join(ROOT, name), "w", encoding="utf-8") as file:
                json.dump([row], file)
        run("score", "-m", "t5", "--ids", "t5-in.json", "--decoder-ids", "t5-out.json", "-o", "t5-scored.safetensors", "-q", *more)
        return read_safetensors(ROOT + "/t5-scored.safetensors")["logprobs.0"]

    def assert_scored(self, text, *more):
        expected = self.scored(text["ids"], *more)
        self.assertEqual(len(expected), len(text["logprobs"]))
        self.assertLess(max(abs(a - b) for a, b in zip(expected, text["logprobs"])), 1e-4)

    def test_writes_what_score_confirms(self):
        best = self.completions("-n", 8, "--temperature", 0)[0]
        self.assert_scored(best)
        self.assertEqual(run(*self.GENERATE, "-n", 8, "--temperature", 0), best["text"] + "\n")
        three = self.completions("-n", 8, "--num-return-sequences", 3)
        self.assertEqual(len({tuple(text["ids"]) for text in three}), 3)
        for text in three:
            self.assert_scored(text)
        beams = self.completions("-n", 6, "--num-beams", 4, "--num-return-sequences", 4)
        for text in beams:
            self.assert_scored(text)
        scores = [text["logprob"] / len(text["ids"]) for text in beams]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def test_an_adapter_is_used(self):
        plain = self.completions("-n", 8, "--temperature", 0)[0]
        adapted = self.completions("-n", 8, "--temperature", 0, "--adapter", "t5-adapter")[0]
        self.assertNotEqual(plain["logprobs"], adapted["logprobs"])
        self.assert_scored(adapted, "--adapter", "t5-adapter")

    def test_estimates_and_refuses(self):
        estimate = json.loads(run(*self.GENERATE, "--dry-run", "--json"))
        self.assertEqual(estimate["memory_total"], sum(estimate["memory"].values()))
        self.assertGreater(estimate["memory"]["weights"], 4 * 32128 * 32)  # width of the golden model
        self.assertEqual(estimate["tokens"], len(self.IDS) + 256)
        message = run(*self.GENERATE, "--chat", code=2)
        self.assertIn("T5", message)
        self.assertIn("hint: ", message)
        self.assertIn("float32", run(*self.GENERATE, "--dtype", "int8", code=2))
        run(*self.GENERATE, "--num-return-sequences", 10**9, code=5)


class DryRun(unittest.TestCase):
    def test_prints_memory_and_work_and_does_nothing(self):
        data, student = ["-d", "data"], ["-m", "student"]
        for command in [["generate", *student, "-p", "History"],
                        ["evaluate", *data, *student, "--limit", 9, "-o", "dry"],
                        ["recommend", *data, *student, "--user", "u7", "--recommender", "recommenders/sasrec"],
                        ["distill", *data, "--reasoning", "reasoning", "-m", "base", "--max-steps", 3, "-o", "dry"],
                        ["reinforce", *data, *student, "--max-steps", 3, "-o", "dry"]]:
            self.assertIn("weights", run(*command, "--dry-run", "-q"))
            estimate = json.loads(run(*command, "--dry-run", "--json", "-q"))
            self.assertEqual(estimate["memory_total"], sum(estimate["memory"].values()))
            self.assertGreater(estimate["tokens"], 0)
        self.assertFalse(os.path.exists(ROOT + "/dry"))

    def test_refuses_what_does_not_fit(self):
        message = run("generate", "-m", "student", "-p", "x", "--num-return-sequences", 10**9, code=5)
        self.assertIn("hint: ", message)
        run("distill", "-d", "data", "--reasoning", "reasoning", "-m", "base", "--lora-r", 10**9, "-o", "dry", "--dry-run",
            code=5)


class Demo(unittest.TestCase):
    def test_the_quick_demo_ends_with_a_table_and_a_report(self):
        text = run("demo", "--quick", "--no-progress", "--threads", 1)
        self.assertIn("next: build/etrlrec recommend --data runs/demo-quick/data", text)
        with open(ROOT + "/runs/demo-quick/summary.json", encoding="utf-8") as file:
            summary = json.load(file)
        rows = {row["model"]: row for row in summary["rows"]}
        for row in rows.values():
            self.assertLessEqual({"model", "stage", "protocol", "n", "hit@1", "hit@1_low", "hit@1_high", "ndcg@10", "mrr",
                                  "valid_ratio"}, set(row))
        for worse, better in (("LM label-only SFT", "LM reasoning SFT"), ("SASRec", "ETRLRec (RL)"),
                              ("ETRLRec (RL)", "Bayes-optimal")):
            self.assertLess(rows[worse]["hit@1"], rows[better]["hit@1"])
        # So few steps of reinforcement may gain nothing, but lose no more than two standard errors of 400 rows.
        self.assertGreater(rows["ETRLRec (RL)"]["hit@1"], rows["LM reasoning SFT"]["hit@1"] - 0.045)
        self.assertEqual(rows["ETRLRec (RL)"]["n"], 400)
        self.assertLessEqual({"fit", "distill", "reinforce"}, set(summary["seconds"]))
        self.assertGreater(summary["peak_rss_mb"], 100)
        with open(ROOT + "/runs/demo-quick/report.html", encoding="utf-8") as file:
            page = file.read()
        self.assertIn("ETRLRec (RL)", page)
        self.assertNotRegex(page, r"(src|href)=.https?:")
        # A folder goes on with the same options only.
        message = run("demo", "--out", "runs/demo-quick", "--seed", 43, code=2)
        self.assertIn('seed: expected "43", found "42"', message)
        self.assertIn('command: expected "demo", found "demo --quick"', message)
        self.assertIn("hint: ", message)


TINY = """name = "tiny"
title = "A tiny run"
out = "runs/tiny"
next = "etrlrec inspect {out}/data"
compare = [["reasoning", "sasrec"]]
[[stage]]
id = "data"
command = "prepare"
format = "synthetic"
users = 300
num-items = 120
[[stage]]
id = "recommenders"
command = "fit"
data = "@data"
model = ["markov", "sasrec"]
num-train-epochs = 1
hidden-size = 16
[[stage]]
id = "reasoning"
command = "construct"
data = "@data"
answer = "number"
filter-answer = false
[[stage]]
id = "base"
command = "new-lm"
data = "@data"
hidden-size = 32
num-hidden-layers = 2
num-attention-heads = 1
init = "random"
[[stage]]
id = "student"
command = "distill"
data = "@data"
reasoning = "@reasoning"
model = "@base"
sft-share = 0.5
max-reasoning-tokens = 96
batch-size = 8
max-steps = 60
save-steps = 5
eval-rows = 10
[[judge]]
id = "sasrec"
name = "SASRec"
model = "@recommenders/sasrec"
limit = 60
[[judge]]
id = "reasoning"
name = "LM reasoning SFT"
model = "@student"
limit = 60
"""


class Recipes(unittest.TestCase):
    COMMAND = ["run", "tiny.toml", "-t", 1, "-q"]

    @classmethod
    def setUpClass(cls):
        with open(ROOT + "/tiny.toml", "w", encoding="utf-8") as file:
            file.write(TINY)
        cls.printed = run(*cls.COMMAND)

    @staticmethod
    def stages(folder):
        with open(f"{ROOT}/{folder}/stages.json", encoding="utf-8") as file:
            return json.load(file)

    def test_ends_with_a_table_and_stable_ids(self):
        self.assertIn("next: etrlrec inspect runs/tiny/data", self.printed)
        with open(ROOT + "/runs/tiny/summary.json", encoding="utf-8") as file:
            rows = json.load(file)["rows"]
        self.assertEqual([row["id"] for row in rows], ["sasrec", "reasoning"])
        self.assertGreater(rows[0]["seconds"], 0)
        self.assertGreater(rows[1]["tokens"], 1000)
        # What a stage did is recorded as if it had been typed.
        with open(ROOT + "/runs/tiny/student/run.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file)["options"]["max-steps"], "60")

    def test_makes_again_what_a_change_touches(self):
        shutil.copytree(ROOT + "/runs/tiny", ROOT + "/runs/changed")
        before = self.stages("runs/changed")
        run(*self.COMMAND, "--out", "runs/changed")
        self.assertEqual(self.stages("runs/changed"), before)
        run(*self.COMMAND, "--out", "runs/changed", "--set", "student.max-steps=20")
        after = self.stages("runs/changed")
        self.assertEqual({name for name in after if after[name] != before[name]}, {"student", "judge/reasoning"})
        # The folder has the recipe as it was run.
        run("run", "runs/changed/recipe.toml", "-t", 1, "-q")
        self.assertEqual(self.stages("runs/changed"), after)

    def test_a_killed_run_goes_on(self):
        killed = subprocess.Popen([PROGRAM, *map(str, self.COMMAND), "--out", "runs/killed"], cwd=ROOT,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not Killed.has_checkpoint("runs/killed/student") and killed.poll() is None:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        run(*self.COMMAND, "--out", "runs/killed")
        for file in ("student/model.safetensors", "recommenders/sasrec/model.safetensors", "predictions/SASRec.jsonl",
                     "predictions/LM-reasoning-SFT.jsonl"):
            self.assertEqual(sha256("runs/killed/" + file), sha256("runs/tiny/" + file), file)

    def test_refuses_before_anything_is_done(self):
        command = [*self.COMMAND, "--out", "runs/refused", "--set"]
        message = run(*command, "student.max-stps=3", code=3)
        self.assertIn('unknown option "max-stps" of distill; did you mean "max-steps"?', message)
        self.assertIn("loss-type", run(*command, "student.loss-type=tokens", code=3))
        self.assertIn('did you mean "student"?', run(*command, "studnet.max-steps=3", code=2))
        self.assertIn('did you mean "demo"?', run("run", "demmo", code=2))
        self.assertIn("the words path", run("run", "movielens-100k", code=2))
        self.assertFalse(os.path.exists(ROOT + "/runs/refused"))

    def test_lists_and_prints_the_recipes(self):
        listed = run("run", "--list")
        for name in ("beauty", "demo", "demo-quick", "movielens-100k", "own", "steam"):
            self.assertRegex(listed, rf"(?m)^{name} +\S")
        self.assertIn('command = "reinforce"', run("run", "demo", "--print"))


class Own(unittest.TestCase):
    def test_plans_says_why_and_runs(self):
        numbers = random.Random(5)
        with open(ROOT + "/events.csv", "w", encoding="utf-8") as file:
            file.write("cust,sku,ts\n")
            for user in range(120):
                for at in range(12):
                    file.write(f"c{user},s{numbers.randrange(40)},{1.7e9 + at * 86400 + numbers.randrange(80000):.0f}\n")
        with open(ROOT + "/products.csv", "w", encoding="utf-8") as file:
            file.write("sku,name,kind\n" + "".join(f"s{i},Thing {i},k{i % 5}\n" for i in range(40)))
        command = ["own", "events.csv", "--items", "products.csv", "--map", "user=cust,item=sku,time=ts", "--title",
                   "name", "--attributes", "kind", "--hours", ".01", "-o", "runs/shop", "-t", 1, "--no-progress"]
        text = run(*command)
        self.assertIn("next: build/etrlrec recommend --data runs/shop/data --model runs/shop/timeline --user c", text)
        with open(ROOT + "/runs/shop/recipe.toml", encoding="utf-8") as file:
            recipe = file.read()
        self.assertIn("# Warning: fewer than 5000 interactions", recipe)
        with open(ROOT + "/runs/shop/summary.json", encoding="utf-8") as file:
            rows = json.load(file)["rows"]
        self.assertLessEqual({"timeline", "etrlrec", "mix"}, {row["id"] for row in rows})
        stages = Recipes.stages("runs/shop")
        run(*command)  # all is there
        self.assertEqual(Recipes.stages("runs/shop"), stages)
        with open(ROOT + "/runs/shop/recipe.toml", "a", encoding="utf-8") as file:
            file.write("\n# by hand\n")
        self.assertIn("is another recipe than own chooses now", run(*command, code=2))
        self.assertIn("expected the log first", run("own", "--hours", 1, code=2))
        self.assertIn("attributess", run("own", "events.csv", "--attributess", "kind", code=2))


class Using(unittest.TestCase):
    def test_recommend_explains(self):
        text = run("recommend", "-d", "data", "-m", "student", "--recommender", "recommenders/sasrec", "--user", "u7",
                   "-k", 3, "--explain")
        self.assertRegex(text, r"\n 3  i\d+ ")
        self.assertRegex(text, "(?m)^why")
        unknown = run("recommend", "-d", "data", "-m", "student", "--recommender", "recommenders/sasrec", "--user",
                      "nobody", code=3)
        self.assertIn("nobody", unknown)

    def test_recommends_to_all_users(self):
        alone = ["recommend", "-d", "data", "--recommender", "recommenders/markov", "-q"]
        first = json.loads(run(*alone, "--all-users", "-k", 3, "-o", "all.csv", "--json"))
        self.assertEqual(first["users_now"], first["users"])
        with open(ROOT + "/all.csv", encoding="utf-8") as file:
            lines = file.read().split("\n")
        self.assertEqual(lines[0], "user_id,rank,item_id,title,score")
        self.assertEqual(len(lines), 3 * first["users"] + 2)
        self.assertRegex(run(*alone, "--all-users", "-k", 3, "-o", "all.csv"), r"\d+ users, 0 of them now in 0.0 s")
        self.assertIn("exists already", run(*alone, "--all-users", "-k", 2, "-o", "all.csv", code=2))
        for words, part in [(["--all-users"], "expected --out"), (["-o", "x.csv"], "expected --all-users"),
                            (["--all-users", "-o", "x.csv", "--user", "u7"], "--user"),
                            (["--all-users", "-o", "x.txt"], ".parquet"), (["--user", "u7", "--explain"], "--explain"),
                            (["--user", "u7", "--dry-run"], "--dry-run")]:
            self.assertIn(part, run(*alone, *words, code=2))
        with_model = ["recommend", "-d", "data", "-m", "student", "--all-users", "-o", "x.csv", "-q"]
        self.assertIn("answers by number", run(*with_model, code=2))

    def test_evaluates_against_the_whole_catalogue(self):
        evaluate = ["evaluate", "-d", "data", "--candidates", "all", "-q"]
        row = json.loads(run(*evaluate, "-m", "recommenders/sasrec", "--mask-seen", "-o", "full-eval", "--json"))
        self.assertRegex(row["protocol"], r"score\[all\d+,mask-seen\]")
        run(*evaluate, "-m", "random", "--mask-seen", "-o", "full-random")
        run("compare", "full-eval", "full-random", "--draws", 100)
        self.assertIn("answers by number", run(*evaluate, "-m", "student", code=2))

    def test_audit_inspect_generate_doctor(self):
        run("audit", "-d", "data", "--reasoning", "reasoning")
        self.assertIn("300", run("inspect", "data"))
        self.assertTrue(run("generate", "-m", "student", "-p", "History; start", "-n", 5))

    def test_doctor_prints_which_kernel_computes_which_product(self):
        text = run("doctor", "--arithmetic", "float32")
        self.assertRegex(text, r"forward +float32 +vectors +1-48 ")
        self.assertRegex(text, r"forward +int8 +vectors +1-96 ")
        self.assertRegex(text, r"backward +bfloat16 +library +1\+ ")
        found = json.loads(run("doctor", "--json"))
        self.assertIn(found["instruction_set"], ["base", "avx2", "avx512", "avx512_bf16"])
        expected = {"reference", "float32"} | ({"bfloat16"} if found["instruction_set"] == "avx512_bf16" else set())
        self.assertEqual({line["arithmetic"] for line in found["products"]}, expected)
        for arithmetic in expected:
            for weights in ("float32", "bfloat16", "int8"):
                lines = [line for line in found["products"] if line["direction"] == "forward"
                         and line["weights"] == weights and line["arithmetic"] == arithmetic]
                self.assertTrue(lines[0]["rows"].startswith("1"))
                self.assertTrue(lines[-1]["rows"].endswith("+"))
                self.assertTrue(all(line["reason"] for line in lines))

    def test_audit_finds_a_candidate_file_that_was_changed(self):
        shutil.copytree(ROOT + "/data", ROOT + "/tampered")
        path = ROOT + "/tampered/candidates-test.jsonl"
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        row = json.loads(lines[1])
        row["candidates"][0], row["candidates"][1] = row["candidates"][1], row["candidates"][0]
        lines[1] = json.dumps(row, separators=(",", ":")) + "\n"
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(lines)
        done = subprocess.run([PROGRAM, "audit", "-d", "tampered"], cwd=ROOT, capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)

    def test_config_file_gives_options_and_the_command_line_wins(self):
        with open(ROOT + "/recipe.toml", "w", encoding="utf-8") as file:
            file.write("[new-lm]\nhidden-size = 48\nnum-hidden-layers = 1\ninit = \"random\"\n")
        run("new-lm", "--config", "recipe.toml", "-d", "data", "-o", "from-file", "-q")
        with open(ROOT + "/from-file/config.json", encoding="utf-8") as file:
            config = json.load(file)
        self.assertEqual((config["hidden_size"], config["num_hidden_layers"]), (48, 1))
        run("new-lm", "--config", "recipe.toml", "-d", "data", "-o", "from-both", "--hidden-size", "32", "-q")
        with open(ROOT + "/from-both/config.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file)["hidden_size"], 32)
        with open(ROOT + "/wrong.toml", "w", encoding="utf-8") as file:
            file.write("[new-lm]\nhiden-size = 48\n")
        self.assertIn("hiden-size", run("new-lm", "--config", "wrong.toml", "-d", "data", "-o", "x", code=2))

    def test_every_command_has_a_help_with_an_example(self):
        listed = run("--help").split("Subcommands:")[1].split("\n\n")[0].split("\n")
        names = [line.split()[0].rstrip(",") for line in listed if line.startswith("  ") and line[2] != " "]
        self.assertGreaterEqual(len(names), 18)
        for name in names:
            text = run(name, "--help")
            self.assertIn(f"Example:\n  etrlrec {name}", text)
            self.assertIn("--config FILE", text)

    def test_wrong_input_is_told_and_leaves_nothing(self):
        self.assertIn("nowhere", run("prepare", "--input", "nowhere.csv", "-o", "half", code=3))
        self.assertFalse(os.path.exists(ROOT + "/half"))
        self.assertIn("unknown command \"frobnicate\"", run("frobnicate", code=2))
        self.assertIn("did you mean \"recommend\"?", run("recomend", "-d", "data", code=2))
        self.assertIn("did you mean \"--num-candidates\"?", run("prepare", "--num-candidate", 5, code=2))
        run("evaluate", "-d", "data", "-m", "reasoning", code=4)


class TimedResult(unittest.TextTestResult):
    """Writes seconds and name of every test into ETRLREC_TEST_TIMES."""

    def startTest(self, test):
        self.begin = time.time()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        path = os.environ.get("ETRLREC_TEST_TIMES")
        if path:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{time.time() - self.begin:.2f}\t{test.id().removeprefix('__main__.')}\n")


if __name__ == "__main__":
    unittest.main(verbosity=1, testRunner=unittest.TextTestRunner(resultclass=TimedResult, verbosity=1))
