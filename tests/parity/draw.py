#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table and the picture of the study of loss parity, from its curves.

    tests/parity/draw.py collect OUT curves.csv    means of every 10 steps of the runs in OUT (run.sh made it)
    tests/parity/draw.py draw curves.csv parity.svg   prints the table, writes the picture
"""
import csv
import json
import math
import pathlib
import sys

EVERY = 10  # steps that a row of the curves is the mean of
WINDOW = 20  # rows that are smoothed over: 200 steps
SETTLED = 500  # steps from which gaps count: before, all losses fall fast
RECIPES = ["tensor-current", "tensor-delayed", "tensor-hybrid", "row", "block", "block-hybrid"]


def collect(out, target):
    runs = {}
    for folder in sorted(pathlib.Path(out).iterdir()):
        name = folder.name
        if not (folder / "metrics.jsonl").exists() or name.startswith("gradient"):
            continue
        losses, valid = {}, {}
        for line in (folder / "metrics.jsonl").open():
            row = json.loads(line)
            losses[row["step"]] = row["loss"]
            if "valid_loss" in row:
                valid[row["step"]] = row["valid_loss"]
        runs[name] = (losses, valid)
    last = max(max(losses) for losses, _ in runs.values())
    for name in [name for name, (losses, _) in runs.items() if last not in losses]:
        print(f"{name} is left out: it is at step {max(runs.pop(name)[0])} of {last}", file=sys.stderr)
    with open(target, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["step"] + list(runs) + ["valid " + name for name in runs])
        for step in range(EVERY, last + 1, EVERY):
            row = [step]
            for losses, _ in runs.values():
                part = [losses[s] for s in range(step - EVERY + 1, step + 1) if s in losses]
                row.append(f"{sum(part) / EVERY:.6f}" if len(part) == EVERY else "")
            row += [f"{valid[step]:.6f}" if step in valid else "" for _, valid in runs.values()]
            rows.writerow(row)


def read(path):
    with open(path) as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    return steps, {name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0] if name != "step"}


def smooth(values):
    """Mean of WINDOW rows up to each; None where one is missing."""
    out = []
    for i in range(len(values)):
        part = values[max(0, i - WINDOW + 1): i + 1]
        out.append(None if len(part) < WINDOW or None in part else sum(part) / WINDOW)
    return out


def gap(curves, name, other):
    """By how much the smoothed loss of a run is above that of another one, in percent of it."""
    return [None if a is None or b is None else 100 * (a / b - 1)
            for a, b in zip(smooth(curves[name]), smooth(curves[other]))]


def last(values):
    return next((v for v in reversed(values) if v is not None), math.nan)


def table(steps, curves):
    def line(name, base):
        gaps = [g for s, g in zip(steps, gap(curves, name, base)) if g is not None and s >= SETTLED]
        valid, valid_base = last(curves["valid " + name]), last(curves["valid " + base])
        return (f"| {name.rsplit('-', 1)[0]} | {name[-1]} | {last(smooth(curves[name])):.4f} | {gaps[-1]:+.2f}% | "
                f"{sum(gaps) / len(gaps):+.2f}% | {max(gaps, key=abs):+.2f}% | {valid:.4f} | "
                f"{100 * (valid / valid_base - 1):+.2f}% |")

    print("| run | seed | loss, last 200 steps | beside bf16 | on average | at most | validation | beside bf16 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for recipe in ["fp32"] + RECIPES:
        for seed in "123":
            if f"{recipe}-{seed}" in curves and f"bf16-{seed}" in curves:
                print(line(f"{recipe}-{seed}", "bf16-" + seed))
    print(f"Averages and extremes: of losses smoothed over 200 steps, from step {SETTLED} on.")


COLORS = ["#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7"]


def draw(steps, curves, target):
    width, left, right = 860, 62, 150
    plot = width - left - right
    x = lambda step: left + plot * step / steps[-1]
    parts = []

    def text(px, py, words, anchor="start", size=12, color="#333"):
        parts.append(f'<text x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}">{words}</text>')

    def line(points, color, stroke=1.5, dash=""):
        d = "M" + " L".join(f"{px:.1f} {py:.1f}" for px, py in points)
        parts.append(f'<path d="{d}" fill="none" stroke="{color}" stroke-width="{stroke}"{dash}/>')

    def panel(top, height, low, high, ticks, title, form):
        y = lambda v: top + height * (high - min(max(v, low), high)) / (high - low)
        text(left, top - 10, title, size=13, color="#111")
        for tick in ticks:
            line([(left, y(tick)), (left + plot, y(tick))], "#e4e4e4", 1)
            text(left - 8, y(tick) + 4, form(tick), "end", 11, "#666")
        for step in range(0, steps[-1] + 1, 500):
            text(x(step), top + height + 16, step, "middle", 11, "#666")
        return y

    y = panel(40, 200, 1.1, 2.5, [1.2, 1.6, 2.0, 2.4], "training loss in nats per byte, mean of 200 steps", lambda v: f"{v:.1f}")
    shown = [("bf16-1", "#111111"), ("fp32-1", "#888888")] + [(f"{r}-1", c) for r, c in zip(RECIPES, COLORS)]
    for name, color in shown:
        if name in curves:
            line([(x(s), y(v)) for s, v in zip(steps, smooth(curves[name])) if v is not None], color)

    top, height = 310, 240
    floor = [gap(curves, f"fp32-{seed}", f"bf16-{seed}") for seed in "123" if f"fp32-{seed}" in curves and f"bf16-{seed}" in curves]
    seeds = "one seed" if len(floor) == 1 else f"{['no', 'one', 'two', 'three'][len(floor)]} seeds"
    y = panel(top, height, -0.75, 0.75, [-0.5, -0.25, 0, 0.25, 0.5],
              f"the same beside bf16 of the same seed; grey: fp32 beside bf16, {seeds}", lambda v: f"{v:+.2f}%" if v else "0")
    band = []
    for i, step in enumerate(steps):
        values = [abs(f[i]) for f in floor if f[i] is not None]
        if values:
            band.append((step, max(values)))
    if band:
        points = [(x(s), y(v)) for s, v in band] + [(x(s), y(-v)) for s, v in reversed(band)]
        parts.append('<path d="M' + " L".join(f"{px:.1f} {py:.1f}" for px, py in points) + ' Z" fill="#d9d9d9"/>')
    for f in floor:
        line([(x(s), y(v)) for s, v in zip(steps, f) if v is not None], "#888888", 1)
    for bound in (-0.25, 0.25):
        line([(left, y(bound)), (left + plot, y(bound))], "#b00020", 1, ' stroke-dasharray="5 4"')
    for name, color in shown[2:]:
        if name in curves:
            line([(x(s), y(v)) for s, v in zip(steps, gap(curves, name, "bf16-1")) if v is not None], color)
    text(left + plot / 2, top + height + 34, "step", "middle", 12, "#666")
    for i, (name, color) in enumerate(shown):
        if name in curves:
            py = 60 + 20 * i
            line([(left + plot + 16, py - 4), (left + plot + 40, py - 4)], color, 2.5)
            text(left + plot + 46, py, name[:-2])
    height = top + height + 48
    pathlib.Path(target).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif">\n<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")


if len(sys.argv) == 4 and not pathlib.Path(sys.argv[2]).exists():
    sys.exit(f"draw.py: there is no {sys.argv[2]}: run.sh makes OUT, collect makes the curves")
if len(sys.argv) == 4 and sys.argv[1] == "collect":
    collect(sys.argv[2], sys.argv[3])
elif len(sys.argv) == 4 and sys.argv[1] == "draw":
    found = read(sys.argv[2])
    table(*found)
    draw(*found, sys.argv[3])
else:
    sys.exit(__doc__)
