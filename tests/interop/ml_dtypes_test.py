# SPDX-License-Identifier: Apache-2.0
"""Casts floats to an 8-bit format with ml_dtypes and compares with the codes that Strata gave.

    ml_dtypes_test.py e4m3|e5m2|ue8m0 < CHUNKS      exit 0: all equal

A chunk is a u32 count, that many f32 and that many codes, as the machine stores them. ml_dtypes does not saturate
(above the largest value it gives NaN or infinity) and Strata does: finite values and infinities are clamped first. NaNs
are compared as such. Of ue8m0 not compared are 0 and numbers below 2^-126, which ml_dtypes makes NaN and rounds by their
bits, and those that it rounds beyond 2^127. The caller is tests/core/format/ml_dtypes.
"""
import sys

import ml_dtypes
import numpy as np

TYPES = {"e4m3": (ml_dtypes.float8_e4m3fn, 448.0), "e5m2": (ml_dtypes.float8_e5m2, 57344.0),
         "ue8m0": (ml_dtypes.float8_e8m0fnu, None)}


def main():
    dtype, largest = TYPES[sys.argv[1]]
    seen = wrong = 0
    while head := sys.stdin.buffer.read(4):
        count = int(np.frombuffer(head, np.uint32)[0])
        values = np.frombuffer(sys.stdin.buffer.read(4 * count), np.float32)
        codes = np.frombuffer(sys.stdin.buffer.read(count), np.uint8)
        with np.errstate(all="ignore"):
            theirs = (values if largest is None else np.clip(values, -largest, largest)).astype(dtype)
            ours = codes.view(dtype)
            differ = theirs.view(np.uint8) != codes
            differ &= ~(np.isnan(theirs.astype(np.float32)) & np.isnan(ours.astype(np.float32)))
        if largest is None:
            ordinary = (values >= 2.0 ** -126) & (values < np.float32(1.5 * 2.0 ** 127))
            differ &= ordinary | (values < 0) | ~np.isfinite(values)
        for i in np.nonzero(differ)[0][:3]:
            print(f"{sys.argv[1]}: {values[i]!r} is {codes[i]}, by ml_dtypes {theirs.view(np.uint8)[i]}")
        seen += count
        wrong += int(differ.sum())
    print(f"{sys.argv[1]}: {seen} compared, {wrong} differ")
    sys.exit(0 if seen > 0 and wrong == 0 else 1)


main()
