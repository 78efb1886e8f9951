#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is installed works without the sources: a model outside the tree is built against it and trains; the packages
# hold a program that runs from any folder.
#   package_test.sh BUILD SOURCE
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed() { echo "$1"; tail -n 30 "$work/log"; exit 1; }

cmake --install "$build" --prefix "$work/root" >"$work/log" 2>&1 || failed "cmake --install"
! grep -rlF "$source/" "$work/root/lib/cmake" "$work"/root/lib/*/cmake 2>/dev/null || failed "the configuration names the sources"
cp -r "$source/examples/own_model" "$work/own_model"
cmake -S "$work/own_model" -B "$work/out" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/root" >"$work/log" 2>&1 ||
  failed "find_package(Strata)"
cmake --build "$work/out" >"$work/log" 2>&1 || failed "a model outside the tree"
"$work/out/own_model" >"$work/log" 2>&1 || failed "its training"
cat "$work/log"

(cd "$build" && cpack -B "$work/packages" -G "$(command -v dpkg-shlibdeps >/dev/null && echo 'DEB;TGZ' || echo TGZ)") >"$work/log" 2>&1 || failed "cpack"
rm -rf "$work/packages/_CPack_Packages"
mkdir "$work/elsewhere"
tar -xzf "$work"/packages/*.tar.gz -C "$work/elsewhere" --strip-components=1
"$work/elsewhere/bin/strata" version >"$work/log" || failed "the program of the .tar.gz"
"$work/elsewhere/bin/strata-run" >"$work/log" 2>&1 && failed "strata-run without arguments" || [ $? = 2 ]
for package in "$work"/packages/*.deb; do
  [ -e "$package" ] || continue
  dpkg-deb --info "$package" >"$work/log"
  grep -q 'Depends: .*libc6' "$work/log" || failed "the .deb names no libraries"
  dpkg-deb --contents "$package" >"$work/log"
  grep -q " ./usr/bin/strata$" "$work/log" || failed "the .deb holds no program"
done
ls "$work/packages"
