"""What all parts share: determinism, wide random weights, padded batches, files."""
import json
import re
import shutil
from importlib.metadata import version

import torch
from safetensors.torch import save_file

SEED = 1405
IGNORED = -100  # label of a token without loss
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def versions():
    names = ("torch", "transformers", "peft", "trl", "tokenizers", "sentencepiece", "safetensors", "numpy", "gguf")
    return {name: version(name) for name in names}


def stream(*names):
    """A generator of its own for every purpose."""
    number = SEED
    for name in names:
        for byte in str(name).encode():
            number = (number * 131 + byte + 1) % (2**31 - 1)
    return torch.Generator().manual_seed(number)


def fresh_folder(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def randomize(model, name, matrix=0.15, table=0.3):
    """Weights wide enough for a mistake to show: no zero bias, no norm weight of 1."""
    random = stream("weights", name)
    kinds = {key: type(module).__name__.lower() for key, module in model.named_modules()}
    with torch.no_grad():
        for key, weight in model.named_parameters():
            kind = kinds[key.rpartition(".")[0]]
            noise = torch.randn(weight.shape, generator=random)
            if "norm" in kind and key.endswith("weight"):
                weight.copy_(1 + 0.3 * noise)
            elif weight.dim() == 1:
                weight.copy_(0.2 * noise)
            else:
                weight.copy_((table if "embedding" in kind else matrix) * noise)
    return model.eval()


def random_rows(lengths, low, high, *names):
    random = stream("rows", *names)
    return [torch.randint(low, high, (n,), generator=random).tolist() for n in lengths]


def pad(rows, value=0, left=False, width=0):
    width = max(width, *map(len, rows))
    return torch.tensor([[value] * (width - len(r)) + r if left else r + [value] * (width - len(r)) for r in rows])


def mask_of(rows, left=False, width=0):
    return pad([[1] * len(r) for r in rows], 0, left, width)


def without_padding(values, mask):
    """Zeros where the mask is 0: what stands there depends on the attention kernel."""
    return (values * mask.reshape(*mask.shape, *[1] * (values.dim() - mask.dim())).to(values.dtype)).detach()


def gradients(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}


def norms(tensors):
    return {key: [float(t.double().norm()), float(t.double().sum())] for key, t in sorted(tensors.items())}


def save_tensors(path, tensors):
    save_file({key: t.detach().contiguous().clone() for key, t in tensors.items()}, str(path))


def plain(value):
    """Tensors as lists; infinities as strings, which JSON lacks."""
    if isinstance(value, torch.Tensor):
        return plain(value.detach().tolist())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return str(value)
    return value


def save_json(path, value):
    text = json.dumps(plain(value), indent=1, sort_keys=True)
    one_line = lambda match: re.sub(r"\s+", " ", match[0]).replace("[ ", "[").replace(" ]", "]")
    path.write_text(re.sub(r"\[[\s\d.,eE+\-]*\]", one_line, text) + "\n")


def older_config(path, **changes):
    """config.v4.json: the configuration as Transformers 4 spelled it."""
    config = json.loads((path / "config.json").read_text())
    config["torch_dtype"] = config.pop("dtype", "float32")
    rope = config.pop("rope_parameters", None)
    if rope is not None:
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = rope if rope.get("rope_type", "default") != "default" else None
    config.update(changes, transformers_version="4.51.0")
    (path / "config.v4.json").write_text(json.dumps(config, indent=1) + "\n")


def save_model(model, path):
    model.save_pretrained(path)
    for extra in path.glob("*.md"):
        extra.unlink()


def narrowest_choice(scores, tokens, ends):
    """Smallest distance of the best score to the second one, over the steps of rows that have not ended."""
    alive, gap = torch.ones(tokens.shape[0], dtype=torch.bool), float("inf")
    for step, score in enumerate(scores):
        best = score.float().topk(2).values
        if alive.any():
            gap = min(gap, float((best[:, 0] - best[:, 1])[alive].min()))
        alive &= ~torch.isin(tokens[:, step], torch.tensor(ends or [-1]))
    return gap
