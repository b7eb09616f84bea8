"""Decoders of every family: logits, loss, gradients, greedy tokens, beams; older files, shards, bfloat16."""
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from golden.common import (IGNORED, fresh_folder, gradients, mask_of, narrowest_choice, norms, older_config, pad,
                           random_rows, randomize, save_json, save_model, save_tensors, without_padding)

VOCAB, PAD, BEGIN, END = 160, 0, 1, 2
SHAPE = dict(vocab_size=VOCAB, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END)
STRETCHED = dict(rope_type="llama3", rope_theta=1e4, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                 original_max_position_embeddings=64)


def plain_rope(theta):
    return dict(rope_type="default", rope_theta=theta)


def configs():
    return {
        "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_parameters=plain_rope(1e6)),
        "qwen3": Qwen3Config(**SHAPE, head_dim=20, tie_word_embeddings=True, rms_norm_eps=1e-6,
                             rope_parameters=plain_rope(1e6)),
        "llama3-untied": LlamaConfig(**SHAPE, tie_word_embeddings=False, rms_norm_eps=1e-5, rope_parameters=STRETCHED),
        "llama-tied": LlamaConfig(**SHAPE, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_parameters=plain_rope(1e4)),
        "mistral-swa": MistralConfig(**SHAPE, sliding_window=6, rms_norm_eps=1e-5, rope_parameters=plain_rope(1e4)),
    }


def kept_gradient(name):
    """One tensor of every kind goes into the file, all of them as norms."""
    first = ("layers.0.self_attn.q_proj", "layers.0.self_attn.q_norm", "layers.0.self_attn.k_proj.bias",
             "layers.0.input_layernorm", "layers.0.self_attn.o_proj")
    last = ("layers.1.self_attn.k_proj.weight", "layers.1.self_attn.k_norm", "layers.1.mlp.down_proj",
            "layers.1.self_attn.v_proj", "model.norm", "embed_tokens", "lm_head")
    return any(part in name for part in first + last)


def forward(model, name):
    rows = random_rows((20, 13, 7), 3, VOCAB, name, "forward")
    rows[1][4] = END  # an end token inside a text means nothing
    ids, mask = pad(rows), mask_of(rows)
    labels = pad([[IGNORED] * n + row[n:] for n, row in zip((8, 5, 3), rows)], IGNORED)
    labels[0, 12] = IGNORED  # a hole in the middle
    out = model(input_ids=ids, attention_mask=mask, labels=labels)
    every = gradients(model, out.loss)
    tensors = {"right.input_ids": ids, "right.attention_mask": mask, "right.labels": labels, "right.loss": out.loss,
               "right.logits": without_padding(out.logits, mask),
               **{f"grad.{key}": value for key, value in every.items() if kept_gradient(key)}}
    return tensors, dict(loss=out.loss.item(), grad_norm_and_sum=norms(every))


def greedy(model, ids, mask, end=None, **options):
    ends = [end] if isinstance(end, int) else list(end or [])
    out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, num_beams=1, max_new_tokens=24,
                         eos_token_id=end, pad_token_id=PAD, output_scores=True, return_dict_in_generate=True, **options)
    new = out.sequences[:, ids.shape[1]:]
    return dict(eos_token_id=end, options=options, new_tokens=new, min_top2_gap=narrowest_choice(out.scores, new, ends))


def prompts_without_near_ties(model, name):
    """Prompts for which no rounding can change a choice, with tokens that can serve as ends at different steps."""
    best = None
    for attempt in range(40):
        rows = random_rows((9, 6, 3), 3, VOCAB, name, "prompts", attempt)
        ids, mask = pad(rows, left=True), mask_of(rows, left=True)
        free = greedy(model, ids, mask)
        first, second = free["new_tokens"][0].tolist(), free["new_tokens"][1].tolist()
        end = next((t for t in first[6:15] if first.index(t) >= 6), None)
        other = next((t for t in second[3:12] if second.index(t) >= 3 and t != end), None)
        if None in (end, other) or other in first[:6] or end in second[:3]:
            continue
        runs = [free, greedy(model, ids, mask, repetition_penalty=1.4), greedy(model, ids, mask, no_repeat_ngram_size=2)]
        # The library takes the padding of a prompt for tokens: a run that writes the padding id would see them.
        if any((run["new_tokens"] == PAD).any() for run in runs):
            continue
        gap = min(run["min_top2_gap"] for run in runs)
        if best is None or gap > best[0]:
            best = gap, rows, ids, mask, free, end, other
    assert best is not None and best[0] > 5e-4, name
    return best[1:]


ITEMS = [[11, 21, 31, END], [11, 21, 32, END], [11, 22, END], [12, 23, 33, END], [12, 24, END], [13, 25, 34, 35, END]]


def beams(model, ids, mask, num_beams, end, steps, penalty, **options):
    out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, num_beams=num_beams,
                         num_return_sequences=num_beams, max_new_tokens=steps, eos_token_id=end, pad_token_id=PAD,
                         length_penalty=penalty, early_stopping=False, return_dict_in_generate=True, output_scores=True,
                         **options)
    rows = ids.shape[0]
    return dict(num_beams=num_beams, eos_token_id=end, max_new_tokens=steps, length_penalty=penalty,
                new_tokens=out.sequences[:, ids.shape[1]:].reshape(rows, num_beams, -1),
                scores=out.sequences_scores.reshape(rows, num_beams))


def generation(model, name):
    rows, ids, mask, free, end, other = prompts_without_near_ties(model, name)
    inside = [list(row) for row in rows]
    inside[1][2] = end  # the end token in a prompt must not stop its row
    ids_inside = pad(inside, left=True)

    def items_only(_, sent):
        path = sent[ids.shape[1]:].tolist()
        nexts = {item[len(path)] for item in ITEMS if item[:len(path)] == path and len(item) > len(path)}
        return sorted(nexts) or [END]

    return dict(
        input_ids=ids, attention_mask=mask, greedy_no_eos=free,
        greedy_one_eos=greedy(model, ids, mask, end),
        greedy_two_eos=greedy(model, ids, mask, [end, other]),
        greedy_eos_in_prompt=dict(greedy(model, ids_inside, mask, end), input_ids=ids_inside),
        greedy_min_new_tokens=greedy(model, ids, mask, [end, other], min_new_tokens=12),
        greedy_repetition_penalty=greedy(model, ids, mask, repetition_penalty=1.4),
        greedy_no_repeat_ngram=greedy(model, ids, mask, no_repeat_ngram_size=2),
        beam=beams(model, ids, mask, 4, END, 6, 1.0),
        beam_length_penalty=beams(model, ids, mask, 3, end, 12, 0.5),
        beam_constrained=dict(beams(model, ids, mask, 4, END, 5, 1.0, prefix_allowed_tokens_fn=items_only),
                              allowed_sequences=ITEMS))


def make(root):
    for name, config in configs().items():
        path = fresh_folder(root / "decoders" / name)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
        randomize(model, name)
        model.generation_config.update(pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END)
        save_model(model, path)
        older_config(path)
        tensors, info = forward(model, name)
        save_tensors(path / "golden.safetensors", tensors)
        save_json(path / "golden.json", dict(info, generation=generation(model, name)))
        if name == "qwen2":
            shards = fresh_folder(root / "decoders" / "qwen2-sharded")
            model.save_pretrained(shards, max_shard_size="100KB")
            assert len(list(shards.glob("model-*.safetensors"))) > 1
            half = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
            save_model(half, fresh_folder(root / "decoders" / "qwen2-bf16"))
