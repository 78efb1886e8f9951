#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of torch.distributed.checkpoint: torch_dcp/*/, and beside each the same tensors' bytes as JSON. Run with PyTorch
(2.15 made what is committed); `ranks` is saved by four processes on the CPU, with sharded, replicated and unevenly cut tensors."""
import json
import os
import pathlib
import shutil

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

OUT = pathlib.Path(__file__).parent / "torch_dcp"


def rows_of(tensors):
    rows = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().contiguous()
        rows[name] = {"shape": list(plain.shape), "bytes": bytes(plain.view(-1).view(torch.uint8).numpy() if plain.numel() else b"").hex()}
    return rows


def contents():
    generator = torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    model = {"a.weight": draw(7, 6), "b.weight": draw(5, 3).bfloat16(), "c.bias": draw(9), "d.grid": draw(8, 10), "e.cube": draw(3, 4, 5), "f": torch.tensor(4.5)}
    return model, {name: draw(*tensor.shape) for name, tensor in model.items() if name != "f"}


def single():
    model, moments = contents()
    state = {"model": model, "optim": {"state": {n: {"exp_avg": m, "exp_avg_sq": m * m} for n, m in moments.items()}, "param_groups": [{"lr": 0.25}]}, "step": 41}
    dcp.save(state, checkpoint_id=str(OUT / "single"), no_dist=True)
    flat = {f"model.{n}": t for n, t in model.items()}
    for n, m in moments.items():
        flat |= {f"optim.state.{n}.exp_avg": m, f"optim.state.{n}.exp_avg_sq": m * m}
    (OUT / "single.json").write_text(json.dumps(rows_of(flat)))


def rank(index):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29571", RANK=str(index), WORLD_SIZE="4")
    dist.init_process_group("gloo", rank=index, world_size=4)
    line, grid = init_device_mesh("cpu", (4,)), init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    model, _ = contents()
    cut = {"a.weight": (line, [Shard(0)]), "b.weight": (line, [Shard(1)]), "c.bias": (line, [Replicate()]), "d.grid": (grid, [Shard(0), Shard(1)]),
           "e.cube": (grid, [Replicate(), Shard(2)])}
    state = {n: distribute_tensor(t, *cut[n]) if n in cut else t for n, t in model.items()}
    dcp.save({"model": state, "step": 41}, checkpoint_id=str(OUT / "ranks"))
    dist.destroy_process_group()


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    single()
    mp.spawn(rank, nprocs=4)
    (OUT / "ranks.json").write_text(json.dumps(rows_of({f"model.{n}": t for n, t in contents()[0].items()})))
