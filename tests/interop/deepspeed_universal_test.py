# SPDX-License-Identifier: Apache-2.0
"""DeepSpeed's engine loads a universal checkpoint of ours, on two processes on the CPU, at ZeRO stages 1, 2 and 3. Prints as JSON, by
stage and rank: fp32 parameters and moments as DeepSpeed's API gives them, and the steps, after one more. Exits 77 without DeepSpeed."""
import json
import os
import pathlib
import sys
import tempfile

os.environ["DS_ACCELERATOR"] = "cpu"
try:
    import torch
    import torch.multiprocessing as mp
    import deepspeed
except ImportError:
    sys.exit(77)

RANKS = 2


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.up = torch.nn.Linear(6, 7)
        self.down = torch.nn.Linear(7, 5, bias=False)

    def forward(self, x):
        return self.down(self.up(self.embed(x))).float().pow(2).mean()


def hexed(tensor):
    return bytes(tensor.detach().contiguous().float().view(-1).view(torch.uint8).tolist()).hex()


def rank(index, stage, folder, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(29620 + stage), RANK=str(index), LOCAL_RANK=str(index), WORLD_SIZE=str(RANKS))
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state
    deepspeed.init_distributed("gloo")
    torch.manual_seed(3)
    net = Net()
    train = list(net.parameters())
    groups = [{"params": [p for p in train if p.ndim > 1]}, {"params": [p for p in train if p.ndim < 2], "weight_decay": 0.0}]
    if stage == 3:  # it gives all groups one tensor as their step, which then counts once for each (0.19.8, its own checkpoints too)
        groups = train
    engine, *_ = deepspeed.initialize(model=net, optimizer=torch.optim.AdamW(groups, lr=1e-2), config={
        "train_micro_batch_size_per_gpu": 2, "bf16": {"enabled": True}, "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False, "checkpoint": {"load_universal": True}})
    engine.load_checkpoint(folder)
    said = {"global_steps": engine.global_steps, "tensors": {}}
    for name, parameter in engine.module.named_parameters():
        said["tensors"][f"{name} param"] = hexed(safe_get_full_fp32_param(parameter))
        for key, state in (("exp_avg", "m"), ("exp_avg_sq", "v")):
            said["tensors"][f"{name} {state}"] = hexed(safe_get_full_optimizer_state(parameter, key))
    engine.backward(engine(torch.arange(6).reshape(2, 3)))
    engine.step()
    inner = engine.optimizer.optimizer
    steps = {float(state["step"]) for state in inner.state.values() if "step" in state}
    assert len(steps) == 1, steps
    said["step"] = steps.pop()
    (pathlib.Path(out) / f"{stage}-{index}").write_text(json.dumps(said))


if __name__ == "__main__":
    answer = os.dup(1)  # what the libraries print is no JSON
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as out:
        for stage in (1, 2, 3):
            mp.spawn(rank, args=(stage, sys.argv[1], out), nprocs=RANKS)
        rows = [[json.loads((pathlib.Path(out) / f"{stage}-{index}").read_text()) for index in range(RANKS)] for stage in (1, 2, 3)]
    os.write(answer, json.dumps(rows).encode())
