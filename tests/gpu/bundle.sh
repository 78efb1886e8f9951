#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs what the GPU suite needs into one archive that runs on another x86-64 Linux with a GPU: the program, the tests
# of operations and the rates, built for CUDA, and the libraries they need that are not the target's own.
#   tests/gpu/bundle.sh [BUILD] [OUT.tar.xz]      BUILD: build/cuda by default; OUT: BUILD/gpu-bundle.tar.xz
# The target needs glibc and libstdc++ as new as here, and CUDA's libraries (cuBLASLt, cuDNN, the driver) of the same
# major version; it gets there by: tar xf gpu-bundle.tar.xz && gpu-bundle/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/cuda}
out=${2:-$build/gpu-bundle.tar.xz}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/gpu-bundle
mkdir -p "$root/bin" "$root/lib" "$root/data"

for program in launch/strata tests/core/ops/cuda/cuda_ops_tests tests/gpu/gpu_op_rates; do
  [ -x "$build/$program" ] || { echo "bundle: $build/$program is missing; cmake --build $build --target strata cuda_ops_tests gpu_op_rates" >&2; exit 2; }
  strip -o "$root/bin/$(basename "$program")" "$build/$program"
done

# Not carried: the system's C and C++ libraries, the driver, and CUDA's large ones.
own='ld-linux|linux-vdso|libc\.so|libm\.so|libdl\.so|librt\.so|libpthread\.so|libresolv\.so|libstdc\+\+|libgcc_s'
own="$own|libcuda\.so|libcublas|libcudnn|libnccl|libnvrtc|libnvidia"
ldd "$root"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | { grep -vE "/($own)" || true; } |
  while read -r library; do cp -L "$library" "$root/lib/"; done
# What the program asks for by name as it starts is in ldd's list; Open MPI's plugins are not.
if plugins=$(ompi_info --path pkglibdir --parsable 2>/dev/null | sed -n 's/^path:pkglibdir://p') && [ -d "$plugins" ]; then
  mkdir -p "$root/lib/openmpi"
  for plugin in "$plugins"/*.so; do
    case $(basename "$plugin") in *ucx* | *ofi* | *psm* | *openib* | *usnic* | *portals* | *slurm* | *tm.so | *lustre* | *opencl*) ;; *) cp -L "$plugin" "$root/lib/openmpi/" ;; esac
  done
  ldd "$root"/lib/openmpi/*.so | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | { grep -vE "/($own)" || true; } |
    while read -r library; do cp -L "$library" "$root/lib/"; done
fi

# Text to train on, of words in a made-up order: it need only be the same everywhere.
awk 'BEGIN { srand(1); split("the of and to in a is that it was for on are with as his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know", w, " "); for (i = 0; i < 90000; ++i) printf "%s%s", w[1 + int(rand() * rand() * 100)], i % 17 ? " " : ".\n" }' >"$root/data/text.txt"

cp tests/gpu/run.sh tests/gpu/peer_torch_gpu.py tests/gpu/train.toml "$root/"
{
  echo "commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$(git diff --quiet HEAD 2>/dev/null || echo -dirty)"
  echo "glibc=$(objdump -T "$root"/bin/* "$root"/lib/*.so* 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1 | cut -d_ -f2)"
} >"$root/built"
tar -C "$stage" -cJf "$out" gpu-bundle
echo "$out: $(du -h "$out" | cut -f1), unpacked $(du -sh "$root" | cut -f1)"
