"""Group advantages, policy losses, their gradients and clip shares from TRL's own GRPOTrainer._compute_loss."""
from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace

import torch
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import nanstd

from golden.common import fresh_folder, mask_of, save_json, stream

GROUP, WIDTH, LONGEST = 4, 7, 10
LENGTHS = [7, 5, 3, 7, 1, 6, 4, 7]
TRUNCATED = [True, False, False, False, False, False, False, True]
REWARDS = dict(mixed=[1.0, 0.25, -0.5, 2.0, 0.0, 0.7, 0.1, -1.3], one_group_equal=[0.5] * 4 + [0.0, 1.0, 0.0, 0.25],
               all_equal=[0.3] * 8, binary=[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0])


def advantages(rewards, scale):
    """(r - mean of the group) / (std + 1e-4), the std of the group, of the batch, or none; n - 1 in the std. TRL has this
    inline in _generate_and_score_completions."""
    groups = rewards.view(-1, GROUP)
    out = rewards - groups.mean(1).repeat_interleave(GROUP)
    std = nanstd(rewards).expand_as(rewards) if scale == "batch" else nanstd(groups, dim=1).repeat_interleave(GROUP)
    if scale != "none":
        out = out / (std + 1e-4)
    return out, torch.isclose(std, torch.zeros_like(std)).float().mean()


class Trainer(SimpleNamespace):
    """What _compute_loss reads of a trainer, on one process."""
    get_off_policy_mask = staticmethod(GRPOTrainer.get_off_policy_mask)
    get_gamma_weights = staticmethod(GRPOTrainer.get_gamma_weights)


def trainer(logprobs, entropies, options):
    return Trainer(
        _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, entropies, None), loss_type=options["loss_type"],
        beta=options.get("beta", 0.0), epsilon_low=options.get("eps_low", 0.2), epsilon_high=options.get("eps_high", 0.2),
        importance_sampling_level=options.get("level", "token"), max_completion_length=LONGEST, aux_loss_enabled=False,
        current_gradient_accumulation_steps=1, top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False,
        vllm_importance_sampling_correction=False, _entropy_bonus_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)), model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, autocast=nullcontext),
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05,
                             vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0,
                             steps_per_generation=1))


def plan(full):
    cut = full * torch.tensor([0 if t else 1 for t in TRUNCATED]).unsqueeze(1)
    for kind in ("grpo", "bnpo", "dr_grpo", "dapo"):
        for beta in (0.0, 0.04):
            for rewards in ("mixed", "one_group_equal"):
                yield rewards, "group", full, dict(loss_type=kind, beta=beta)
        yield "mixed", "none", full, dict(loss_type=kind)
        yield "mixed", "batch", full, dict(loss_type=kind)
        yield "mixed", "group", cut, dict(loss_type=kind, beta=0.04)
        yield "mixed", "group", full, dict(loss_type=kind, beta=0.04, use_old=False)
    yield "mixed", "group", full, dict(loss_type="grpo", eps_high=0.28)
    yield "mixed", "group", full, dict(loss_type="dapo", eps_high=0.28, beta=0.04)
    yield "mixed", "group", full, dict(loss_type="grpo", level="sequence")
    yield "mixed", "group", full, dict(loss_type="grpo", level="sequence", eps_low=3e-4, eps_high=4e-4)
    yield "all_equal", "group", full, dict(loss_type="grpo", beta=0.04)
    yield "all_equal", "group", full, dict(loss_type="grpo")
    yield "binary", "group", full, dict(loss_type="grpo")


def run(data, weights, mask, options):
    logprobs = data["per_token_logps"].clone().requires_grad_(True)
    ones = torch.ones(8, 2, dtype=torch.long)
    inputs = dict(prompt_ids=ones, prompt_mask=ones, completion_ids=torch.ones(8, WIDTH, dtype=torch.long),
                  completion_mask=mask, advantages=weights, ref_per_token_logps=data["ref_per_token_logps"],
                  num_items_in_batch=mask.sum())
    if options.get("use_old", True):
        inputs["old_per_token_logps"] = data["old_per_token_logps"]
    state = trainer(logprobs, data["entropies"], options)
    loss = GRPOTrainer._compute_loss(state, None, inputs)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return dict(loss=loss, grad_per_token_logps=gradient,
                metrics={key: values[-1] for key, values in state._metrics["train"].items()})


def inputs():
    """Log-probabilities whose ratios stay away from every edge of clipping."""
    edges = torch.tensor([0.8, 1.2, 1.28])
    for attempt in range(100):
        random = stream("grpo", attempt)
        new = -(0.1 + 3.5 * torch.rand(8, WIDTH, generator=random))
        old = new + 0.35 * torch.randn(8, WIDTH, generator=random)
        if ((new - old).exp().unsqueeze(-1) - edges).abs().min() > 1e-3:
            return dict(per_token_logps=new, old_per_token_logps=old,
                        ref_per_token_logps=new + 0.5 * torch.randn(8, WIDTH, generator=random),
                        entropies=3 * torch.rand(8, WIDTH, generator=random))
    raise AssertionError("no inputs away from the edges")


def make(root):
    data, cases = inputs(), []
    for rewards, scale, mask, options in plan(mask_of([[1] * n for n in LENGTHS])):
        weights, zero = advantages(torch.tensor(REWARDS[rewards]), scale)
        cases.append(dict(rewards=rewards, scale_rewards=scale, options=options, advantages=weights,
                          frac_reward_zero_std=zero, completion_mask=mask, **run(data, weights, mask, options)))
    save_json(fresh_folder(root / "grpo") / "golden.json", dict(
        source="TRL GRPOTrainer._compute_loss", group_size=GROUP, max_completion_length=LONGEST, inputs=data,
        rewards=REWARDS, cases=cases))
