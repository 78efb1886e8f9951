#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/adamw/adamw.json: what torch.optim.AdamW and torch.nn.utils.clip_grad_norm_ make of inputs that
tests/optim/adamw_golden_test.cpp makes again by the same formulas. Needs Debian's python3-torch.

    /usr/bin/python3 tests/golden/make_adamw.py
"""
import json
import pathlib

import torch

COUNT = 37
KEPT_STEPS = (1, 2, 3, 200)
CASES = [
    dict(name="torch defaults", lr=2.0**-10, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01),
    dict(name="ours", lr=2.0**-11, betas=[0.9, 0.95], eps=1e-8, weight_decay=0.1),
    dict(name="large eps", lr=2.0**-7, betas=[0.8, 0.9], eps=1e-4, weight_decay=0.0),
]


def value(i):
    return ((i * 7919) % 2001 - 1000) / 500


def gradient(i, step):
    """Over six orders of magnitude, with signs that change; a few elements never get any."""
    if i % 12 == 11:
        return 0.0
    return ((i * 7919 + step * 104729) % 2003 - 1001) / 1001 * 10.0 ** (i % 6 - 4)


def tensor(f, dtype):
    # Inputs are singles in both precisions.
    return torch.tensor([f(i) for i in range(COUNT)], dtype=torch.float64).to(torch.float32).to(dtype)


def run(case, dtype):
    w = tensor(value, dtype).requires_grad_()
    optimizer = torch.optim.AdamW([w], lr=case["lr"], betas=case["betas"], eps=case["eps"],
                                  weight_decay=case["weight_decay"])
    kept = {}
    for step in range(1, max(KEPT_STEPS) + 1):
        w.grad = tensor(lambda i: gradient(i, step), dtype)
        optimizer.step()
        if step in KEPT_STEPS:
            state = optimizer.state[w]
            kept[str(step)] = dict(value=w.tolist(), moment1=state["exp_avg"].tolist(),
                                   moment2=state["exp_avg_sq"].tolist())
    return kept


def clip(max_norm):
    w = tensor(value, torch.float32).requires_grad_()
    w.grad = tensor(lambda i: gradient(i, 1), torch.float32)
    norm = torch.nn.utils.clip_grad_norm_([w], max_norm)
    return dict(max_norm=max_norm, norm=norm.item(), clipped=w.grad.tolist())


golden = dict(torch=torch.__version__, count=COUNT,
              cases=[dict(case, single=run(case, torch.float32), double=run(case, torch.float64)) for case in CASES],
              clip=[clip(0.5), clip(1e6)])
out = pathlib.Path(__file__).parent / "adamw" / "adamw.json"
out.write_text(json.dumps(golden, separators=(",", ":")).replace('},', '},\n') + "\n")
