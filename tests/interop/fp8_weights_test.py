# SPDX-License-Identifier: Apache-2.0
"""torch and weights of 8 bits with a factor for every 128x128 block.

    fp8_weights_test.py FOLDER  ->  {"ours": hex, "theirs": hex}: f32 elements

Decodes FOLDER/ours as DeepSeek-V3's weight_dequant does (inference/kernel.py), and writes FOLDER/theirs.safetensors by its formula.
The caller is tests/checkpoint/adapters/fp8_weights_test.cpp. Exit code 77: no torch or safetensors here."""
import json
import sys

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError:
    sys.exit(77)


def spread(factors, shape):
    return factors.repeat_interleave(128, 0).repeat_interleave(128, 1)[: shape[0], : shape[1]]


def decode(tensors):
    codes = tensors["w"]
    assert codes.dtype == torch.float8_e4m3fn
    return codes.to(torch.float32) * spread(tensors["w_scale_inv"].to(torch.float32), codes.shape)


def encode(weight):
    rows, columns = weight.shape
    padded = torch.zeros((rows + 127) // 128 * 128, (columns + 127) // 128 * 128)
    padded[:rows, :columns] = weight
    blocks = padded.view(padded.shape[0] // 128, 128, -1, 128)
    factors = blocks.abs().amax(dim=(1, 3)) / 448
    return {"w": (weight / spread(factors, weight.shape)).clamp(-448, 448).to(torch.float8_e4m3fn), "w_scale_inv": factors}


def hexadecimal(values):
    return bytes(values.contiguous().view(-1).view(torch.uint8).tolist()).hex()


def main():
    folder = sys.argv[1]
    torch.manual_seed(0)
    theirs = encode(torch.randn(200, 300))
    save_file(theirs, folder + "/theirs.safetensors")
    json.dump({"ours": hexadecimal(decode(load_file(folder + "/ours/model.safetensors"))), "theirs": hexadecimal(decode(theirs))}, sys.stdout)


main()
