# SPDX-License-Identifier: Apache-2.0
"""torch.distributed.checkpoint reads a folder of ours: into a state dict made of its own metadata, and through dcp_to_torch_save. Prints,
as JSON, both results as {key: {dtype, shape, bytes}}; exits 77 without PyTorch."""
import json
import sys
import tempfile

try:
    import torch
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
except ImportError:
    sys.exit(77)


def flat(value, path=()):
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, path + (key,)).items()}
    return {".".join(path): value}


def rows(state):
    out = {}
    for key, value in flat(state).items():
        if isinstance(value, torch.Tensor):
            plain = value.detach().contiguous().view(-1)
            data = bytes(plain.view(torch.uint8).tolist()) if plain.numel() else b""
            out[key] = {"dtype": str(value.dtype), "shape": list(value.shape), "bytes": data.hex()}
        else:
            out[key] = value
    return out


folder = sys.argv[1]
metadata = dcp.FileSystemReader(folder).read_metadata()
state = {}
for key, entry in metadata.state_dict_metadata.items():
    tensor = hasattr(entry, "size")
    value = torch.zeros(entry.size, dtype=entry.properties.dtype) if tensor else None
    inner = state
    for part in metadata.planner_data[key][:-1]:
        inner = inner.setdefault(part, {})
    inner[metadata.planner_data[key][-1]] = value
dcp.load(state, checkpoint_id=folder)
with tempfile.NamedTemporaryFile(suffix=".pt") as file:
    dcp_to_torch_save(folder, file.name)
    saved = torch.load(file.name, weights_only=True)
print(json.dumps({"load": rows(state), "save": rows(saved)}))
