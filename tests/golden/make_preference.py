#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Golden values of direct preference optimization: PyTorch, in double precision, on the weights and tokens of models/<name>.bin.
Writes preference/<name>.json and .bin (f32 gradients). Row 0 of the batch is a pair of responses of 4 and 7 tokens, row 1 one of
5 and 4 with 2 tokens of padding; some targets are left out, as a prompt's are."""
import json
import pathlib

import numpy
import torch
import torch.nn.functional as F
from make_models import ROWS, SEQ, forward

HERE = pathlib.Path(__file__).parent
BOUNDS = [[0, 4, 11], [0, 5, 9, 11]]
REFERENCE = [[-9.5, -20.25], [-13.0, -10.5]]
CASES = [dict(beta=0.1, smoothing=0.0), dict(beta=0.5, smoothing=0.1)]


def main():
    (HERE / "preference").mkdir(exist_ok=True)
    for name in ("llama", "gpt2"):
        golden = json.loads((HERE / "models" / f"{name}.json").read_text())
        values, at = numpy.fromfile(HERE / "models" / f"{name}.bin", "<f4"), 0
        w = {}
        for entry in golden["entries"]:
            count = int(numpy.prod(entry["shape"]))
            if entry["name"].startswith("weight:"):
                w[entry["name"][7:]] = torch.tensor(values[at:at + count].reshape(entry["shape"])).double().requires_grad_()
            at += count
        ids = torch.tensor(golden["ids"]).view(ROWS, SEQ)
        targets = torch.cat([ids[:, 1:], torch.full((ROWS, 1), -1)], dim=1)
        positions = torch.zeros(ROWS, SEQ, dtype=torch.long)
        mask = torch.zeros(ROWS, SEQ, SEQ, dtype=torch.bool)
        for r, bounds in enumerate(BOUNDS):
            for b, e in zip(bounds, bounds[1:]):
                positions[r, b:e] = torch.arange(e - b)
                mask[r, b:e, b:e] = torch.ones(e - b, e - b, dtype=torch.bool).tril()
                targets[r, e - 1] = -1
                targets[r, b] = -1  # of the prompt
            targets[r, bounds[2]:] = -1
        blob, results = [], []
        for case in CASES:
            nll = F.cross_entropy(forward(golden["config"], w, ids, positions, mask).flatten(0, 1), targets.flatten(), ignore_index=-1,
                                  reduction="none").view(ROWS, SEQ)
            losses = []
            for r, bounds in enumerate(BOUNDS):
                chosen, rejected = (-nll[r, b:e].sum() for b, e in zip(bounds[:2], bounds[1:3]))
                h = case["beta"] * ((chosen - REFERENCE[r][0]) - (rejected - REFERENCE[r][1]))
                losses.append(-(1 - case["smoothing"]) * F.logsigmoid(h) - case["smoothing"] * F.logsigmoid(-h))
            loss = torch.stack(losses).mean()
            gradients = torch.autograd.grad(loss, list(w.values()), allow_unused=True)
            for tensor, gradient in zip(w.values(), gradients):
                gradient = torch.zeros_like(tensor) if gradient is None else gradient
                blob.append(gradient.float().contiguous().numpy().astype("<f4").tobytes())
            results.append(dict(case, loss=loss.item()))
        (HERE / "preference" / f"{name}.bin").write_bytes(b"".join(blob))
        (HERE / "preference" / f"{name}.json").write_text(json.dumps(dict(
            names=list(w), targets=targets.flatten().tolist(), positions=positions.flatten().tolist(), bounds=BOUNDS, reference=REFERENCE,
            cases=results, torch=torch.__version__)) + "\n")


main()
