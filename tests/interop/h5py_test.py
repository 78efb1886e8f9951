# SPDX-License-Identifier: Apache-2.0
"""Reads a checkpoint's view.h5 (and its shards) with h5py and prints what every dataset holds, as JSON.

    h5py_test.py FOLDER  ->  {"view.h5": {"param/embedding.weight": {"shape": [...], "dtype": "f4", "bytes": hex}, ...}, ...}

16-bit floats are printed as the bytes of float32 with every NaN replaced by zero; all else as it is stored. The caller
(tests/checkpoint/h5py_interop_test.cpp) compares with what was written.
"""
import json
import os
import sys

import h5py
import numpy


def describe(dataset):
    values = dataset[...]
    stored = dataset.id.get_type()
    if isinstance(stored, h5py.h5t.TypeFloatID) and stored.get_size() == 2:
        widened = numpy.zeros(dataset.shape, numpy.float32)
        dataset.read_direct(widened)
        values = numpy.where(numpy.isnan(widened), numpy.float32(0), widened)
    row = {"shape": list(dataset.shape), "dtype": values.dtype.str[1:], "bytes": values.tobytes().hex()}
    if "dtype" in dataset.attrs:
        label = dataset.attrs["dtype"]
        row["label"] = label.decode() if isinstance(label, bytes) else str(label)
    return row


def main():
    folder = sys.argv[1]
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".h5"):
            continue
        rows = found[name] = {}
        with h5py.File(os.path.join(folder, name), "r") as file:
            file.visititems(lambda path, item: rows.update({path: describe(item)}) if isinstance(item, h5py.Dataset) else None)
    json.dump(found, sys.stdout)


main()
