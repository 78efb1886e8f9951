#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare clone to a trained model: installs what is missing, builds the program, trains a small Llama-style model
# on the King James Bible and prints text that the model makes up.
#   launch/quickstart.sh [OUT] [KEY=VALUE ...]   OUT is the run's folder, runs/tiny by default; a second call goes on where
#                                                it was. Keys go to strata train: precision.compute=fp8
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/packages.sh
out=runs/tiny
case ${1-} in
  "" | *=*) ;;
  *) out=$1; shift ;;
esac

install_packages "${BUILD_PACKAGES[@]}" bible-kjv xz-utils

say "building the program (build/program)"
mkdir -p build runs
cmake --preset program >build/program.log 2>&1 || { cat build/program.log; exit 5; }
cmake --build build/program >>build/program.log 2>&1 || { tail -n 40 build/program.log; exit 5; }
strata=build/program/launch/strata

[ -s runs/kjv.txt ] || { bible -f 'Gen1:1-Rev22:21' >runs/kjv.txt.part && mv runs/kjv.txt.part runs/kjv.txt; }
[ -s runs/tiny.toml ] || "$strata" init tiny -o runs/tiny.toml >/dev/null

# Two ranks that share the cores. They talk through shared memory; no network is used.
threads=$(($(nproc) > 1 ? $(nproc) / 2 : 1))
say "training $out on $(wc -c <runs/kjv.txt) bytes of English, on 2 ranks of $threads threads"
mpirun $([ "$(id -u)" -eq 0 ] && echo --allow-run-as-root) --oversubscribe --bind-to none -n 2 \
  --mca btl self,vader --mca btl_vader_single_copy_mechanism none \
  "$strata" train runs/tiny.toml run.out="$out" 'data.train=["runs/kjv.txt"]' run.threads="$threads" \
  offload.moments=nvme offload.any_volume=true "$@" # the optimizer's state waits on the drive: the bits are the same

bytes=$(wc -c <runs/kjv.txt)
packed=$(xz -9 -c runs/kjv.txt | wc -c)
awk -v p="$packed" -v b="$bytes" 'BEGIN { printf "for comparison: xz -9 on the whole text takes %.4f nats per byte\n", 8 * p / b * log(2) }'

say "a sample, beginning with the prompt"
"$strata" sample "$out" --prompt "In the beginning" --tokens 600 --temperature 0.7
