#!/usr/bin/env python3
"""Peer of `etrlrec_speed prompt`: prompt tuning of a frozen model with Transformers and PEFT, as DELRec's first stage does it.

Row i of 20 has 300 + 137 i mod 251 tokens and a labelled title of 8 (the formulas of bench/speed_recommenders.cc), behind 100 virtual
tokens, the only parameters that learn. One step takes all 20 rows, padded. The first step warms up.
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
from peft import PromptTuningConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from peer_sft import SHAPES, collate

ROWS, VIRTUAL, TITLE = 20, 100, 8


def make_batch(vocab):
    lengths = [300 + 137 * i % 251 + TITLE for i in range(ROWS)]
    return collate([(torch.randint(1, vocab, (length,)), length - TITLE) for length in lengths])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="XS")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--head", choices=["labelled", "all"], default="labelled")
    options = parser.parse_args()
    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[options.shape], num_key_value_heads=2, max_position_embeddings=4096, rope_theta=1e6,
                         tie_word_embeddings=True, use_cache=False, attn_implementation="sdpa")
    base = Qwen2ForCausalLM(config).to(getattr(torch, options.dtype))
    model = get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01, fused=True)
    ids, mask, labels = make_batch(config.vocab_size)

    def loss_of():
        if options.head == "all":
            return model(input_ids=ids, attention_mask=mask, labels=labels).loss
        words = base.get_input_embeddings()(ids)
        prompt = model.get_prompt(batch_size=ROWS).to(words.dtype)
        hidden = base.model(inputs_embeds=torch.cat([prompt, words], 1),
                            attention_mask=torch.cat([torch.ones(ROWS, VIRTUAL, dtype=torch.long), mask], 1)).last_hidden_state
        hidden, wanted = hidden[:, VIRTUAL:-1], labels[:, 1:] != -100
        return torch.nn.functional.cross_entropy(base.lm_head(hidden[wanted]).float(), labels[:, 1:][wanted])

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item()

    step()
    samples = []
    for _ in range(3 if options.shape == "XS" else 1):
        begin = time.perf_counter()
        loss = step()
        samples.append(time.perf_counter() - begin)
    print(json.dumps({"job": "prompt", "step_s": statistics.median(samples), "samples": samples, "loss": loss,
                      "trained": sum(p.numel() for p in trained), "threads": torch.get_num_threads(),
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
