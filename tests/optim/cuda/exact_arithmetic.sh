#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# exact_arithmetic.sh NVCC ROOT SOURCE FLAGS...: compiles SOURCE to PTX with the flags of the build and looks at its f32
# arithmetic: every operation rounds as IEEE 754 says, nothing is contracted, approximated or flushed to zero.
set -e
nvcc=$1 root=$2 source=$3
shift 3
ptx=$(mktemp --suffix=.ptx)
trap 'rm -f "$ptx"' EXIT
"$nvcc" -std=c++20 -O3 -arch=compute_90a --expt-relaxed-constexpr -DFMT_USE_CONSTEXPR=1 -w "$@" \
  -I"$root" -I"$root/core/device/cuda/nvcc" -ptx "$root/$source" -o "$ptx"
for wanted in add.rn.f32 mul.rn.f32 div.rn.f32 sqrt.rn.f32; do
  grep -q "$wanted" "$ptx" || { echo "$source: no $wanted in the PTX: is it the right file?"; exit 1; }
done
if grep -nE 'fma\.|mad\.[a-z]*\.?f32|approx|\.ftz|div\.full' "$ptx"; then
  echo "$source: inexact arithmetic above; it must be compiled with -fmad=false and exact division and square root"
  exit 1
fi
