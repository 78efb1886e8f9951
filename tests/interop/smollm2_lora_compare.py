# SPDX-License-Identifier: Apache-2.0
"""Adapters of Strata in peft, and the merged model in transformers: the same logits. peft's own adapters are written for the way back.

    smollm2_lora_compare.py INTEROP_LOGITS BASE ADAPTERS MERGED RUN THEIRS BEFORE AFTER

The caller is smollm2_lora_test.sh. BEFORE and AFTER are the lines that say the validation loss of the model alone and with RUN's adapters.
The Python side computes in double precision from the same f32 weights."""
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import peft
import torch
import transformers


def logits_of(model, ids):
    with torch.no_grad():
        return model.double().eval()(torch.tensor([ids])).logits[0]


def main():
    program, base, adapters, merged, run, theirs, before, after = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    loss = [float(line.split()[2]) for line in (before, after)]
    print(f"validation loss {loss[0]:.4f} without, {loss[1]:.4f} with the adapters")
    assert loss[1] < 0.7 * loss[0]
    ids = transformers.AutoTokenizer.from_pretrained(base).encode("In Avel you find tea at the blue house. Where do I find bread in Tarn?")
    said = subprocess.run([program, run, *map(str, ids)], stdout=subprocess.PIPE, check=True).stdout
    ours = torch.frombuffer(bytearray(said), dtype=torch.float32).reshape(len(ids), -1).double()
    load = lambda path: transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    alone = logits_of(load(base), ids)
    with_peft = peft.PeftModel.from_pretrained(load(base), adapters)
    beside = logits_of(with_peft, ids)
    inside = logits_of(load(merged), ids)
    worst = {"peft": (ours - beside).abs().max().item(), "merged": (ours - inside).abs().max().item()}
    print(f"logits: largest {ours.abs().max().item():.1f}; adapters change them by {(beside - alone).abs().max().item():.1f}; "
          f"Strata differs from peft by {worst['peft']:.2e}, from the merged model in transformers by {worst['merged']:.2e}")
    assert max(worst.values()) < 4e-4 and (ours.argmax(-1) == beside.argmax(-1)).all()
    # Another adapter, as peft begins one, its B filled.
    made = peft.get_peft_model(load(base), peft.LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"))
    torch.manual_seed(7)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    made.save_pretrained(theirs)
    print(f"peft wrote {theirs}, {sum(p.numel() for p in made.parameters() if p.requires_grad)} elements")


main()
