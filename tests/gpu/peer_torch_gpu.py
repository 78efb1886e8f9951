#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rates of PyTorch on GPU 0 for what op_rates.cpp measures: bf16 products, causal attention forward and backward, a
copy. One JSON object on the last line; medians of seven rounds of three, on the GPU's clock."""
import json
import statistics

import torch
import torch.nn.functional as F


def seconds(work):
    work()
    times = []
    for _ in range(7):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(3):
            work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 3e3)
    return statistics.median(times)


def normal(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


rates = []
for m, n, k in [(4, 4, 4), (8, 8, 8), (8, 3, 1), (8, 50, 1)]:
    m, n, k = 1024 * m, 1024 * n, 1024 * k
    a, b = normal(m, k), normal(k, n)
    time = seconds(lambda: a @ b)
    rates.append({"what": "matmul bf16", "m": m, "n": n, "k": k, "ms": time * 1e3, "tflops": 2 * m * n * k / time / 1e12})
for tokens in (4096, 16384):
    for batch, heads, kv_heads, dim in ((1, 32, 8, 128), (4, 12, 12, 64)):
        length = tokens // batch
        q = normal(batch, heads, length, dim).requires_grad_()
        k, v = (normal(batch, kv_heads, length, dim).repeat_interleave(heads // kv_heads, 1).requires_grad_() for _ in range(2))
        dout = normal(batch, heads, length, dim)
        forward = seconds(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        backward = seconds(lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True))
        flops = 2 * batch * heads * dim * length * (length + 1)
        rates.append({"what": "attention bf16 causal", "tokens": tokens, "documents": batch, "heads": heads,
                      "kv_heads": kv_heads, "head_dim": dim, "forward_ms": forward * 1e3, "forward_tflops": flops / forward / 1e12,
                      "backward_ms": backward * 1e3, "backward_tflops": 2.5 * flops / backward / 1e12})
x = normal(1 << 28)
y = torch.empty_like(x)
time = seconds(lambda: y.copy_(x))
rates.append({"what": "copy bf16", "elements": 1 << 28, "ms": time * 1e3, "gb_per_s": 4 * (1 << 28) / time / 1e9})
print(json.dumps({"peer": "PyTorch " + torch.__version__, "cuda": torch.version.cuda, "gpu": torch.cuda.get_device_name(), "rates": rates}))
