"""SASRec written out from its formulas in PyTorch, in the forms of its two common ports; losses and gradients.

Item 0 is padding; the table of items is also the head, over all items, padding included."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from golden.common import fresh_folder, mask_of, pad, random_rows, randomize, save_json, save_tensors

ITEMS, LENGTH, WIDTH, HEADS, LAYERS = 60, 10, 16, 2, 2


class Convolutions(nn.Module):
    """The feed-forward block of the port: two convolutions of width 1 with ReLU between."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(WIDTH, WIDTH, 1), nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x):
        return self.conv2(F.relu(self.conv1(x.mT))).mT


class Port(nn.Module):
    """Left-padded rows, positions 1 to LENGTH, embeddings times sqrt(d), a last norm; causal mask only."""

    def __init__(self, norm_first):
        super().__init__()
        self.norm_first = norm_first
        self.item_emb = nn.Embedding(ITEMS + 1, WIDTH, padding_idx=0)
        self.pos_emb = nn.Embedding(LENGTH + 1, WIDTH, padding_idx=0)
        norm = lambda: nn.LayerNorm(WIDTH, eps=1e-8)
        self.attention_layernorms = nn.ModuleList(norm() for _ in range(LAYERS))
        self.attention_layers = nn.ModuleList(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(LAYERS))
        self.forward_layernorms = nn.ModuleList(norm() for _ in range(LAYERS))
        self.forward_layers = nn.ModuleList(Convolutions() for _ in range(LAYERS))
        self.last_layernorm = norm()

    def forward(self, rows):
        positions = torch.arange(1, rows.shape[1] + 1) * (rows != 0)
        x = self.item_emb(rows) * WIDTH**0.5 + self.pos_emb(positions)
        future = torch.ones(rows.shape[1], rows.shape[1], dtype=torch.bool).triu(1)
        for layer in range(LAYERS):
            norms = self.attention_layernorms[layer], self.forward_layernorms[layer]
            attend = lambda q: self.attention_layers[layer](q, q, q, attn_mask=future, need_weights=False)[0]
            if self.norm_first:
                x = x + attend(norms[0](x))
                x = x + self.forward_layers[layer](norms[1](x))
            else:
                x = norms[0](x + attend(x))
                x = norms[1](x + self.forward_layers[layer](x))
        return self.last_layernorm(x)


class Block(nn.Module):
    """One layer in the names of RecBole: post-norm, exact GELU."""

    def __init__(self, inner=40):
        super().__init__()
        linear, norm = nn.Linear, lambda: nn.LayerNorm(WIDTH, eps=1e-12)
        self.multi_head_attention = nn.ModuleDict(
            {**{key: linear(WIDTH, WIDTH) for key in ("query", "key", "value", "dense")}, "LayerNorm": norm()})
        self.feed_forward = nn.ModuleDict(
            {"dense_1": linear(WIDTH, inner), "dense_2": linear(inner, WIDTH), "LayerNorm": norm()})

    def forward(self, x, mask):
        attention, mlp = self.multi_head_attention, self.feed_forward
        heads = lambda t: t.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        q, k, v = (heads(attention[key](x)) for key in ("query", "key", "value"))
        weights = (q @ k.mT / math.sqrt(WIDTH // HEADS) + mask).softmax(-1)
        x = attention["LayerNorm"](x + attention["dense"]((weights @ v).transpose(1, 2).flatten(-2)))
        return mlp["LayerNorm"](x + mlp["dense_2"](F.gelu(mlp["dense_1"](x))))


class RecBole(nn.Module):
    """Right-padded rows, positions from 0, a norm after the embeddings, the state at the last item."""

    def __init__(self):
        super().__init__()
        self.item_embedding = nn.Embedding(ITEMS + 1, WIDTH, padding_idx=0)
        self.position_embedding = nn.Embedding(LENGTH, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.trm_encoder = nn.ModuleDict({"layer": nn.ModuleList(Block() for _ in range(LAYERS))})

    def forward(self, rows):
        n = rows.shape[1]
        x = self.LayerNorm(self.item_embedding(rows) + self.position_embedding(torch.arange(n)))
        seen = torch.ones(n, n, dtype=torch.bool).tril() & (rows != 0)[:, None, None, :]
        for layer in self.trm_encoder["layer"]:
            x = layer(x, torch.where(seen, 0.0, -10000.0))
        return x[torch.arange(rows.shape[0]), (rows != 0).sum(1) - 1]


def randomized(model, name):
    randomize(model, name, matrix=0.3, table=0.5)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0
    return model


def make(root):
    rows = random_rows((11, 7, 4, 2), 1, ITEMS + 1, "seqrec")
    inputs = [row[:-1] for row in rows]
    for name, norm_first in (("sasrec-pmixer-norm-first", True), ("sasrec-pmixer-post-norm", False)):
        path, model = fresh_folder(root / "seqrec" / name), randomized(Port(norm_first), name)
        left = pad(inputs, left=True, width=LENGTH)
        states = model(left) * mask_of(inputs, left=True, width=LENGTH).unsqueeze(-1)
        save_tensors(path / "weights.safetensors", dict(model.named_parameters()))
        save_tensors(path / "golden.safetensors", {"sequence": left, "features": states})
    path, model = fresh_folder(root / "seqrec" / "sasrec-recbole"), randomized(RecBole(), "sasrec-recbole")
    right, target = pad(inputs, width=LENGTH), torch.tensor([row[-1] for row in rows])
    logits = model(right) @ model.item_embedding.weight.T
    loss = F.cross_entropy(logits, target)
    loss.backward()
    kept = ("item_embedding.weight", "position_embedding.weight", "trm_encoder.layer.0.multi_head_attention.query.weight",
            "trm_encoder.layer.1.feed_forward.dense_1.weight")
    weights = dict(model.named_parameters())
    save_tensors(path / "weights.safetensors", weights)
    save_tensors(path / "golden.safetensors", {"sequence": right, "positive": target, "logits": logits,
                                               **{f"grad.ce.{key}": weights[key].grad for key in kept}})
    save_json(path / "golden.json", dict(losses=dict(ce=loss.item())))
