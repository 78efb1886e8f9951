#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the .bin/.idx pairs beside this file, from the description of Megatron's format and nothing else: the
reader and the writer of core/data are compared with these bytes. Run it again only to add a pair."""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
CODES = {"u8": (1, "B"), "i32": (4, "i"), "u16": (8, "H")}


def write(name, element, documents):
    """documents: a list of documents, each a list of sequences, each a list of tokens."""
    code, letter = CODES[element]
    sequences = [sequence for document in documents for sequence in document]
    item = struct.calcsize(letter)
    pointers, at = [], 0
    for sequence in sequences:
        pointers.append(at)
        at += item * len(sequence)
    indices = [0]
    for document in documents:
        indices.append(indices[-1] + len(document))
    idx = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(sequences), len(indices))
    idx += struct.pack("<%di" % len(sequences), *map(len, sequences))
    idx += struct.pack("<%dq" % len(pointers), *pointers)
    idx += struct.pack("<%dq" % len(indices), *indices)
    (HERE / (name + ".idx")).write_bytes(idx)
    (HERE / (name + ".bin")).write_bytes(
        b"".join(struct.pack("<%d%s" % (len(s), letter), *s) for s in sequences))


write("u8", "u8", [[[0, 1, 127]], [[128, 255]]])
write("u16", "u16", [[[1, 2, 3, 65535]], [[256]], [[7, 8], [9, 10, 11]]])
write("i32", "i32", [[[100000, 2147483647, 0]], [[65536, 5]]])
