#!/usr/bin/env python3
"""Peer of `etrlrec fit --model gru4rec`: GRU4Rec in plain PyTorch on MovieLens-100K, leave-one-out.

nn.GRU of two layers over windows of 50 items, a linear map to the width of the item embeddings (64), full softmax over the catalogue
through them at every position, Adam: the same model, windows and batches as the program's. Batches of windows are padded on the
right; logits stand at real positions only. The first epoch warms up. Prints one JSON line."""
import argparse
import json
import resource
import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

DIM, LAYERS, LENGTH, DROPOUT = 64, 2, 50, 0.2


class Gru4Rec(nn.Module):
    def __init__(self, items):
        super().__init__()
        self.embed, self.drop = nn.Embedding(items + 1, DIM, padding_idx=0), nn.Dropout(DROPOUT)
        self.units, self.out = nn.GRU(DIM, DIM, LAYERS, batch_first=True, dropout=DROPOUT), nn.Linear(DIM, DIM)

    def forward(self, ids):
        return self.out(self.units(self.drop(self.embed(ids)))[0])


def windows_of(history, rng):
    """The whole history in windows of LENGTH targets, cut from a random offset."""
    end = len(history) - (rng.integers(0, LENGTH) if len(history) > LENGTH + 1 else 0)
    if end < len(history):
        yield history[max(0, end - 1):]
    while end >= 2:
        yield history[max(0, end - LENGTH - 1):end]
        end -= LENGTH


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="u.data")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--max-epochs", type=int, default=6)
    options = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    raw = np.loadtxt(options.data, dtype=np.int64)
    raw = raw[np.lexsort((np.arange(len(raw)), raw[:, 3], raw[:, 0]))]
    histories = [raw[raw[:, 0] == user, 1][:-2] for user in np.unique(raw[:, 0])]
    model = Gru4Rec(int(raw[:, 1].max()))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    rates = []
    for _ in range(options.max_epochs):
        begin, targets = time.perf_counter(), 0
        windows = [w for history in histories for w in windows_of(history, rng) if len(w) >= 2]
        for chosen in np.array_split(rng.permutation(len(windows)), -(-len(windows) // options.batch)):
            ids = np.zeros((len(chosen), max(len(windows[j]) for j in chosen)), np.int64)
            for r, j in enumerate(chosen):
                ids[r, :len(windows[j])] = windows[j]
            ids = torch.from_numpy(ids)
            wanted = ids[:, 1:] > 0
            optimizer.zero_grad(set_to_none=True)
            states, labels = model(ids[:, :-1])[wanted], ids[:, 1:][wanted]
            logits = states @ model.embed.weight.T
            logits[:, 0] = -1e9
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            targets += len(labels)
        rates.append(targets / (time.perf_counter() - begin))
    print(json.dumps({"targets_per_s": statistics.median(rates[1:] or rates), "targets": targets, "epochs": options.max_epochs,
                      "threads": torch.get_num_threads(), "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
