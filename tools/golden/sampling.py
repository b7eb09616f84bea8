"""Probabilities behind the logits processors that generate(do_sample=True) of Transformers builds."""
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from golden.common import fresh_folder, save_json, stream

INF = float("inf")


def vectors():
    return {
        "plain": (2 * torch.randn(16, generator=stream("sampling"))).tolist(),
        "ties": [1.0, 3.0, 3.0, 2.0, 2.0, 2.0, 0.5, -1.0, 2.0, 3.0, 0.5, -4.0, 1.0, 0.0, -1.0, -2.0],
        "all_equal": [0.25] * 16,
        "one_peak": [0.0] * 5 + [30.0] + [0.0] * 10,
        "banned": [1.0, -INF, 2.0, -INF, 0.5, 1.5, -INF, 2.5, -INF, -INF, 0.0, 1.25, -1.0, -INF, 3.0, -INF],
        "large": [1000.0, 999.0, 998.0, -1000.0, 997.5] + [990.0 - i for i in range(11)],
    }


OPTIONS = [
    {}, {"temperature": 0.7}, {"temperature": 1.8}, {"temperature": 0.01}, {"top_k": 1}, {"top_k": 2}, {"top_k": 5},
    {"top_k": 50}, {"top_p": 0.9}, {"top_p": 0.5}, {"top_p": 0.1}, {"top_p": 0.999}, {"min_p": 0.1}, {"min_p": 0.5},
    {"min_p": 1.0}, {"typical_p": 0.6}, {"temperature": 0.7, "top_k": 5}, {"temperature": 0.7, "top_k": 5, "top_p": 0.8},
    {"temperature": 1.5, "top_k": 8, "top_p": 0.6, "min_p": 0.2}, {"repetition_penalty": 1.5},
    {"repetition_penalty": 1.5, "temperature": 0.7, "top_k": 4},
]


def boundary_gap(chain, seen, scores):
    """How near a cumulative probability comes to 1 - top_p: where it is 0, rounding decides what is kept."""
    for step in chain:
        if type(step).__name__ == "TopPLogitsWarper":
            cumulated = scores.double().sort().values.softmax(-1).cumsum(-1)
            return (cumulated - (1 - step.top_p))[..., :-1].abs().min().item()
        scores = step(seen, scores)
    return None


def make(root):
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                         num_attention_heads=1))
    seen, cases = torch.tensor([[1, 3, 3, 15]]), []
    for name, values in vectors().items():
        scores = torch.tensor([values])
        for options in OPTIONS:
            config = GenerationConfig(do_sample=True, **{"temperature": 1.0, "top_k": 0, "top_p": 1.0, **options})
            chain = model._get_logits_processor(generation_config=config, input_ids_seq_length=1, device="cpu")
            cases.append(dict(vector=name, options=options, top_p_boundary_gap=boundary_gap(chain, seen, scores.clone()),
                              probs=torch.softmax(chain(seen, scores.clone()), -1)[0]))
    save_json(fresh_folder(root / "sampling") / "golden.json", dict(
        previous_tokens=seen[0], vectors=vectors(), cases=cases))
