# SPDX-License-Identifier: Apache-2.0
"""transformers loads a folder and says the logits of documents.

    transformers_test.py FOLDER  <-  [[token, ...], ...]   ->  [[[logit, ...] of each position], ...]

In double precision. The caller is tests/checkpoint/adapters/interop_test.cpp. Exit code 77: no transformers here."""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"  # a folder or nothing

try:
    import torch
    import transformers
except ImportError:
    sys.exit(77)


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model, report = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, output_loading_info=True)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[key], (key, report[key])
    model = model.double().eval()
    with torch.no_grad():
        logits = [model(torch.tensor([document])).logits[0].tolist() for document in json.load(sys.stdin)]
    json.dump(logits, sys.stdout)


main()
