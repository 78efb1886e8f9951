# SPDX-License-Identifier: Apache-2.0
"""GGUF files of ours read by llama.cpp's own Python package: every tensor, and its quantization of the f32 file against our Q8_0.

    gguf_test.py F32_FILE Q8_0_FILE  ->  {"tensors": n, "blocks": n, "differ": [...], "values": {...}}

The caller is tests/checkpoint/adapters/gguf_sink_test.cpp."""
import json
import sys

try:
    import gguf
    import numpy
except ImportError:
    sys.exit(77)


def main():
    plain, rounded = (gguf.GGUFReader(path) for path in sys.argv[1:])
    theirs = {tensor.name: tensor for tensor in plain.tensors}
    differ, blocks = [], 0
    for tensor in rounded.tensors:
        want = theirs.pop(tensor.name).data
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            want, blocks = gguf.quants.quantize(want, gguf.GGMLQuantizationType.Q8_0), blocks + 1
        elif tensor.tensor_type == gguf.GGMLQuantizationType.F16:
            want = want.astype(numpy.float16)
        if not numpy.array_equal(want.reshape(-1), tensor.data.reshape(-1)):
            differ.append(tensor.name)
    values = {}
    for name, field in rounded.fields.items():
        value = field.contents()
        values[name] = value if not isinstance(value, list) else len(value)
    json.dump({"tensors": len(rounded.tensors), "blocks": blocks, "differ": differ + list(theirs), "values": values}, sys.stdout)


main()
