# SPDX-License-Identifier: Apache-2.0
"""safetensors' own reader and writer against ours.

    safetensors_test.py read FILE   ->  {"name": {"dtype": "F32", "shape": [...], "bytes": hex}, ...}
    safetensors_test.py write FILE  <-  the same on standard input, dtypes as numpy has them

The caller is tests/checkpoint/adapters/interop_test.cpp."""
import json
import sys

import numpy
import safetensors
import safetensors.numpy


def main():
    action, path = sys.argv[1:]
    if action == "read":
        with open(path, "rb") as file:
            rows = safetensors.deserialize(file.read())
        json.dump({name: {"dtype": row["dtype"], "shape": row["shape"], "bytes": bytes(row["data"]).hex()} for name, row in rows}, sys.stdout)
    else:
        rows = json.load(sys.stdin)
        arrays = {name: numpy.frombuffer(bytes.fromhex(row["bytes"]), row["dtype"]).reshape(row["shape"]) for name, row in rows.items()}
        safetensors.numpy.save_file(arrays, path, {"from": "safetensors"})


main()
