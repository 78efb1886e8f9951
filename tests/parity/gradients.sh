#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gradients of 8-bit training beside those of fp32: one step on the same batch from the same weights.
#   tests/parity/gradients.sh STRATA OUT [STEP]    OUT is that of run.sh; STEP one of its saves: 500, 1000, 1500 or 2000
# A first moment that decays at once is the gradient: the step is taken with a beta of 0, and m is compared.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n 4p "$0" >&2; exit 2; }
[ -x "$1" ] || { echo "$0: $1 is no program: build strata first, build/program/launch/strata" >&2; exit 2; }
strata=$(realpath "$1")
step=${3:-1000}
cd "$2"
from=bf16-1/checkpoints/step-$(printf %08d "$step")

one() { # NAME KEY=VALUE...
  local name=gradient-$step-$1
  shift
  if [ -e "$name/checkpoints/step-00000001/manifest.json" ]; then return; fi
  rm -rf "$name"
  "$strata" train "$here/parity.toml" run.out="$name" run.steps=1 run.seed=7 schedule.warmup=0 model.from="$from" \
    eval.every=0 'optimizer.betas=[0.0,0.95]' "$@" >"$name.log" 2>&1 || { tail -n 5 "$name.log"; return 1; }
}
one fp32 precision.compute=fp32
one bf16 precision.compute=bf16
for recipe in tensor-current tensor-delayed row block tensor-hybrid block-hybrid; do
  one "$recipe" precision.compute=fp8 precision.recipe="$recipe"
done

# The layers' matrices are what a recipe multiplies in 8 bits.
echo "step $step                of ${from%%/*}: cosine of the gradient of fp32 and that of"
for name in bf16 tensor-current tensor-delayed row block tensor-hybrid block-hybrid; do
  "$strata" diff --numbers "gradient-$step-fp32" "gradient-$step-$name" >"gradient-$step-$name.txt" || [ $? -eq 1 ] # they differ
  awk -v name="$name" '/ \(m\) / {
      cosine = $0; sub(/.*cosine /, "", cosine); sub(/,.*/, "", cosine); cosine += 0
      kind = /layers.*(attention|mlp)\./ ? "matrix" : "other"
      if (!(kind in least) || cosine < least[kind]) { least[kind] = cosine; where[kind] = $1 }
      sum[kind] += cosine; count[kind]++
    }
    END { printf "%-15s %d matrices of layers: %.5f on average, %.5f at least (%s); all else: %.5f at least (%s)\n", name,
          count["matrix"], sum["matrix"] / count["matrix"], least["matrix"], where["matrix"], least["other"], where["other"] }' \
    "gradient-$step-$name.txt"
done
