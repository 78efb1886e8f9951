# SPDX-License-Identifier: Apache-2.0
# Sourced by quickstart.sh and tests/run.sh: install_packages NAME... installs the Debian packages that are missing.

say() { printf 'strata: %s\n' "$*"; }

install_packages() {
  local missing=() name
  for name in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "as root, first: apt-get install ${missing[*]}"; exit 5; }
    root=(sudo)
  fi
  say "installing packages: ${missing[*]}"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# What the program itself is built from.
BUILD_PACKAGES=(g++ cmake ninja-build pkg-config libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev
                libtomlplusplus-dev liburing-dev libhdf5-dev libopenmpi-dev openmpi-bin libpcre2-dev libutf8proc-dev
                libsentencepiece-dev)
