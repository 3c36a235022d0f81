"""Overfitting the slow way: every half of the blocks, the trials ranked by their Sharpe ratios in it."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
from scipy.stats import rankdata


def sharpe(returns):
    """Mean over sample deviation; 0 for constant returns, which rank between gains and losses."""
    if np.ptp(returns) <= 1e-12 * np.abs(returns).max(initial=0.0):
        return 0.0
    return returns.mean() / returns.std(ddof=1)


def naive_cscv(returns, edges, risk_free=0.0):
    """Logits, in-sample and out-of-sample Sharpe ratios and choices, in the order of `itertools.combinations`."""
    parts = [returns[a:b] - risk_free for a, b in pairwise(edges)]
    n_trials = returns.shape[1]
    rows = []
    for half in combinations(range(len(parts)), len(parts) // 2):
        inside = np.concatenate([parts[k] for k in half])
        outside = np.concatenate([parts[k] for k in range(len(parts)) if k not in half])
        before = [sharpe(inside[:, j]) for j in range(n_trials)]
        after = [sharpe(outside[:, j]) for j in range(n_trials)]
        best = int(np.argmax(before))
        rank = rankdata(np.round(after, 12))[best]
        rows.append((math.log(rank / (n_trials + 1 - rank)), before[best], after[best], best))
    return [np.array(x) for x in zip(*rows, strict=True)]
