#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times training steps of GPT-2 124M in PyTorch and in Strata in turns, on the same machine and number of threads.

  tests/bench/peer_torch.py --strata build/program/launch/strata [--python PYTHON]... [--compute f32] [--rounds 3] > table.md

Every PYTHON has a PyTorch of its own. bf16 autocast or plain f32, AdamW, the same shapes: B=4 T=64 and B=4 T=256. In each round each
program runs a few steps; medians and bests over all rounds are printed as a table."""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys

SHAPES = [(4, 64), (4, 256)]

# Runs inside each peer: reads "ROWS SEQ STEPS" lines, answers with the seconds of each step.
PEER = r'''
import sys, time, torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(int(sys.argv[1]))
D, H, L, V = 768, 12, 12, 50257
class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
    def forward(self, x, mask):
        b, t, _ = x.shape
        q, k, v = (y.view(b, t, H, D // H).transpose(1, 2) for y in self.qkv(self.n1(x)).chunk(3, -1))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            s = (q @ k.transpose(-2, -1)) * (D // H) ** -0.5
            y = s.masked_fill(mask[:t, :t], float("-inf")).softmax(-1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(b, t, D))
        return x + self.down(F.gelu(self.up(self.n2(x)), approximate="tanh"))
class GPT2(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok, self.pos = nn.Embedding(V, D), nn.Embedding(1024, D)
        self.layers = nn.ModuleList(Layer() for _ in range(L))
        self.norm = nn.LayerNorm(D)
        self.register_buffer("mask", torch.ones(1024, 1024).triu(1).bool())
    def forward(self, ids):
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1]))
        for layer in self.layers: x = layer(x, self.mask)
        return self.norm(x) @ self.tok.weight.t()
torch.manual_seed(1)
model = GPT2()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
def step(rows, seq):
    ids, target = torch.randint(0, V, (rows, seq)), torch.randint(0, V, (rows, seq))
    begin = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=sys.argv[2] == "bf16"):
        logits = model(ids)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), target.flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return time.perf_counter() - begin
step(4, 64), step(4, 64)
print(torch.__version__, flush=True)
for line in sys.stdin:
    rows, seq, steps = map(int, line.split())
    print(" ".join(str(step(rows, seq)) for _ in range(steps)), flush=True)
'''


class Peer:
    def __init__(self, python, threads, compute):
        environment = dict(os.environ, OMP_WAIT_POLICY="passive")
        self.process = subprocess.Popen([python, "-c", PEER, str(threads), compute], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment)
        self.name = "PyTorch " + self.process.stdout.readline().strip()

    def seconds(self, rows, seq, steps):
        self.process.stdin.write(f"{rows} {seq} {steps}\n")
        self.process.stdin.flush()
        return [float(x) for x in self.process.stdout.readline().split()]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--strata", required=True)
    arguments.add_argument("--python", action="append", default=[])
    arguments.add_argument("--compute", choices=["bf16", "f32"], default="bf16")
    arguments.add_argument("--shapes", type=int, default=len(SHAPES), help="only the first so many")
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=3)
    a = arguments.parse_args()
    peers = [Peer(python, a.threads, a.compute) for python in a.python or ["/usr/bin/python3"]]
    shapes = SHAPES[:a.shapes]
    times = {}  # (peer, shape) -> seconds of every step
    ours = {}   # shape -> (medians, bests) of the rounds, as `strata bench step` gives them
    foreign = []
    for _ in range(a.rounds):
        for rows, seq in shapes:
            for peer in peers:
                times.setdefault((peer.name, (rows, seq)), []).extend(peer.seconds(rows, seq, a.steps))
            out = subprocess.run([a.strata, "bench", "step", "--json", "--threads", str(a.threads), "--rows", str(rows),
                                  "--seq-len", str(seq), "--steps", str(a.steps), "--compute", a.compute,
                                  "--state", "split" if a.compute == "bf16" else "fp32"],
                                 check=True, capture_output=True, text=True).stdout
            bench = json.loads(out)
            foreign.append(bench["foreign_cores"])
            medians, bests = ours.setdefault((rows, seq), ([], []))
            medians.append(bench["step_ms"] / 1e3)
            bests.append(bench["best_ms"] / 1e3)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    print(f"GPT-2 124M training step, {a.compute}, {cpu or platform.processor()}, {a.threads} threads, "
          f"{datetime.date.today()}, foreign load while Strata ran {max(foreign):.2f} cores at most")
    print(f"\n    {' '.join(sys.argv)}\n")
    print("| shape | program | median ms | best ms | tokens/s | Strata's speed over it, median (best) |")
    print("| --- | --- | --: | --: | --: | --: |")
    for rows, seq in shapes:
        our_median, our_best = statistics.median(ours[(rows, seq)][0]), min(ours[(rows, seq)][1])
        lines = [("Strata", our_median, our_best)]
        for peer in peers:
            t = times[(peer.name, (rows, seq))]
            lines.append((peer.name, statistics.median(t), min(t)))
        for name, median, best in lines:
            ratio = "" if name == "Strata" else f"{median / our_median:.2f} ({best / our_best:.2f})"
            print(f"| B={rows} T={seq} | {name} | {1e3 * median:.0f} | {1e3 * best:.0f} | {rows * seq / median:.0f} | {ratio} |")


main()
