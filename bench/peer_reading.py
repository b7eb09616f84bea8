#!/usr/bin/env python3
"""Peer of `etrlrec_speed reading`: a small decoder (Qwen2's layers) learns texts in eager PyTorch, all weights, AdamW.

Text i of 64 has 60 + 137 i mod 471 tokens (the formula of bench/speed.cc), about the time lines of MovieLens-100K; every third token is
a target. Batches of 8 texts, padded on the right, where causal attention needs no mask. One batch warms up, then whole passes.
  --head labelled      logits of the targets only (the best honest setting); all: of every position, as model(labels=...) does
  --group-by-length    batches of like length instead of the order of the texts
Prints one JSON line. Needs torch alone."""
import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

TEXTS, BATCH, EVERY, PASSES = 64, 8, 3, 5
HIDDEN, LAYERS, HEADS, INTERMEDIATE, VOCAB, DROPOUT = 128, 2, 2, 384, 3321, 0.3
HEAD_DIM = HIDDEN // HEADS


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.before_attention, self.before_mlp = nn.RMSNorm(HIDDEN, 1e-6), nn.RMSNorm(HIDDEN, 1e-6)
        self.qkv, self.o = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.gate_up, self.down = nn.Linear(HIDDEN, 2 * INTERMEDIATE, bias=False), nn.Linear(INTERMEDIATE, HIDDEN, bias=False)

    def forward(self, x, cos, sin):
        b, n, _ = x.shape
        q, k, v = self.qkv(self.before_attention(x)).view(b, n, 3, HEADS, HEAD_DIM).permute(2, 0, 3, 1, 4)

        def turned(y):
            first, second = y.chunk(2, -1)
            return y * cos + torch.cat([-second, first], -1) * sin

        y = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        x = x + F.dropout(self.o(y.transpose(1, 2).reshape(b, n, HIDDEN)), DROPOUT, self.training)
        gate, up = self.gate_up(self.before_mlp(x)).chunk(2, -1)
        return x + F.dropout(self.down(F.silu(gate) * up), DROPOUT, self.training)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.layers, self.norm = nn.Embedding(VOCAB, HIDDEN), nn.ModuleList(Layer() for _ in range(LAYERS)), nn.RMSNorm(HIDDEN, 1e-6)
        self.frequencies = 1e6 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)

    def forward(self, ids):
        angles = torch.outer(torch.arange(ids.shape[1]), self.frequencies)
        cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
        x = F.dropout(self.embed(ids), DROPOUT, self.training)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


def collate(texts):
    ids = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for r, text in enumerate(texts):
        ids[r, :len(text)] = text
        labels[r, EVERY:len(text):EVERY] = text[EVERY::EVERY]
    return ids, labels[:, 1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", choices=["labelled", "all"], default="labelled")
    parser.add_argument("--group-by-length", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    texts = [torch.randint(1, VOCAB, (60 + 137 * i % 471,)) for i in range(TEXTS)]
    if options.group_by_length:
        texts.sort(key=len)
    batches = [collate(texts[first:first + BATCH]) for first in range(0, TEXTS, BATCH)]

    def step(ids, labels):
        optimizer.zero_grad(set_to_none=True)
        hidden = model(ids)[:, :-1]
        if options.head == "labelled":
            wanted = labels != -100
            hidden, labels = hidden[wanted], labels[wanted]
        logits = hidden @ model.embed.weight.T
        F.cross_entropy(logits.reshape(-1, VOCAB), labels.reshape(-1)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step(*batches[-1])
    samples = []
    for _ in range(PASSES):
        begin = time.perf_counter()
        for batch in batches:
            step(*batch)
        samples.append(time.perf_counter() - begin)
    tokens = sum(map(len, texts))
    print(json.dumps({"job": "reading", "tokens_per_s": tokens / statistics.median(samples), "tokens": tokens,
                      "padded_tokens": sum(ids.numel() for ids, _ in batches), "samples": samples,
                      "threads": torch.get_num_threads(), "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
