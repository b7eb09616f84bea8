"""Twenty steps of every optimiser on given gradients, learning-rate schedules, clipping by the global norm."""
import torch
from transformers import optimization as schedules

from golden.common import fresh_folder, save_json, stream

STEPS = 20


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2, with decoupled weight decay; torch has none."""

    def __init__(self, parameters, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(parameters, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            first, second = group["betas"]
            for p in group["params"]:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                direction = torch.sign(first * momentum + (1 - first) * p.grad)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(direction, alpha=group["lr"])
                momentum.mul_(second).add_(p.grad, alpha=1 - second)


def walk(start, gradients, make, schedule=None):
    p = torch.nn.Parameter(start.clone())
    optimizer = make([p])
    rate, path = schedule(optimizer) if schedule else None, []
    for gradient in gradients:
        p.grad = gradient.clone()
        optimizer.step()
        if rate:
            rate.step()
        path.append(p.detach().clone())
    return dict(parameters_after_each_step=path)


def paths():
    random = stream("optim")
    start = torch.randn(6, generator=random)
    gradients = torch.randn(STEPS, 6, generator=random) * torch.tensor([1.0, 1e-3, 10.0, 1.0, 0.1, 1.0])
    gradients[:, 3] = 0  # only weight decay moves this one
    gradients[10:, 5] = 0
    adamw, adam, sgd = torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD
    makers = {
        "adamw_wd_0.01": lambda p: adamw(p, lr=1e-2, weight_decay=0.01),
        "adamw_no_wd_beta2_0.95": lambda p: adamw(p, lr=1e-2, betas=(0.9, 0.95), weight_decay=0),
        "adamw_eps_1e-3_wd_0.1": lambda p: adamw(p, lr=3e-3, eps=1e-3, weight_decay=0.1),
        "adam_l2_0.01": lambda p: adam(p, lr=1e-2, weight_decay=0.01),
        "sgd_momentum_0.9": lambda p: sgd(p, lr=1e-2, momentum=0.9, weight_decay=0.01),
        "adagrad_l2_0.01": lambda p: torch.optim.Adagrad(p, lr=1e-2, weight_decay=0.01, eps=1e-8),
        "lion_wd_0.1": lambda p: Lion(p, lr=1e-2, weight_decay=0.1),
        "lion_betas_0.95_0.98": lambda p: Lion(p, lr=1e-3, betas=(0.95, 0.98)),
    }
    runs = {name: walk(start, gradients, make) for name, make in makers.items()}
    runs["adamw_with_cosine_warmup_4"] = walk(
        start, gradients, makers["adamw_wd_0.01"],
        lambda optimizer: schedules.get_cosine_schedule_with_warmup(optimizer, 4, STEPS))
    return dict(start=start, gradients=gradients, runs=runs)


def factors():
    """The multiplier of the learning rate at steps 0 to 20."""
    makers = {
        "constant": schedules.get_constant_schedule,
        "constant_warmup_4": lambda o: schedules.get_constant_schedule_with_warmup(o, 4),
        "linear_warmup_4": lambda o: schedules.get_linear_schedule_with_warmup(o, 4, STEPS),
        "linear_no_warmup": lambda o: schedules.get_linear_schedule_with_warmup(o, 0, STEPS),
        "cosine_warmup_4": lambda o: schedules.get_cosine_schedule_with_warmup(o, 4, STEPS),
        "cosine_no_warmup": lambda o: schedules.get_cosine_schedule_with_warmup(o, 0, STEPS),
    }
    out = {}
    for name, make in makers.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = make(optimizer)
        out[name] = [schedule.get_last_lr()[0]]
        for _ in range(STEPS):
            optimizer.step()
            schedule.step()
            out[name].append(schedule.get_last_lr()[0])
    return out


def clipping():
    random = stream("clipping")
    gradients = [torch.randn(3, 2, generator=random), 4 * torch.randn(5, generator=random)]
    by_limit = {}
    for limit in (1.0, 100.0):
        parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
        for p, g in zip(parameters, gradients):
            p.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        by_limit[str(limit)] = dict(total_norm=norm.item(), clipped=[p.grad for p in parameters])
    return dict(gradients=gradients, by_limit=by_limit)


def make(root):
    save_json(fresh_folder(root / "optim") / "golden.json", dict(
        optimizers=paths(), schedules=dict(total_steps=STEPS, values=factors()), clip_grad_norm=clipping()))
