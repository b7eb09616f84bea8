#!/usr/bin/env python3
"""Peer of `etrlrec_speed load`: a checkpoint to the first token with Transformers, behind the same 8-token prompt.

Prints one JSON line as soon as the token is there: import_s (interpreter and imports are over), load_s, first_token_s (load and
generate, without imports). Whoever starts this process measures the whole time."""
import argparse
import json
import os
import resource
import time

begin = time.perf_counter()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("dtype", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    imported = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=getattr(torch, options.dtype)).eval()
    loaded = time.perf_counter()
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
    with torch.inference_mode():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False)
    end = time.perf_counter()
    assert out.shape == (1, 9)
    print(json.dumps({"job": "load", "import_s": imported - begin, "load_s": loaded - imported, "first_token_s": end - imported,
                      "threads": torch.get_num_threads(),
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}), flush=True)


if __name__ == "__main__":
    main()
