"""Ranks and metrics with ties and masks, and the paired bootstrap, written out from their formulas in double."""
import math

import numpy as np

from golden.common import SEED, fresh_folder, save_json

DEPTHS = (1, 3, 5, 10, 20)
USERS, ITEMS = 8, 30


def at_rank(rank):
    out = {"mrr": 1 / rank}
    for k in DEPTHS:
        out[f"hr@{k}"] = float(rank <= k)
        out[f"ndcg@{k}"] = 1 / math.log2(rank + 1) if rank <= k else 0.0
    return out


def single_target(random):
    """One relevant item per user. A tied target has the middle of the ranks that the tied items take."""
    scores = np.round(2 * random.normal(size=(USERS, ITEMS))) / 2  # coarse: many ties
    scores[6] = 0.25
    scores[7] = random.permutation(ITEMS)
    allowed = random.random((USERS, ITEMS)) > 0.2
    allowed[:, 0] = False
    target = random.integers(1, ITEMS, size=USERS)
    target[0] = np.argmax(np.where(allowed[0], scores[0], -9))
    allowed[5, target[5]] = False  # a target of the history is ranked all the same
    users = []
    for user in range(USERS):
        own = scores[user, target[user]]
        others = [scores[user, i] for i in range(ITEMS) if allowed[user, i] and i != target[user]]
        rank = 1 + sum(s > own for s in others) + sum(s == own for s in others) / 2
        users.append(dict(ranks=dict(average=float(rank)), average=at_rank(float(rank))))
    return dict(scores=scores.tolist(), allowed=allowed.astype(int).tolist(), target=target.tolist(), per_user=users)


def paired_bootstrap(random, users=24, rounds=200):
    a = np.round(random.random(users), 3)
    b = np.round(np.clip(a - 0.08 + 0.25 * random.normal(size=users), 0, 1), 3)
    index = random.integers(0, users, size=(rounds, users))
    means = (a - b)[index].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return dict(a=a.tolist(), b=b.tolist(), index=index.tolist(), mean_difference=float((a - b).mean()),
                percentile_interval={"0.95": [float(low), float(high)]},
                p_two_sided=float(min(1.0, 2 * min((means <= 0).mean(), (means >= 0).mean()))))


def make(root):
    random = np.random.default_rng(SEED)
    save_json(fresh_folder(root / "metrics") / "golden.json", dict(
        single_target=single_target(random), paired_bootstrap=paired_bootstrap(random)))
