#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/muon/muon.json: three steps of Muon in double precision, as its authors write it (github.com/KellerJordan/Muon:
lerped momentum, Nesterov, five Newton-Schulz steps, with Moonlight's 0.2 sqrt(max(rows, columns))), on inputs that
tests/optim/muon_test.cpp makes again by the same formulas. Where torch.optim.Muon is there, its steps, which are made in bfloat16,
are compared first."""
import json
import math
import pathlib

import torch

torch.set_default_dtype(torch.float64)
SHAPES = [(1, 1), (1, 7), (7, 1), (3, 5), (5, 3), (16, 16), (33, 20), (20, 64)]
HYPER = dict(lr=0.02, momentum=0.95, weight_decay=0.1)


def value(i):
    return ((i * 7919) % 2001 - 1000) / 500


def gradient(i, step):
    return math.sin(i * i * 0.375 + step * step) * (1 + i % 3)


def inputs(f, shape):
    rows, columns = shape
    return torch.tensor([f(i) for i in range(rows * columns)]).float().double().view(rows, columns)


def newton_schulz(g):
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def ours(shape, steps):
    w, buffer = inputs(value, shape), torch.zeros(shape)
    for step in range(1, steps + 1):
        g = inputs(lambda i: gradient(i, step), shape)
        buffer.lerp_(g, 1 - HYPER["momentum"])
        update = newton_schulz(g.lerp(buffer, HYPER["momentum"]))
        w = w * (1 - HYPER["lr"] * HYPER["weight_decay"]) - HYPER["lr"] * 0.2 * math.sqrt(max(shape)) * update
    return w, buffer


def theirs(shape, steps):
    w = inputs(value, shape).float().requires_grad_()
    optimizer = torch.optim.Muon([w], lr=HYPER["lr"], momentum=HYPER["momentum"], weight_decay=HYPER["weight_decay"],
                                 adjust_lr_fn="match_rms_adamw")
    for step in range(1, steps + 1):
        w.grad = inputs(lambda i: gradient(i, step), shape).float()
        optimizer.step()
    return w.detach().double()


cases = []
for shape in SHAPES:
    for steps in (1, 3):
        w, buffer = ours(shape, steps)
        if hasattr(torch.optim, "Muon"):
            away = (w - theirs(shape, steps)).norm() / (w - inputs(value, shape)).norm()
            assert away < 0.15, (shape, steps, away)
        cases.append(dict(shape=shape, steps=steps, value=w.flatten().tolist(), momentum=buffer.flatten().tolist()))
out = pathlib.Path(__file__).parent / "muon"
out.mkdir(exist_ok=True)
(out / "muon.json").write_text(json.dumps(dict(torch=torch.__version__, hyper=HYPER, cases=cases)) + "\n")
