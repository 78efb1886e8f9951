# SPDX-License-Identifier: Apache-2.0
"""Strata and transformers on the same weights and text: ids, logits, perplexity, the likeliest continuation.

    smollm2_compare.py STRATA INTEROP_LOGITS FOLDER TRAINED CHECKPOINT TEXT

The caller is smollm2_test.sh. transformers computes in double precision from the f32 of FOLDER, Strata in f32 from CHECKPOINT; TRAINED is
that as a folder, too."""
import json
import math
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import safetensors.torch
import torch
import transformers

SEQ_LEN = 128  # of the checkpoint's configuration


def main():
    strata, program, folder, trained, checkpoint, path = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    imported, saved = (safetensors.torch.load_file(f"{name}/model.safetensors") for name in (folder, trained))
    assert imported.keys() == saved.keys()
    worst = max((imported[name] - saved[name]).abs().max().item() for name in imported)
    print(f"weights: {len(imported)} tensors, changed by a run that should not by {worst:.1e}")
    assert worst < 1e-29
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[key], (key, report[key])
    model = model.double().eval()
    text = open(path, encoding="utf-8").read()
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text

    short = ids[:96]
    said = subprocess.run([program, checkpoint, *map(str, short)], stdout=subprocess.PIPE, check=True).stdout
    ours = torch.frombuffer(bytearray(said), dtype=torch.float32).reshape(len(short), -1).double()
    with torch.no_grad():
        theirs = model(torch.tensor([short])).logits[0]
    worst = (ours - theirs).abs().max().item()
    same = (ours.argmax(-1) == theirs.argmax(-1)).float().mean().item()
    print(f"logits: {tuple(ours.shape)}, largest {theirs.abs().max().item():.1f}, largest difference {worst:.2e}, likeliest equal {100 * same:.0f}%")
    with torch.no_grad():
        single = (model.float()(torch.tensor([short])).logits[0].double() - theirs).abs().max().item()
    model = model.double()  # its weights are f32 still
    print(f"        transformers in f32 differs from itself by {single:.2e}")
    assert worst < 1e-4 and same == 1

    said = json.loads(subprocess.run([strata, "eval", checkpoint, "--data", path, "--json"], stdout=subprocess.PIPE, check=True).stdout)
    # Samples of SEQ_LEN tokens, each followed by its target; the last, unfilled one is left out.
    total = count = 0
    for begin in range(0, len(ids) - SEQ_LEN, SEQ_LEN):
        row = torch.tensor(ids[begin : begin + SEQ_LEN + 1])
        with torch.no_grad():
            logits = model(row[None, :-1]).logits[0]
        total += torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum").item()
        count += SEQ_LEN
    loss = total / count
    print(f"loss: {said['loss']:.8f} and {loss:.8f}; perplexity {said['perplexity']:.6f} and {math.exp(loss):.6f}, {said['tokens']} tokens")
    assert said["tokens"] == count and abs(said["loss"] - loss) < 1e-5


main()
