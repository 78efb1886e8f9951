# SPDX-License-Identifier: Apache-2.0
"""Adapters of Strata in peft, and the merged model in transformers: the same logits. peft's own adapters are written for the way back.

    smollm2_lora_compare.py there INTEROP_LOGITS BASE MERGED THEIRS BEFORE AFTER ADAPTERS RUN [ADAPTERS RUN]...
    smollm2_lora_compare.py back BASE THEIRS MERGED

The caller is smollm2_lora_test.sh. BEFORE and AFTER are the lines that say the validation loss of the model alone and with the first RUN's
adapters, which MERGED has worked in. The Python side computes in double precision from the same f32 weights; its own difference between
f32 and double says what rounding does to these logits."""
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import peft
import torch
import transformers

TEXT = "In Avel you find tea at the blue house. Where do I find bread in Tarn?"


def load(path):
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def logits_of(model, ids):
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0].double()


def compare(program, base, adapters, run, ids):
    """Strata's logits and peft's, which must agree as far as f32 goes."""
    said = subprocess.run([program, run, *map(str, ids)], stdout=subprocess.PIPE, check=True).stdout
    ours = torch.frombuffer(bytearray(said), dtype=torch.float32).reshape(len(ids), -1).double()
    model = peft.PeftModel.from_pretrained(load(base), adapters)
    single = logits_of(model, ids)
    beside = logits_of(model.double(), ids)
    worst, rounding = ((x - beside).abs().max().item() for x in (ours, single))
    change = (beside - logits_of(load(base).double(), ids)).abs().max().item()
    print(f"{adapters}: largest logit {ours.abs().max().item():.1f}, adapters change them by {change:.1f}; Strata differs from peft by {worst:.2e}, "
          f"peft in f32 from itself by {rounding:.2e}")
    assert change > 0.1 and worst < BOUND * max(rounding, 2e-5) and (ours.argmax(-1) == beside.argmax(-1)).all()
    return ours


# Both sides round some hundred sums of 576 to 1536 products a token, in different orders: of two such results the largest difference over
# a million logits is within a few times the other.
BOUND = 4


def there(program, base, merged, theirs, before, after, *pairs):
    loss = [float(line.split()[2]) for line in (before, after)]
    print(f"validation loss {loss[0]:.4f} without, {loss[1]:.4f} with the adapters")
    assert loss[1] < 0.7 * loss[0]
    ids = transformers.AutoTokenizer.from_pretrained(base).encode(TEXT)
    first, *_ = (compare(program, base, *pair, ids) for pair in zip(pairs[::2], pairs[1::2]))
    single, inside = logits_of(load(merged), ids), logits_of(load(merged).double(), ids)
    worst, rounding = ((x - inside).abs().max().item() for x in (first, single))
    print(f"{merged}: Strata's adapters differ from the merged model in transformers by {worst:.2e}")
    assert worst < BOUND * max(rounding, 2e-5)
    # Another adapter, as peft begins one, its B filled, beside a table that is trained whole.
    made = peft.get_peft_model(load(base), peft.LoraConfig(r=4, lora_alpha=6, use_rslora=True, lora_dropout=0.1, target_modules=["q_proj", "down_proj"],
                                                           modules_to_save=["embed_tokens"], ensure_weight_tying=True, task_type="CAUSAL_LM"))
    torch.manual_seed(7)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
        elif "modules_to_save" in name:
            parameter.data += 0.01 * torch.randn_like(parameter)
    made.save_pretrained(theirs)
    print(f"peft wrote {theirs}, {sum(p.numel() for p in made.parameters() if p.requires_grad)} elements")


def back(base, theirs, merged):
    ids = transformers.AutoTokenizer.from_pretrained(base).encode(TEXT)
    beside = logits_of(peft.PeftModel.from_pretrained(load(base), theirs).double(), ids)
    inside = logits_of(load(merged).double(), ids)
    worst = (beside - inside).abs().max().item()
    print(f"{theirs}: peft differs from the model that Strata merged by {worst:.2e}")
    assert worst < 1e-4  # weights are rounded once more, to f32


transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
{"there": there, "back": back}[sys.argv[1]](*sys.argv[2:])
