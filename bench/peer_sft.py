#!/usr/bin/env python3
"""Peer of `etrlrec_speed sft`: LoRA SFT with Transformers and PEFT on natural rows, padded in batches of like length.

Row i of 64 has 250 + 137 i mod 351 tokens (the formula of bench/speed.cc), the first 100 an instruction that all share, the last
quarter the labelled completion. Labels are -100 on prompt and padding. One warm-up batch (the longest rows), then whole passes.
  --head labelled   logits at labelled positions only (the best honest setting)
  --head all        logits at all positions, as model(labels=...) computes them
Prints one JSON line."""
import argparse
import json
import os
import resource
import statistics
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

SHAPES = {
    "XS": dict(hidden_size=512, num_hidden_layers=8, num_attention_heads=8, intermediate_size=1536, vocab_size=32000),
    "S": dict(hidden_size=896, num_hidden_layers=24, num_attention_heads=14, intermediate_size=4864, vocab_size=151936),
}
ROWS, SHARED = 64, 100


def make_rows(vocab):
    generator = torch.Generator().manual_seed(4)
    instruction = torch.randint(1, vocab, (SHARED,), generator=generator)
    rows = []
    for length in sorted(250 + 137 * i % 351 for i in range(ROWS)):
        rest = torch.randint(1, vocab, (length - SHARED,), generator=generator)
        rows.append((torch.cat([instruction, rest]), length - length // 4))   # ids, tokens of the prompt
    return rows


def collate(rows):
    width = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for r, (row, prompt) in enumerate(rows):
        ids[r, :len(row)] = row
        mask[r, :len(row)] = 1
        labels[r, prompt:len(row)] = row[prompt:]
    return ids, mask, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="XS")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--head", choices=["labelled", "all"], default="labelled")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--passes", type=int, default=0, help="0: 3 for XS, 1 for S")
    options = parser.parse_args()
    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[options.shape], num_key_value_heads=2, max_position_embeddings=4096, rope_theta=1e6,
                         tie_word_embeddings=True, use_cache=False, attn_implementation="sdpa")
    base = Qwen2ForCausalLM(config).to(getattr(torch, options.dtype))
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01, fused=True)
    rows = make_rows(config.vocab_size)
    batches = [collate(rows[first:first + options.batch]) for first in range(0, ROWS, options.batch)]

    def step(ids, mask, labels):
        optimizer.zero_grad(set_to_none=True)
        if options.head == "all":
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        else:
            hidden = base.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
            wanted = labels[:, 1:] != -100
            loss = torch.nn.functional.cross_entropy(base.lm_head(hidden[wanted]).float(), labels[:, 1:][wanted])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item()

    step(*batches[-1])
    samples = []
    for _ in range(options.passes or (3 if options.shape == "XS" else 1)):
        begin = time.perf_counter()
        for batch in batches:
            loss = step(*batch)
        samples.append(time.perf_counter() - begin)
    seconds = statistics.median(samples)
    real = sum(len(ids) for ids, _ in rows)
    padded = sum(ids.numel() for ids, _, _ in batches)
    print(json.dumps({"job": "sft", "rows_per_s": ROWS / seconds, "tokens_per_s": real / seconds, "real_tokens": real,
                      "padded_tokens": padded, "samples": samples, "loss": loss, "threads": torch.get_num_threads(),
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
