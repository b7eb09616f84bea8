"""T5: v1.0 (relu, tied, scaled output) and v1.1 / Flan (gated GELU, a head of its own)."""
import torch
from transformers import T5Config, T5ForConditionalGeneration

from golden.common import (IGNORED, fresh_folder, gradients, mask_of, narrowest_choice, norms, older_config, pad,
                           random_rows, randomize, save_json, save_model, save_tensors, without_padding)

VOCAB, PAD, END = 160, 0, 1
SHAPE = dict(vocab_size=VOCAB, d_model=32, d_kv=10, d_ff=48, num_heads=4, num_layers=3, num_decoder_layers=2,
             relative_attention_num_buckets=12, relative_attention_max_distance=20, dropout_rate=0.1,
             decoder_start_token_id=PAD, pad_token_id=PAD, eos_token_id=END)


def build(name):
    flan = name == "t5-flan"
    kind = dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False) if flan else dict(
        feed_forward_proj="relu", tie_word_embeddings=True)
    model = T5ForConditionalGeneration._from_config(T5Config(**SHAPE, **kind), attn_implementation="eager")
    if flan:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    randomize(model, name, matrix=0.2 if flan else 0.45, table=1.0 if flan else 0.8)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith(".q.weight"):  # T5 does not scale q k: this keeps the softmax away from saturation
                weight.mul_(0.4 if flan else 0.5)
    return model


def kept_gradient(name):
    parts = ("shared", "lm_head", "block.0.layer.0.SelfAttention.relative_attention_bias",
             "encoder.block.2.layer.0.SelfAttention.q", "encoder.block.1.layer.1.layer_norm",
             "decoder.block.0.layer.1.EncDecAttention.k", "decoder.block.1.layer.1.EncDecAttention.v",
             "decoder.block.1.layer.2.DenseReluDense.wi", "decoder.block.0.layer.2.DenseReluDense.wo",
             "final_layer_norm")
    return any(part in name for part in parts)


def batch(name, source=(30, 17, 9), target=(12, 8, 5)):
    rows = [row[:-1] + [END] for row in random_rows(source + target, 2, VOCAB, name)]
    sources, targets = rows[:len(source)], rows[len(source):]
    return dict(input_ids=pad(sources), attention_mask=mask_of(sources), labels=pad(targets, IGNORED))


def generate(model, inputs, **options):
    return model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], do_sample=False,
                          pad_token_id=PAD, return_dict_in_generate=True, output_scores=True, **options)


def greedy(model, inputs, end):
    out = generate(model, inputs, num_beams=1, max_new_tokens=24, eos_token_id=end)
    gap = narrowest_choice(out.scores, out.sequences[:, 1:], [] if end is None else [end])
    return dict(eos_token_id=end, sequences=out.sequences, min_top2_gap=gap)


def beam(model, inputs, end):
    out = generate(model, inputs, num_beams=4, num_return_sequences=4, max_new_tokens=8, eos_token_id=end,
                   length_penalty=1.0, early_stopping=False)
    return dict(num_beams=4, eos_token_id=end, max_new_tokens=8, length_penalty=1.0,
                sequences=out.sequences.reshape(3, 4, -1), scores=out.sequences_scores.reshape(3, 4))


def clear_batch(model, name):
    """Inputs whose greedy tokens no rounding can change, and a token that ends the first row after a while."""
    for attempt in range(100):
        inputs = batch(f"{name}-{attempt}")
        free = greedy(model, inputs, None)
        row = free["sequences"][0].tolist()
        end = next((t for t in row[5:] if t not in row[1:5] and t != PAD), None)
        if end is not None and free["min_top2_gap"] > 2e-3:
            return inputs, free, end
    raise AssertionError(f"{name}: no clear batch")


def make(root):
    for name in ("t5-v1.0", "t5-flan"):
        path = fresh_folder(root / "t5" / name)
        model = build(name)
        save_model(model, path)
        older_config(path, tie_word_embeddings=name != "t5-flan")
        inputs, free, end = clear_batch(model, name)
        out = model(**inputs)
        every = gradients(model, out.loss)
        mask = (inputs["labels"] != IGNORED).long()
        save_tensors(path / "golden.safetensors", {
            **inputs, "decoder_input_ids": model.prepare_decoder_input_ids_from_labels(inputs["labels"]),
            "encoder_last_hidden_state": without_padding(out.encoder_last_hidden_state, inputs["attention_mask"]),
            "logits": without_padding(out.logits, mask), "loss": out.loss,
            **{f"grad.{key}": value for key, value in every.items() if kept_gradient(key)}})
        save_json(path / "golden.json", dict(
            loss=out.loss.item(), max_abs_logit=out.logits.abs().max().item(), grad_norm_and_sum=norms(every),
            greedy_no_eos=free, greedy_eos=greedy(model, inputs, end), beam=beam(model, inputs, end)))
