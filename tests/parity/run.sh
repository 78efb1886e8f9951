#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Loss parity of 8-bit training: the same model, data and seed in fp32, bf16 and by every recipe, 2,000 steps each.
#   tests/parity/run.sh STRATA OUT     STRATA is the program; about two hours on two cores. What is finished is left as it is,
#                                      so a second call goes on.
# precision/parity.md shows what came out; draw.py makes its table and picture.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 2 ] || { sed -n 3,5p "$0" >&2; exit 2; }
[ -x "$1" ] || { echo "$0: $1 is no program: build strata first, build/program/launch/strata" >&2; exit 2; }
strata=$(realpath "$1")
mkdir -p "$2" && cd "$2"
[ -s kjv.txt ] || { bible -f 'Gen1:1-Rev22:21' >kjv.txt.part && mv kjv.txt.part kjv.txt; } # Debian: bible-kjv

one() { # NAME SEED KEY=VALUE...
  local name=$1-$2 seed=$2
  shift 2
  if [ -e "$name.done" ]; then return; fi
  echo "$(date +%H:%M) $name"
  "$strata" train "$here/parity.toml" run.out="$name" run.seed="$seed" run.threads=1 "$@" >"$name.log" 2>&1 ||
    { tail -n 5 "$name.log"; return 1; }
  touch "$name.done"
}
export strata here
export -f one

# As many at once as there are cores, each on a thread of its own: a run's bits do not depend on it.
{
  echo bf16 1 precision.compute=bf16
  echo fp32 1 precision.compute=fp32
  for recipe in block tensor-current row tensor-delayed block-hybrid tensor-hybrid; do
    echo "$recipe" 1 precision.compute=fp8 precision.recipe="$recipe"
  done
  for seed in 2 3; do
    echo bf16 "$seed" precision.compute=bf16
    echo fp32 "$seed" precision.compute=fp32
  done
} | xargs -P "$(nproc)" -I{} bash -c 'one {}'
