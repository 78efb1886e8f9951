# SPDX-License-Identifier: Apache-2.0
"""Reads a folder of event files with TensorBoard's own reader and prints the scalars as JSON.

    tensorboard_test.py FOLDER  ->  {"tag": [[step, wall_time, value], ...], ...}

The caller (tests/launch/metrics/event_file_interop_test.cpp) compares them with what Strata wrote. A value that is
not finite is printed as a string, which JSON can hold.
"""
import json
import math
import sys

from tensorboard.backend.event_processing import event_accumulator


def main():
    accumulator = event_accumulator.EventAccumulator(
        sys.argv[1], size_guidance={event_accumulator.SCALARS: 0})  # 0: keep every point
    accumulator.Reload()
    scalars = {}
    for tag in accumulator.Tags()["scalars"]:
        scalars[tag] = [[e.step, e.wall_time, e.value if math.isfinite(e.value) else str(e.value)]
                        for e in accumulator.Scalars(tag)]
    json.dump(scalars, sys.stdout)


main()
