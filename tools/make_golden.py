#!/usr/bin/env python3
"""Makes tests/golden: tiny random models and small inputs with what the reference libraries compute from them.

  pip install torch==2.13.0 transformers==5.23.0 peft==0.21.2 trl==1.16.0 tokenizers==0.23.3 sentencepiece==0.2.3 \\
      safetensors==0.8.0 numpy==2.4.6 gguf==0.19.0 jinja2==3.1.6
  tools/make_golden.py [PART ...]      # decoders t5 bert peft grpo seqrec optim metrics sampling tokenizers pipelines gguf jinja; default: all

Everything follows from the seeds written here: running it again on the same kind of machine and libraries gives the same
bytes. peft needs decoders and t5, gguf needs decoders and tokenizers. tests/golden/versions.json holds seeds and versions. No data of others is used."""
import importlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
ROOT = Path(__file__).resolve().parent.parent
PARTS = ["decoders", "t5", "bert", "peft", "grpo", "seqrec", "optim", "metrics", "sampling", "tokenizers", "pipelines",
         "gguf", "jinja"]
MAX_BYTES = 5_000_000


def main(parts):
    from golden import common
    folder = ROOT / "tests" / "golden"
    for part in parts or PARTS:
        if part not in PARTS:
            sys.exit(f"{part}: expected one of {', '.join(PARTS)}")
        importlib.import_module(f"golden.{part}").make(folder)
        print(part, flush=True)
    (folder / "versions.json").write_text(json.dumps(dict(
        made_by="tools/make_golden.py", seed=common.SEED, libraries=common.versions()), indent=1) + "\n")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder.relative_to(ROOT)}: {size / 1e6:.2f} MB")
    if size > MAX_BYTES:
        sys.exit(f"expected at most {MAX_BYTES / 1e6:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
