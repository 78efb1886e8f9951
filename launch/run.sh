#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains on several ranks and goes on by itself when some are lost: what is left of the machines is given the nearest
# layout that is legal there, and the run goes on from its newest checkpoint.
#   launch/run.sh -n RANKS [--hostfile FILE] [--restarts N] CONFIG [key=value ...]
# FILE has lines "host slots=8", as mpirun takes them; without it all ranks run here. A machine that no longer answers
# loses its slots, a rank that died on one that does loses one. A fault that would come again (configuration, data,
# checkpoint, memory, numbers) ends the job with its own exit code, and so do 10 restarts (--restarts).
# USR1, TERM and Ctrl-C save and end with exit code 85. $STRATA is the program, $MPIRUN the launcher with its options.
set -euo pipefail

usage() { sed -n 's/^# \{0,1\}//; 2,9p' "$0" >&2; exit 2; }
ranks=0 hostfile="" restarts=10
while [ $# -gt 0 ]; do
  case $1 in
    -n) ranks=${2:-} && shift 2 || usage ;;
    --hostfile) hostfile=${2:-} && shift 2 || usage ;;
    --restarts) restarts=${2:-} && shift 2 || usage ;;
    -*) usage ;;
    *) break ;;
  esac
done
[ $# -ge 1 ] && [[ $ranks =~ ^[1-9][0-9]*$ && $restarts =~ ^[0-9]+$ ]] || usage
[ -z "$hostfile" ] || [ -r "$hostfile" ] || { echo "run.sh: error: $hostfile cannot be read" >&2; exit 2; }

say() { printf 'run.sh: %s\n' "$*" >&2; }
here=$(cd "$(dirname "$0")" && pwd)
strata=${STRATA:-$(command -v "$here/strata" "$here/../build/program/launch/strata" strata | head -n 1 || true)}
[ -n "$strata" ] || { say "error: no program strata beside this script, in build/program or in PATH: set STRATA"; exit 5; }
read -ra mpirun <<<"${MPIRUN:-mpirun}"
[ "$(id -u)" -ne 0 ] || mpirun+=(--allow-run-as-root)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
hosts=$scratch/hosts
[ -z "$hostfile" ] || grep -Ev '^[[:space:]]*(#|$)' "$hostfile" >"$hosts"

# The slots that are left: of the machines, or of the ranks asked for.
slots=$ranks
count_slots() {
  [ -z "$hostfile" ] && return
  local sum
  sum=$(awk '{ n = 1; for (i = 2; i <= NF; ++i) if (split($i, a, "=") == 2 && a[1] == "slots") n = a[2]; sum += n } END { print sum + 0 }' "$hosts")
  slots=$((sum < ranks ? sum : ranks))
}

# After a loss: machines that do not answer go; else one slot of the machine that mpirun named, or of the last one.
drop_what_was_lost() {
  [ -z "$hostfile" ] && { slots=$((slots - 1)); return; }
  local line host gone=0
  : >"$hosts.new"
  while read -r line; do
    host=${line%%[[:space:]]*}
    if timeout 30 "${mpirun[@]}" --host "$host" -n 1 true >/dev/null 2>&1 </dev/null; then
      echo "$line" >>"$hosts.new"
    else
      say "$host does not answer: its slots are left out"
      gone=1
    fi
  done <"$hosts"
  mv "$hosts.new" "$hosts"
  [ $gone = 1 ] && return
  host=$(sed -n 's/.* on node \([^ ]*\) exited on signal.*/\1/p' "$scratch/err" | head -n 1)
  awk -v lost="$host" '
    { line[NR] = $0; if ($1 == lost) at = NR }
    END {
      if (!at) at = NR
      for (i = 1; i <= NR; ++i) {
        if (i != at) { print line[i]; continue }
        n = 1
        if (match(line[i], /slots=[0-9]+/)) n = substr(line[i], RSTART + 6, RLENGTH - 6)
        split(line[i], word, /[ \t]+/)
        if (n > 1) print word[1] " slots=" n - 1
      }
    }' "$hosts" >"$hosts.new"
  mv "$hosts.new" "$hosts"
}

child="" stopping=0
stop() { stopping=1; [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null || true; }
trap stop USR1 TERM INT

count_slots
for ((started = 0; ; ++started)); do
  fit=$("$strata" plan "$@" --fit "$slots")
  read -r n sizes <<<"$fit"
  read -ra sizes <<<"$sizes"
  [ $started -eq 0 ] || say "restart $started of $restarts: $n ranks on $slots slots, ${sizes[*]}"
  # The job has its own session: Ctrl-C reaches it as USR1, through stop() alone.
  setsid "${mpirun[@]}" -n "$n" ${hostfile:+--hostfile "$hosts"} "$strata" train "$@" "${sizes[@]}" 2> >(tee "$scratch/err" >&2) &
  child=$!
  code=0
  wait "$child" || code=$?
  while kill -0 "$child" 2>/dev/null; do code=0; wait "$child" || code=$?; done # a signal ended the wait, not the job
  child=""
  case $code in
    0 | 2 | 3 | 4 | 5 | 6 | 7 | 85) exit "$code" ;;
  esac
  [ $stopping -eq 0 ] || exit "$code"
  [ "$started" -lt "$restarts" ] || { say "error: the job ended with exit code $code, and $restarts restarts are over"; exit "$code"; }
  say "the job lost a rank (exit code $code)"
  drop_what_was_lost
  count_slots
  [ "$slots" -gt 0 ] || { say "error: no slot is left"; exit "$code"; }
done
