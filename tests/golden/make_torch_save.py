#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What torch.save writes: torch_save/*.pt, and beside each the same tensors' bytes as JSON. Run with PyTorch
(2.15 made what is committed)."""
import argparse
import collections
import json
import pathlib

import torch

OUT = pathlib.Path(__file__).parent / "torch_save"


def main():
    OUT.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(5)
    big = torch.randn(6, 8, generator=generator)
    state = collections.OrderedDict(
        whole=big, rows=big[2:5], columns=big[:, 3:5], turned=big.t(), step=big[::2, ::3], scalar=torch.tensor(7),
        empty=torch.empty(0, 3), spread=torch.ones(1, 4).expand(3, 4), bf16=big.bfloat16(), f16=big.half(), f64=big.double(),
        mask=big > 0, bytes=torch.arange(11, dtype=torch.uint8), f8=big.to(torch.float8_e4m3fn), u16=torch.tensor([0, 1, 65535], dtype=torch.uint16),
        parameter=torch.nn.Parameter(big[0].clone()))
    saved = {"model": state, "list": [torch.arange(3), {"deep": torch.arange(4, dtype=torch.int32)}],
             "args": argparse.Namespace(lr=0.5, name="x", sizes=[1, 2]), "iteration": 1234, "huge": 1 << 100, "none": None,
             "optimizer": {"param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95), "params": [0, 1]}]}, 3: "integer key"}
    torch.save(saved, OUT / "kinds.pt")
    tensors = {f"model.{k}": v for k, v in state.items()} | {"list.0": torch.arange(3), "list.1.deep": torch.arange(4, dtype=torch.int32)}
    rows = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().contiguous()
        rows[name] = {"shape": list(plain.shape), "dtype": str(plain.dtype), "bytes": bytes(plain.view(-1).view(torch.uint8).numpy() if plain.numel() else b"").hex()}
    (OUT / "kinds.json").write_text(json.dumps(rows))


main()
