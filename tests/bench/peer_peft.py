#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times LoRA steps of a Hugging Face model in Strata and in transformers + peft, in turns, on the same machine, threads, text and shapes.

  strata convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2 --to hf
  tests/bench/peer_peft.py --strata build/program/launch/strata --model smollm2 --text big.txt [--rounds 3] > table.md

Adapters of rank 16 beside every linear layer, AdamW, gradient clipping. f32, and bf16 as each does it: the frozen weights and products in
bf16, adapters in f32 (peft's default). Strata's time is that of `strata train`, data and logging included; the peer gets ids that lie
ready in memory. Needs torch, transformers, peft."""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
SHAPES = [(4, 128), (2, 512)]
RANK, ALPHA = 16, 32


def strata_steps(a, folder, rows, seq, compute):
    out = f"{folder}/run-{time.monotonic_ns()}"
    subprocess.run([a.strata, "train", f"{folder}/tuned.toml", f"run.out={out}", f"run.threads={a.threads}", f"run.steps={a.steps + 2}",
                    f"data.seq_len={seq}", f"batch.micro_batch={rows}", f"batch.tokens_per_step={rows * seq}", f"precision.compute={compute}",
                    f"adapter.rank={RANK}", f"adapter.alpha={ALPHA}", "adapter.dropout=0", "eval.every=0", "data.valid_fraction=0", "schedule.warmup=0",
                    "checkpoint.every=1000000", "log.tensorboard=false", *a.set], check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in open(f"{out}/metrics.jsonl")]
    steps = [line["step_ms"] / 1e3 for line in lines if "step_ms" in line]
    return steps[2:], [line["loss"] for line in lines if "loss" in line][0]


class Peer:
    def __init__(self, a, compute):
        import peft, torch, transformers
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.torch = torch
        torch.set_num_threads(a.threads)
        base = transformers.AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.bfloat16 if compute == "bf16" else torch.float32)
        base.config.use_cache = False
        self.model = peft.get_peft_model(base, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"))
        self.model.train()
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=2e-4, betas=(0.9, 0.95), weight_decay=0)
        text = pathlib.Path(a.text).read_text(encoding="utf-8")[:2_000_000]
        self.ids = torch.tensor(transformers.AutoTokenizer.from_pretrained(a.model).encode(text, add_special_tokens=False))
        self.versions = f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"
        self.at = 0

    def steps(self, rows, seq, count):
        times, losses = [], []
        for _ in range(count + 2):
            ids = self.ids[self.at : self.at + rows * seq].view(rows, seq)
            self.at = (self.at + rows * seq) % (len(self.ids) - rows * seq)
            begin = time.perf_counter()
            loss = self.model(input_ids=ids, labels=ids).loss
            loss.backward()
            self.torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            times.append(time.perf_counter() - begin)
            losses.append(loss.item())
        return times[2:], losses[0]


def foreign_seconds():
    """CPU seconds of everybody so far, and ours (with children that ended)."""
    busy = sum(int(x) for x in open("/proc/stat").readline().split()[1:4]) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--strata", required=True)
    arguments.add_argument("--model", required=True, help="a folder of Hugging Face")
    arguments.add_argument("--text", required=True)
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--shapes", type=int, default=len(SHAPES), help="only the first so many")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=3, help="timed ones of a round, after two")
    arguments.add_argument("--compute", choices=["f32", "bf16"], nargs="+", default=["f32", "bf16"])
    arguments.add_argument("--set", action="append", default=[], help="KEY=VALUE for strata train")
    a = arguments.parse_args()
    a.model, a.text, a.strata = (os.path.abspath(path) for path in (a.model, a.text, a.strata))
    shapes = SHAPES[: a.shapes]
    rows_out, began, foreign = [], time.perf_counter(), foreign_seconds()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([a.strata, "init", "--from", a.model, "--data", a.text, "--lora", "-o", f"{folder}/tuned.toml"], check=True,
                       stdout=subprocess.DEVNULL)
        for compute in a.compute:
            peer, times = Peer(a, compute), {}
            for _ in range(a.rounds):
                for shape in shapes:
                    for name, (steps, loss) in (("Strata", strata_steps(a, folder, *shape, "fp32" if compute == "f32" else "bf16")),
                                                ("peft", peer.steps(*shape, a.steps))):
                        times.setdefault((shape, name), []).extend(steps)
            for shape in shapes:
                ours, theirs = times[(shape, "Strata")], times[(shape, "peft")]
                tokens = shape[0] * shape[1]
                speed = lambda t: f"{tokens / statistics.median(t):.0f} ({tokens / min(t):.0f})"
                rows_out.append(f"| {compute} | {shape[0]} x {shape[1]} | {speed(ours)} | {speed(theirs)} | "
                                f"{statistics.median(theirs) / statistics.median(ours):.2f} ({min(theirs) / min(ours):.2f}) |")
            versions = peer.versions
            del peer
    seconds = time.perf_counter() - began
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    print(f"{pathlib.Path(a.model).name}, LoRA of rank {RANK} beside every linear layer; {cpu}, {a.threads} threads, {datetime.date.today()}, "
          f"{versions}; foreign load {(foreign_seconds() - foreign) / seconds:.2f} cores in the mean\n")
    print(f"    {' '.join(sys.argv)}\n")
    print("tokens/s, of the median step (of the best)\n")
    print("| compute | rows x tokens | Strata | transformers + peft | Strata's speed over it |\n| --- | --- | --: | --: | --: |")
    print("\n".join(rows_out))


main()
