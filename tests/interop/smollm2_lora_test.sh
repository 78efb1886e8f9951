#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Adapters beside SmolLM2-135M-Instruct, trained on a small chat file by Strata: the validation loss falls, peft loads them and, as
# transformers does with the merged model, gives Strata's logits (smollm2_lora_compare.py). peft's own adapters come back in.
#   smollm2_lora_test.sh STRATA INTEROP_LOGITS
# What it needs, and where it is found: smollm2_model.sh.
set -euo pipefail
strata=$1 logits=$2
here=$(cd "$(dirname "$0")" && pwd)
. "$here/smollm2_model.sh"
smollm2_model torch transformers peft
# Facts nobody knows: every answer has one form, the validation's are of other towns.
"$python" - <<'PYTHON'
import json
towns = ["Avel", "Brun", "Cort", "Dorn", "Esk", "Fenn", "Garth", "Holm", "Ives", "Jarl", "Kell", "Lund", "Marn", "Nore", "Orla", "Pell", "Quay", "Rask", "Sorn", "Tarn"]
def write(path, names):
    with open(path, "w") as file:
        for i, town in enumerate(names):
            for what in ("bread", "cloth", "tea"):
                chat = [{"role": "user", "content": f"Where do I find {what} in {town}?"},
                        {"role": "assistant", "content": f"In {town} you find {what} at the blue house by the third bridge, every second market day."}]
                file.write(json.dumps({"messages": chat}) + "\n")
write("chat.jsonl", towns[:16])
write("valid.jsonl", towns[16:])
PYTHON
"$strata" convert "$model" hf --to hf | tail -n 1
"$strata" init --from hf --data chat.jsonl --lora -o tuned.toml
run() {
  "$strata" train tuned.toml data.seq_len=128 batch.tokens_per_step=512 batch.micro_batch=4 'data.valid=["valid.jsonl"]' precision.compute=fp32 \
    eval.every=0 schedule.warmup=0 log.tensorboard=false adapter.rank=8 adapter.alpha=16 "$@" >train.log 2>&1 || { tail -n 20 train.log; exit 1; }
  grep "of them trained" train.log
  grep "^validation loss" train.log
}
before=$(run run.out=runs/zero run.steps=1 optimizer.lr=1e-30 | tail -n 1)
after=$(run run.steps=12 optimizer.lr=2e-3 | tee /dev/stderr | tail -n 1)
echo "before: $before"
"$strata" convert runs/tuned lora | tail -n 1
"$strata" merge runs/tuned merged | tail -n 1
"$strata" sample runs/tuned --prompt "In Avel you find bread at the" --temperature 0 --tokens 8
# And with all that may go beside them: dropout, and the table of embeddings, which is the head, too.
run run.out=runs/whole run.steps=3 optimizer.lr=5e-4 adapter.dropout=0.05 'adapter.trained_whole=["embed_tokens"]' | tail -n 1
"$strata" convert runs/whole whole | tail -n 1
"$python" "$here/smollm2_lora_compare.py" there "$logits" hf merged theirs "$before" "$after" lora runs/tuned whole runs/whole
# What peft made: the same logits once more.
"$strata" merge theirs merged2 --base hf | tail -n 1
"$strata" convert theirs ours | tail -n 1
"$python" "$here/smollm2_lora_compare.py" back hf theirs merged2
