"""Adapters as PEFT makes, trains and saves them: LoRA, AdaLoRA, prompt tuning; NEFTune's noise."""
import json

import torch
from peft import AdaLoraConfig, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, T5ForConditionalGeneration
from transformers.integrations.neftune import neftune_post_forward_hook

from golden import t5
from golden.common import (IGNORED, fresh_folder, mask_of, pad, random_rows, save_json, save_tensors, stream,
                           without_padding)
from golden.decoders import VOCAB

DECODER, ENCODER_DECODER = "decoders/qwen2", "t5/t5-flan"


def load(root, base):
    kind = AutoModelForCausalLM if base == DECODER else T5ForConditionalGeneration
    return kind.from_pretrained(root / base, attn_implementation="eager").eval()


def decoder_batch():
    rows = random_rows((14, 10, 6), 3, VOCAB, "peft-decoder")
    return dict(input_ids=pad(rows), attention_mask=mask_of(rows), labels=pad([[IGNORED] * 3 + r[3:] for r in rows], IGNORED))


def t5_batch():
    return t5.batch("peft-t5", (15, 11, 7), (7, 5, 4))


def trained(model):
    return {key: p for key, p in model.named_parameters() if p.requires_grad}


def in_file(name):
    """A parameter's name as the adapter file spells it."""
    return name.replace(".default", "")


def randomize_adapter(model, name, scale=0.1):
    random = stream("adapter", name)
    with torch.no_grad():
        for weight in trained(model).values():
            weight.copy_(scale * torch.randn(weight.shape, generator=random))


def save_adapter(model, path, base):
    """The folder of save_pretrained with a relative base and sorted modules (PEFT writes them in the order of hashes)."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
    model.save_pretrained(path, save_embedding_layers=False)
    (path / "README.md").unlink(missing_ok=True)
    config = json.loads((path / "adapter_config.json").read_text())
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    (path / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def adamw(model, rate):
    return torch.optim.AdamW(trained(model).values(), lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)


def five_steps(model, batch):
    optimizer, losses, sizes = adamw(model, 1e-2), [], []
    for _ in range(5):
        loss = model(**batch).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        sizes.append(torch.nn.utils.clip_grad_norm_(list(trained(model).values()), 1.0).item())
        optimizer.step()
    losses.append(model(**batch).loss.item())
    return dict(optimizer="AdamW", lr=1e-2, weight_decay=0.01, max_grad_norm=1.0,
                loss_before_each_step_then_after_last=losses, grad_norm_before_clipping=sizes)


def attached(root, name, options, dtype=torch.float32):
    model = get_peft_model(load(root, DECODER),
                           LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, **options))
    randomize_adapter(model, name)
    return model.to(dtype)


def clear_adapter(root, name, options):
    """Values from which five steps end at the same place in fp32 and in double: AdamW divides by the size of a gradient,
    so that an entry without one would follow its rounding."""
    for attempt in range(40):
        models = [attached(root, f"{name}-{attempt}", options, dtype) for dtype in (torch.float32, torch.float64)]
        for model in models:
            five_steps(model, decoder_batch())
        ends = [trained(model) for model in models]
        if max((ends[0][key].double() - ends[1][key]).abs().max().item() for key in ends[0]) < 4e-6:
            return attached(root, f"{name}-{attempt}", options)
    raise AssertionError(f"{name}: no clear values")


def lora(root, name, **options):
    path, batch = fresh_folder(root / "peft" / name), decoder_batch()
    model = clear_adapter(root, name, options)
    save_adapter(model, path, "../../" + DECODER)
    out, mask = model(**batch), batch["attention_mask"]
    out.loss.backward()
    tensors = {**batch, "logits": without_padding(out.logits, mask), "loss": out.loss,
               **{f"grad.{in_file(key)}": p.grad.clone() for key, p in trained(model).items()}}
    merged = PeftModel.from_pretrained(load(root, DECODER), path).merge_and_unload()
    with torch.no_grad():
        with model.disable_adapter():
            tensors["logits_adapter_off"] = without_padding(model(**batch).logits, mask)
        tensors["logits_merged"] = without_padding(merged(**batch).logits, mask)
    for key, weight in merged.named_parameters():
        if key.endswith(("layers.0.self_attn.q_proj.weight", "layers.1.mlp.down_proj.weight")):
            tensors[f"merged.{key}"] = weight
    scaling = next(module.scaling["default"] for module in model.modules() if hasattr(module, "lora_A"))
    training = five_steps(model, batch)
    tensors.update({f"after_training.{in_file(key)}": p for key, p in trained(model).items()})
    save_tensors(path / "golden.safetensors", tensors)
    save_json(path / "golden.json", dict(base=DECODER, scaling=scaling, loss=out.loss.item(), training=training))


def importances(allocator):
    """What the allocator ranks triplets by, from its own functions."""
    out = {}
    for module in allocator.name_set:
        e, a, b = (allocator._element_score(module % part) for part in ("lora_E", "lora_A", "lora_B"))
        out[module % "lora_E"] = allocator._combine_ipt(e, torch.cat([a.mean(1, keepdim=True), b.mean(0).view(-1, 1)], 1))
    return out


def adalora(root):
    settings = dict(init_r=6, target_r=3, tinit=2, tfinal=2, deltaT=1, total_step=10, lora_alpha=8, orth_reg_weight=0.5,
                    beta1=0.85, beta2=0.85, target_modules=["q", "v", "wo"])
    path, batch, rate = fresh_folder(root / "peft" / "adalora-t5-flan"), t5_batch(), 2e-3
    model = get_peft_model(load(root, ENCODER_DECODER),
                           AdaLoraConfig(task_type="SEQ_2_SEQ_LM", lora_dropout=0.0, **settings)).eval()
    randomize_adapter(model, "adalora", scale=0.3)
    save_adapter(model, path / "initial", "../../../" + ENCODER_DECODER)
    inner = model.base_model
    allocator = inner.rankallocator
    optimizer, tensors, steps, seen = adamw(model, rate), dict(batch), [], {}
    prune = allocator.mask_to_budget

    def observed(target, budget):
        seen.update(budget=budget, scores=importances(allocator))
        return prune(target, budget)

    allocator.mask_to_budget = observed
    for step in range(settings["total_step"]):
        with torch.no_grad():
            task = inner.model(**batch).loss.item()
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            tensors.update({f"step0.grad.{in_file(key)}": p.grad.clone() for key, p in trained(model).items()})
        optimizer.step()
        seen.clear()
        inner.update_and_allocate(step)
        row = dict(step=step, task_loss=task, total_loss=loss.item(), orth_term=loss.item() - task,
                   scheduled_budget=allocator.budget_schedule(step)[0])
        if seen:
            ordered = torch.cat(list(seen["scores"].values())).flatten().sort().values
            cut = allocator.init_bgt - seen["budget"]
            row.update(budget=seen["budget"], gap_around_threshold=float(ordered[cut] / ordered[cut - 1]),
                       kept={in_file(key): v for key, v in model.peft_config["default"].rank_pattern.items()})
            tensors.update({f"step{step}.importance.{in_file(key)}": v for key, v in seen["scores"].items()})
        tensors.update({f"step{step}.{in_file(key)}": p.clone() for key, p in trained(model).items() if "lora_E" in key})
        steps.append(row)
    assert all(row.get("gap_around_threshold", 2) > 1.001 for row in steps), "a cut that rounding could move"
    finish_adalora(root, path, model, batch, tensors)
    save_json(path / "golden.json", dict(
        base=ENCODER_DECODER, config=settings, optimizer=dict(name="AdamW", lr=rate, weight_decay=0.01), steps=steps,
        order="forward, backward, optimizer.step, update_and_allocate(step) from step 0, zero_grad",
        scaling="lora_alpha / (init_r + 1e-5), also after pruning"))


def finish_adalora(root, path, model, batch, tensors):
    mask = (batch["labels"] != IGNORED).long()
    with torch.no_grad():
        tensors["final.logits"] = without_padding(model.base_model.model(**batch).logits, mask)
    tensors.update({f"final.{in_file(key)}": p for key, p in trained(model).items()})
    save_adapter(model, path / "final", "../../../" + ENCODER_DECODER)
    merged = PeftModel.from_pretrained(load(root, ENCODER_DECODER), path / "final").eval().merge_and_unload()
    with torch.no_grad():
        tensors["final.logits_merged"] = without_padding(merged(**batch).logits, mask)
    save_tensors(path / "golden.safetensors", tensors)


def prompts(root):
    for name, base, batch, task, options in (
            ("prompt-qwen2", DECODER, decoder_batch(), "CAUSAL_LM", {}),
            ("prompt-t5-flan", ENCODER_DECODER, t5_batch(), "SEQ_2_SEQ_LM", {"num_transformer_submodules": 1}),
            ("prompt-t5-flan-two", ENCODER_DECODER, t5_batch(), "SEQ_2_SEQ_LM", {})):
        path = fresh_folder(root / "peft" / name)
        model = get_peft_model(load(root, base), PromptTuningConfig(
            task_type=task, num_virtual_tokens=5, prompt_tuning_init="RANDOM", **options)).eval()
        randomize_adapter(model, "prompt", scale=0.7)
        save_adapter(model, path, "../../" + base)
        out = model(**batch)
        out.loss.backward()
        (prompt,) = trained(model).values()
        mask = batch["attention_mask"] if task == "CAUSAL_LM" else (batch["labels"] != IGNORED).long()
        front = out.logits.shape[1] - mask.shape[1]  # a decoder also gives logits for its virtual tokens
        mask = torch.cat([torch.ones(mask.shape[0], front, dtype=mask.dtype), mask], 1)
        save_tensors(path / "golden.safetensors", {**batch, "logits": without_padding(out.logits, mask),
                                                   "loss": out.loss, "grad.prompt_embeddings": prompt.grad})
        save_json(path / "golden.json", dict(base=base, loss=out.loss.item(), prompt_rows=prompt.shape[0]))


def neftune(root):
    """embedding + u alpha / sqrt(L d), u ~ U(-1, 1): L of the padded batch (Transformers) or of each row (the paper's code)."""
    path, batch, alpha = fresh_folder(root / "peft" / "neftune"), decoder_batch(), 5.0
    table = load(root, DECODER).get_input_embeddings().train()
    table.neftune_noise_alpha = alpha
    clean = table(batch["input_ids"])
    torch.manual_seed(3)
    library = neftune_post_forward_hook(table, None, clean)
    torch.manual_seed(3)
    unit = torch.zeros_like(clean).uniform_(-1, 1)
    padded = clean + unit * alpha / (clean.shape[1] * clean.shape[2]) ** 0.5
    assert (padded - library).abs().max() < 1e-5
    mask = batch["attention_mask"]
    sizes = alpha / (mask.sum(1) * clean.shape[2]).float().sqrt()
    save_tensors(path / "golden.safetensors", dict(
        input_ids=batch["input_ids"], attention_mask=mask, embeddings=clean, unit_noise=unit, output_transformers=padded,
        output_per_row_length=clean + unit * mask.unsqueeze(-1) * sizes.view(-1, 1, 1)))
    save_json(path / "golden.json", dict(base=DECODER, alpha=alpha))


def make(root):
    lora(root, "lora-qv", target_modules=["q_proj", "v_proj"])
    lora(root, "lora-all-linear", target_modules="all-linear")
    lora(root, "lora-all-linear-rslora", target_modules="all-linear", use_rslora=True)
    adalora(root)
    prompts(root)
    neftune(root)
