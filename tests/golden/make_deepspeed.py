#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of DeepSpeed's ZeRO stages, saved by three processes on the CPU: deepspeed/zero<stage>/, their universal form beside
them, and as JSON what DeepSpeed's own converters
make of the parameters and moments. Run with deepspeed (0.19.8 and PyTorch 2.15 made what is
committed): DS_ACCELERATOR=cpu make_deepspeed.py"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import torch
import torch.multiprocessing as mp

OUT = pathlib.Path(__file__).parent / "deepspeed"
RANKS = 3


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.frozen = torch.nn.Linear(6, 6, bias=False)
        self.frozen.weight.requires_grad_(False)
        self.up = torch.nn.Linear(6, 7)
        self.norm = torch.nn.LayerNorm(7)
        self.down = torch.nn.Linear(7, 5, bias=False)
        self.gain = torch.nn.Parameter(torch.tensor([1.25]))
        self.register_buffer("table", torch.arange(4, dtype=torch.float32))

    def forward(self, x):
        return (self.down(self.norm(self.up(self.frozen(self.embed(x))))) * self.gain).float().pow(2).mean()


def rank(index, stage):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(29580 + stage), RANK=str(index), LOCAL_RANK=str(index), WORLD_SIZE=str(RANKS))
    import deepspeed
    deepspeed.init_distributed("gloo")
    torch.manual_seed(3)
    net = Net()
    train = [p for p in net.parameters() if p.requires_grad]
    groups = [{"params": [p for p in train if p.ndim > 1], "weight_decay": 0.1}, {"params": [p for p in train if p.ndim < 2], "weight_decay": 0.0}]
    engine, *_ = deepspeed.initialize(model=net, optimizer=torch.optim.AdamW(groups, lr=1e-2), config={
        "train_micro_batch_size_per_gpu": 2, "bf16": {"enabled": True}, "zero_optimization": {"stage": stage, "sub_group_size": 60},
        "zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False})
    for _ in range(2):
        loss = engine((torch.arange(6).reshape(2, 3) + 3 * index) % 11)
        engine.backward(loss)
        engine.step()
    engine.save_checkpoint(str(OUT / f"zero{stage}"), tag="global_step2")


def row(tensor):
    return {"shape": list(tensor.shape), "bytes": bytes(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy()).hex()}


def rows_of(stage):
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    rows = {f"{name} param": row(tensor) for name, tensor in get_fp32_state_dict_from_zero_checkpoint(str(OUT / f"zero{stage}"), "global_step2").items()}
    shapes = {name: parameter.shape for name, parameter in Net().named_parameters()}
    for folder in sorted((OUT / f"zero{stage}/global_step2_universal/zero").iterdir()):
        for state, file in (("m", "exp_avg.pt"), ("v", "exp_avg_sq.pt")) if (folder / "exp_avg.pt").exists() else ():
            saved = torch.load(folder / file, weights_only=False)
            rows[f"{folder.name} {state}"] = row((saved["param"] if isinstance(saved, dict) else saved).reshape(shapes[folder.name]))
    return rows


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for stage in (1, 2, 3):
        mp.spawn(rank, args=(stage,), nprocs=RANKS)
        for script in (OUT / f"zero{stage}").glob("*.py"):
            script.unlink()
        subprocess.run([sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder", str(OUT / f"zero{stage}/global_step2"),
                        "--output_folder", str(OUT / f"zero{stage}/global_step2_universal"), "--num_extract_workers", "1",
                        "--num_merge_workers", "1", "--inject_missing_state"], check=True)
        (OUT / f"zero{stage}.json").write_text(json.dumps(rows_of(stage)))
    shutil.rmtree(OUT / "zero2/global_step2_universal")  # like zero1's
    (OUT / "zero2/latest_universal").unlink()
