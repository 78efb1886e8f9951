#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Golden values for whole models: PyTorch computes, in double precision, the logits, the loss, every gradient and three
AdamW steps of small models written here with torch's own functions, independently of Strata. Run with Debian's
python3-torch; writes models/<name>.json and models/<name>.bin (f32, little-endian, in the order of the JSON).

The batch holds two rows; row 0 is two documents, so that packing is part of what is compared."""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
OUT = pathlib.Path(__file__).parent / "models"

ROWS, SEQ = 2, 11
SEGMENTS = [[0, 4, 11], [0, 11]]  # documents of each row
HYPER = dict(lr=1e-2, beta1=0.9, beta2=0.95, eps=1e-4, weight_decay=0.1, clip=1.0)

CASES = {
    "llama": dict(arch="llama", layers=2, hidden=16, heads=4, kv_heads=2, head_dim=4, ffn=24, vocab=37, max_positions=16,
                  norm_eps=1e-5, tied=False, qk_norm=False, qkv_bias=False, rope_theta=500000.0,
                  rope_scaling=dict(factor=8.0, low=1.0, high=4.0, original=8.0)),
    "qwen2": dict(arch="llama", layers=2, hidden=16, heads=4, kv_heads=1, head_dim=4, ffn=20, vocab=37, max_positions=16,
                  norm_eps=1e-6, tied=True, qk_norm=False, qkv_bias=True, rope_theta=10000.0, rope_scaling=None),
    "qwen3": dict(arch="llama", layers=2, hidden=16, heads=2, kv_heads=2, head_dim=12, ffn=24, vocab=41, max_positions=16,
                  norm_eps=1e-6, tied=True, qk_norm=True, qkv_bias=False, rope_theta=10000.0, rope_scaling=None),
    "gpt2": dict(arch="gpt2", layers=2, hidden=16, heads=2, kv_heads=2, head_dim=8, ffn=64, vocab=37, max_positions=16,
                 norm_eps=1e-5, tied=True, qk_norm=False, qkv_bias=False, rope_theta=10000.0, rope_scaling=None),
}


def shapes(c):
    """Logical tensors in Strata's names."""
    d, q, k, f = c["hidden"], c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"], c["ffn"]
    gpt2 = c["arch"] == "gpt2"
    s = {"embedding.weight": (c["vocab"], d)}
    if gpt2:
        s["position_embedding.weight"] = (c["max_positions"], d)

    def norm(name, n, bias=gpt2):
        s[name + ".weight"] = (n,)
        if bias:
            s[name + ".bias"] = (n,)

    def linear(name, n, m, bias=gpt2):
        s[name + ".weight"] = (n, m)
        if bias:
            s[name + ".bias"] = (n,)

    for i in range(c["layers"]):
        p = f"layers.{i}."
        norm(p + "attention_norm", d)
        for name, n in (("query", q), ("key", k), ("value", k)):
            linear(p + "attention." + name, n, d, gpt2 or c["qkv_bias"])
        if c["qk_norm"]:
            norm(p + "attention.query_norm", c["head_dim"], False)
            norm(p + "attention.key_norm", c["head_dim"], False)
        linear(p + "attention.output", d, q)
        norm(p + "mlp_norm", d)
        if not gpt2:
            linear(p + "mlp.gate", f, d)
        linear(p + "mlp.up", f, d)
        linear(p + "mlp.down", d, f)
    norm("final_norm", d)
    if not c["tied"]:
        s["head.weight"] = (c["vocab"], d)
    return s


def rms(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def frequencies(c):
    half = c["head_dim"] // 2
    freq = c["rope_theta"] ** (-torch.arange(half) * 2.0 / c["head_dim"])
    r = c["rope_scaling"]
    if r is None:
        return freq
    out = []
    for f in freq.tolist():
        wave = 2 * math.pi / f
        if wave < r["original"] / r["high"]:
            out.append(f)
        elif wave > r["original"] / r["low"]:
            out.append(f / r["factor"])
        else:
            s = (r["original"] / wave - r["low"]) / (r["high"] - r["low"])
            out.append((1 - s) * f / r["factor"] + s * f)
    return torch.tensor(out)


def rotate(x, positions, freq):  # x [rows, seq, heads, head_dim]
    angle = positions[:, :, None, None] * freq
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], dim=-1)


def forward(c, w, ids, positions, mask):
    gpt2 = c["arch"] == "gpt2"
    rows, seq = ids.shape

    def norm(name, x):
        if gpt2:
            return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], c["norm_eps"])
        return rms(x, w[name + ".weight"], c["norm_eps"])

    def linear(name, x):
        return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))

    x = w["embedding.weight"][ids]
    if gpt2:
        x = x + w["position_embedding.weight"][positions]
    for i in range(c["layers"]):
        p = f"layers.{i}."
        h = norm(p + "attention_norm", x)
        q = linear(p + "attention.query", h).view(rows, seq, c["heads"], -1)
        k = linear(p + "attention.key", h).view(rows, seq, c["kv_heads"], -1)
        v = linear(p + "attention.value", h).view(rows, seq, c["kv_heads"], -1)
        if c["qk_norm"]:
            q = rms(q, w[p + "attention.query_norm.weight"], c["norm_eps"])
            k = rms(k, w[p + "attention.key_norm.weight"], c["norm_eps"])
        if not gpt2:
            q, k = rotate(q, positions, frequencies(c)), rotate(k, positions, frequencies(c))
        group = c["heads"] // c["kv_heads"]
        k, v = k.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(c["head_dim"])
        scores = scores.masked_fill(~mask[:, None], float("-inf"))
        mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v).reshape(rows, seq, -1)
        x = x + linear(p + "attention.output", mixed)
        h = norm(p + "mlp_norm", x)
        if gpt2:
            a = F.gelu(linear(p + "mlp.up", h), approximate="tanh")
        else:
            a = F.silu(linear(p + "mlp.gate", h)) * linear(p + "mlp.up", h)
        x = x + linear(p + "mlp.down", a)
    x = norm("final_norm", x)
    return F.linear(x, w["embedding.weight"] if c["tied"] else w["head.weight"])


def main():
    OUT.mkdir(exist_ok=True)
    for name, c in CASES.items():
        g = torch.Generator().manual_seed(7)
        w = {}
        for key, shape in shapes(c).items():
            is_gain = key.endswith("norm.weight")
            # Round to f32: both sides start from the same numbers.
            w[key] = (torch.randn(shape, generator=g) * 0.2 + (1.0 if is_gain else 0.0)).float().double().requires_grad_()
        ids = torch.randint(0, c["vocab"], (ROWS, SEQ), generator=g)
        targets = torch.randint(0, c["vocab"], (ROWS, SEQ), generator=g)
        positions = torch.zeros(ROWS, SEQ, dtype=torch.long)
        mask = torch.zeros(ROWS, SEQ, SEQ, dtype=torch.bool)
        for r, bounds in enumerate(SEGMENTS):
            for b, e in zip(bounds, bounds[1:]):
                positions[r, b:e] = torch.arange(e - b)
                mask[r, b:e, b:e] = torch.ones(e - b, e - b, dtype=torch.bool).tril()
                if e < SEQ:
                    targets[r, e - 1] = -1  # the last token of a document has nothing to predict

        matrices = [t for k, t in w.items() if t.dim() == 2]
        vectors = [t for k, t in w.items() if t.dim() == 1]
        opt = torch.optim.AdamW([dict(params=matrices, weight_decay=HYPER["weight_decay"]),
                                 dict(params=vectors, weight_decay=0.0)],
                                lr=HYPER["lr"], betas=(HYPER["beta1"], HYPER["beta2"]), eps=HYPER["eps"])
        blob, entries = [], []

        def put(key, tensor):
            entries.append(dict(name=key, shape=list(tensor.shape)))
            blob.append(tensor.detach().float().contiguous().numpy().astype("<f4").tobytes())

        for key, t in w.items():
            put("weight:" + key, t)
        losses, norms = [], []
        for step in range(3):
            logits = forward(c, w, ids, positions, mask)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
            opt.zero_grad()
            loss.backward()
            if step == 0:
                put("logits", logits)
                for key, t in w.items():
                    put("grad:" + key, t.grad)
            norms.append(torch.nn.utils.clip_grad_norm_(list(w.values()), HYPER["clip"]).item())
            losses.append(loss.item())
            opt.step()
        for key, t in w.items():
            put("after:" + key, t)
        (OUT / f"{name}.bin").write_bytes(b"".join(blob))
        (OUT / f"{name}.json").write_text(json.dumps(dict(
            config=c, hyper=HYPER, rows=ROWS, seq_len=SEQ, segments=SEGMENTS, ids=ids.flatten().tolist(),
            targets=targets.flatten().tolist(), positions=positions.flatten().tolist(), losses=losses, norms=norms,
            entries=entries, torch=torch.__version__)) + "\n")


if __name__ == "__main__":
    main()
