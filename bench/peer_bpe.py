#!/usr/bin/env python3
"""Peer of `etrlrec_speed bpe`: byte-level BPE with the `tokenizers` package on one core.

  peer_bpe.py text FILE                  English text of at least 8 MB: docstrings of the installed Python packages
  peer_bpe.py folder SOURCE FOLDER       FOLDER/tokenizer.json from a tokenizer.json, or from a folder with tokenizer.json or
                                         with vocab.json and merges.txt (GPT-2)
  peer_bpe.py encode FOLDER TEXT OUT     documents of 4 KB cut at line ends; ids as int32 to OUT, one JSON line"""
import ast
import json
import os
import shutil
import statistics
import sys
import time
from array import array
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def make_text(target, wanted=8_000_000):
    seen, size = set(), 0
    files = sorted(path for folder in {Path(ast.__file__).parent, Path(json.__file__).parent.parent, *map(Path, sys.path)}
                   if folder.is_dir() and folder.name.startswith(("python3", "site-packages")) for path in folder.rglob("*.py"))
    with open(target, "w", encoding="utf-8") as out:
        for path in dict.fromkeys(files):
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError, OSError, RecursionError):
                continue
            for node in ast.walk(tree):
                if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                    continue
                text = ast.get_docstring(node)
                if text and len(text) > 200 and text not in seen:
                    seen.add(text)
                    size += out.write(text + "\n\n")
            if size >= wanted:
                return
    raise SystemExit(f"only {size} characters of docstrings found, wanted {wanted}; give --text FILE")


def make_folder(source, target):
    target.mkdir(parents=True, exist_ok=True)
    if source.is_file() or (source / "tokenizer.json").exists():
        shutil.copy(source if source.is_file() else source / "tokenizer.json", target / "tokenizer.json")
        return
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    tokenizer = Tokenizer(models.BPE.from_file(str(source / "vocab.json"), str(source / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(target / "tokenizer.json"))


def documents_of(data):
    begin, out = 0, []
    while begin < len(data):
        end = data.find(b"\n", min(len(data), begin + 4095))
        end = len(data) if end < 0 else end + 1
        out.append(data[begin:end].decode("utf-8"))
        begin = end
    return out


def encode(folder, text, out):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    data = text.read_bytes()
    documents = documents_of(data)
    many = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)   # without offsets where it has that
    samples = []
    for _ in range(5):
        begin = time.perf_counter()
        encodings = many(documents, add_special_tokens=False)
        samples.append(time.perf_counter() - begin)
    ids = array("i")
    for encoding in encodings:
        ids.extend(encoding.ids)
    out.write_bytes(ids.tobytes())
    print(json.dumps({"job": "bpe", "mb_per_s": len(data) / 1e6 / statistics.median(samples),
                      "best_mb_per_s": len(data) / 1e6 / min(samples), "ids": len(ids)}))


def main():
    job, *rest = sys.argv[1:] or ["help"]
    paths = [Path(x) for x in rest]
    jobs = {"text": (make_text, 1), "folder": (make_folder, 2), "encode": (encode, 3)}
    if job not in jobs or len(paths) != jobs[job][1]:
        raise SystemExit(__doc__)
    jobs[job][0](*paths)


if __name__ == "__main__":
    main()
