#!/usr/bin/env python3
"""Adapter folders in both directions, by hand: peft_folder_check.py PROGRAM.

Folders that the program trains and writes are loaded by PEFT, folders that PEFT writes are loaded by the program, and
the logits of the same token ids are compared. Needs peft, transformers, torch and safetensors; says so and ends with
exit code 0 where one is absent.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import peft
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

TOLERANCE = 2e-4
PROGRAM = os.path.abspath(sys.argv[1])
ROOT = tempfile.mkdtemp(prefix="etrlrec_peft_")
FAILURES = []


def run(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments), "-q", "-t", "1"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def path(name):
    return os.path.join(ROOT, name)


def base_model():
    return transformers.AutoModelForCausalLM.from_pretrained(path("base"), dtype=torch.float32).eval()


def program_logits(rows, model, adapter=None):
    """[tokens of all rows, vocabulary]"""
    with open(path("ids.json"), "w") as file:
        json.dump(rows, file)
    run("score", "-m", model, "--ids", "ids.json", "--logits", "-o", "scores.safetensors",
        *(("--adapter", adapter) if adapter else ()))
    tensors = load_file(path("scores.safetensors"))
    return torch.cat([tensors[f"logits.{row}"] for row in range(len(rows))])


@torch.no_grad()
def peft_logits(rows, model):
    """The same; positions of virtual tokens are left out."""
    return torch.cat([model(input_ids=torch.tensor([row])).logits[0, -len(row):] for row in rows])


def compare(what, found, expected):
    difference = (found - expected).abs().max().item()
    verdict = "ok" if difference <= TOLERANCE else "FAILED"
    print(f"{verdict:6} {what}: logits differ by at most {difference:.2g} (the largest is {expected.abs().max():.3g})")
    if difference > TOLERANCE:
        FAILURES.append(what)


def fill(model, seed):
    """Random values for everything that is trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


TRAINED = {
    "lora": ["--lora-r", "4", "--lora-alpha", "8", "--lora-dropout", "0.1"],
    "lora-qv-rslora": ["--lora-r", "4", "--target-modules", "q_proj,v_proj", "--use-rslora", "--optim", "lion"],
    "adalora": ["--adapter", "adalora", "--init-r", "4", "--target-r", "2", "--tinit", "3", "--tfinal", "3"],
    "adalora-unpruned": ["--adapter", "adalora", "--init-r", "4", "--target-r", "4"],
}
WRITTEN = {
    "peft-lora": peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear",
                                 rank_pattern={"layers.0.mlp.up_proj": 2}, alpha_pattern={"q_proj": 3}),
    "peft-adalora": peft.AdaLoraConfig(task_type="CAUSAL_LM", init_r=4, target_r=2, total_step=10, lora_alpha=8,
                                       target_modules=["q_proj", "down_proj"]),
    "peft-prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
}


def check_prompt():
    """A prompt that the program trains: logits and greedy text of PEFT, and of both ways to use the folder."""
    name = "prompt"
    run("distill", "-d", "data", "-m", "base", "-o", name, "--label-only", "--max-steps", 12, "--batch-size", 4,
        "--limit", 60, "--eval-rows", 0, "--lr", "0.1", "--adapter", "prompt", "--num-virtual-tokens", 7,
        "--prompt-tuning-init", "text", "--prompt-tuning-init-text", "History; Now;")
    with open(path("prompt-text.json"), "w") as file:
        file.write(subprocess.run([PROGRAM, "generate", "-m", name, "-p", "History; Now", "-n", "12", "--temperature", "0",
                                   "--json", "-q"], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    rows = [[3, 17, 40], [9, 8, 7, 6, 50, 61]]
    ours = program_logits(rows, name)
    compare(f"{name}: the trained folder and its base with the adapter", program_logits(rows, "base", f"{name}/adapter"), ours)
    theirs = peft.PeftModel.from_pretrained(base_model(), path(f"{name}/adapter")).eval()
    compare(f"{name}: read by PEFT", peft_logits(rows, theirs), ours)
    with open(path("prompt-text.json")) as file:
        found = json.load(file)["completions"][0]["ids"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(path("base"))
    ids = tokenizer("History; Now", return_tensors="pt", add_special_tokens=False).input_ids
    expected = []
    with torch.no_grad():
        for _ in found:
            expected.append(theirs(input_ids=ids).logits[0, -1].argmax().item())
            ids = torch.cat([ids, torch.tensor([[expected[-1]]])], 1)
    print(f"{'ok' if found == expected else 'FAILED':6} {name}: {len(found)} greedy tokens equal PEFT's")
    if found != expected:
        FAILURES.append(f"{name}: greedy text {found}, PEFT's {expected}")


def main():
    run("prepare", "--format", "synthetic", "--users", 300, "--num-items", 120, "-o", "data")
    run("new-lm", "-d", "data", "-o", "base", "--hidden-size", 32, "--num-attention-heads", 2)
    vocabulary = base_model().config.vocab_size
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randint(0, vocabulary, (length,), generator=generator).tolist() for length in (7, 31)]
    compare("base model", program_logits(rows, "base"), peft_logits(rows, base_model()))

    for name, options in TRAINED.items():
        run("distill", "-d", "data", "-m", "base", "-o", name, "--label-only", "--max-steps", 12, "--batch-size", 4,
            "--limit", 60, "--eval-rows", 0, "--lr", "2e-2" if "lion" not in options else "2e-3", *options)
        run("export", "peft", "-m", "base", "--adapter", f"{name}/adapter", "-o", f"{name}-exported")
        run("export", "merge", "-m", "base", "--adapter", f"{name}/adapter", "-o", f"{name}-merged")
        ours = program_logits(rows, "base", f"{name}/adapter")
        theirs = peft.PeftModel.from_pretrained(base_model(), path(f"{name}/adapter")).eval()
        compare(f"{name}: read by PEFT", peft_logits(rows, theirs), ours)
        compare(f"{name}: merged by PEFT", peft_logits(rows, theirs.merge_and_unload()), ours)
        again = peft.PeftModel.from_pretrained(base_model(), path(f"{name}-exported")).eval()
        compare(f"{name}: exported, read by PEFT", peft_logits(rows, again), ours)
        compare(f"{name}: the trained folder's merged model", program_logits(rows, name), ours)
        merged = transformers.AutoModelForCausalLM.from_pretrained(path(f"{name}-merged"), dtype=torch.float32).eval()
        compare(f"{name}: exported merged model", peft_logits(rows, merged), ours)
        changed = (ours - program_logits(rows, "base")).abs().max().item()
        if changed < 1e-2:
            FAILURES.append(f"{name}: training changed logits by {changed} only")

    check_prompt()
    for seed, (name, config) in enumerate(WRITTEN.items()):
        model = peft.get_peft_model(base_model(), config).eval()
        fill(model, seed)
        model.save_pretrained(path(name), save_embedding_layers=False)
        compare(f"{name}: read by the program", program_logits(rows, "base", name), peft_logits(rows, model))
        run("export", "peft", "-m", "base", "--adapter", name, "-o", f"{name}-exported")
        again = peft.PeftModel.from_pretrained(base_model(), path(f"{name}-exported")).eval()
        compare(f"{name}: exported, read by PEFT", peft_logits(rows, again), peft_logits(rows, model))

    print(f"peft {peft.__version__}, transformers {transformers.__version__}: "
          + (f"{len(FAILURES)} failed: {FAILURES}" if FAILURES else "all agree"))
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
