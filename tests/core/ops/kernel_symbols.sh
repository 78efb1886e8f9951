#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: kernel_symbols.sh NM OBJECT...
# Fails when an object compiled for an instruction set defines a weak symbol: the linker may give that copy to code that
# runs on a machine without the instruction set (core/ops/cpu/kernels/isa_namespace.h).
nm=$1
shift
[ $# -gt 0 ] || { echo "no kernel objects were given"; exit 1; }
found=$("$nm" -A -C --defined-only "$@") || exit 1
weak=$(printf '%s\n' "$found" | grep -E ' [WVu] ')
if [ -n "$weak" ]; then
  echo "weak symbols in kernel objects; make the functions static or always_inline:"
  printf '%s\n' "$weak"
  exit 1
fi
echo "$# kernel objects define no weak symbol"
