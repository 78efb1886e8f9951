#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the tests.
#   tests/run.sh               release build, all fast tests
#   tests/run.sh --sanitize    also the passes under AddressSanitizer + UBSan and ThreadSanitizer
#   tests/run.sh --full        also the long matrices and the tests against other programs from PyPI
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/packages.sh
sanitize=0 full=0
for argument in "$@"; do
  case $argument in
    --sanitize) sanitize=1 ;;
    --full) sanitize=1 full=1 ;;
    *) echo "usage: tests/run.sh [--sanitize] [--full]" >&2; exit 2 ;;
  esac
done

install_packages "${BUILD_PACKAGES[@]}" ccache libgtest-dev libgmock-dev libdnnl-dev python3 python3-venv bible-kjv xz-utils

stage() { say "$* [$((SECONDS / 60)) min]"; }

# build PRESET [TARGETS]: one line while it works, the compiler's words when it fails. Ten files are compiled as one, but for
# --full: that every file includes what it uses is seen there, and in the builds of those who change it.
unity=(-DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=10)
[ $full = 1 ] && unity=()
build() {
  mkdir -p build
  stage "building $1 (build/$1)"
  cmake --preset "$1" "${unity[@]}" >"build/$1.log" 2>&1 || { cat "build/$1.log"; exit 1; }
  cmake --build "build/$1" --target ${2:-all} >>"build/$1.log" 2>&1 || { grep -E 'error|FAILED' -A4 "build/$1.log" | tail -n 60; exit 1; }
}

build release
readers=(tensorboard h5py safetensors gguf numpy) # numpy: what safetensors hands out
if [ $full = 1 ]; then
  readers+=(torch transformers deepspeed ml_dtypes)
  install_packages slurm-wlm munge
fi
if ! build/interop/bin/python -c "import $(IFS=,; echo "${readers[*]}")" 2>/dev/null; then
  say "installing the programs our files are tested with (build/interop)"
  python3 -m venv build/interop
  build/interop/bin/pip install -q --disable-pip-version-check "${readers[@]}"
fi
export STRATA_INTEROP_PYTHON=$PWD/build/interop/bin/python
if [ $full = 1 ]; then export STRATA_DEEPSPEED_PYTHON=$STRATA_INTEROP_PYTHON; fi
stage "testing release"
ctest --test-dir build/release --output-on-failure -j2 $([ $full = 1 ] || echo "-LE slow")

# The CUDA device without a GPU: kernels run on the CPU, and nvcc compiles everything.
if [ -e "${CUDA_PATH:-/usr/local/cuda}/include/cuda_runtime_api.h" ]; then
  build cuda-on-cpu cuda_tests
  stage "testing the CUDA device on a pretend GPU"
  ctest --test-dir build/cuda-on-cpu --output-on-failure -j2 -R '^cuda_'
else
  say "no CUDA toolkit: the CUDA device is not tested"
fi
if [ -x "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" ]; then
  build cuda "strata cudnn_support_tests"
  stage "asking cuDNN what it takes on a described GPU"
  ctest --test-dir build/cuda --output-on-failure -R '^cudnn_'
else
  say "no nvcc: the CUDA device is not compiled for a GPU"
fi

# Everything that reads files of strangers, under libFuzzer with AddressSanitizer and UBSan. What it finds out goes to build/fuzz.
if command -v clang++ >/dev/null; then
  build fuzz fuzzers
  stage "fuzzing: $(ls build/fuzz/tests/fuzz | sed -n 's/^fuzz_//p' | xargs)"
  fuzz() {
    mkdir -p "build/fuzz/corpus/$1"
    "build/fuzz/tests/fuzz/fuzz_$1" "$2" -max_len=20000 -rss_limit_mb=600 -artifact_prefix="build/fuzz/$1-" \
      "build/fuzz/corpus/$1" "tests/fuzz/corpus/$1" >"build/fuzz/$1.log" 2>&1 || { tail -n 40 "build/fuzz/$1.log"; exit 255; }
  }
  export -f fuzz
  ls build/fuzz/tests/fuzz | sed -n 's/^fuzz_//p' |
    xargs -P2 -I{} bash -c "fuzz {} $([ $full = 1 ] && echo -runs=1000000 || echo -max_total_time=30)"
else
  say "no clang++: what reads files is not fuzzed"
fi

if [ $sanitize = 1 ]; then
  build asan memory_tests
  stage "testing under AddressSanitizer and UndefinedBehaviorSanitizer"
  ctest --test-dir build/asan --output-on-failure -j2 -L memory
  build tsan thread_tests
  stage "testing what runs threads under ThreadSanitizer"
  ctest --test-dir build/tsan --output-on-failure -j2 -L threads
fi
