#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real Slurm of one node: a job of two ranks, written by `strata slurm`, is told to make room in the middle of its
# training, queues again, goes on, and ends with the losses of a job that nothing happened to.
#   slurm_test.sh STRATA
set -euo pipefail
strata=$(readlink -f "$1")
. "$(dirname "$0")/one_node.sh"
for name in slurmctld slurmd munged srun; do
  command -v $name >/dev/null || { echo "no $name: apt-get install slurm-wlm munge"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "needs root to start Slurm"; exit 77; }

work=$(mktemp -d)
trap 'stop_slurm; rm -rf "$work"' EXIT
start_slurm "$work/slurm"
cd "$work"
export OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none
for ((i = 0; i < 1500; ++i)); do echo "verse $i: and $((i * i % 97)) begat $((i * 7 % 31))."; done >text.txt
cat >job.toml <<'TOML'
[run]
steps = 300
threads = 1
[model]
layers = 4
hidden = 32
heads = 4
[data]
train = ["text.txt"]
seq_len = 16
[batch]
tokens_per_step = 256
micro_batch = 2
[log]
tensorboard = false
TOML

# wait_for SECONDS COMMAND...
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "waited too long for: $*"; tail -n 5 ./*.log slurm/*.log; scontrol show job; return 1; }
    sleep 0.2
  done
}
state_of() { scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p'; }
ended() { case $(state_of "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) ;; *) false ;; esac; }
held_back() { scontrol show job "$1" | grep -q "JobState=PENDING Reason=BeginTime"; }
steps_done() { [ "$(cat "$1/metrics.jsonl" 2>/dev/null | wc -l)" -ge "$2" ]; }
submit() { "$strata" slurm job.toml --ranks-per-node 2 -o "$1.sbatch" run.name="$1" run.out="$1" parallel.tp=2 >/dev/null && sbatch --parsable "$1.sbatch"; }

whole=$(submit whole)
wait_for 400 ended "$whole"
cut=$(submit cut)
wait_for 200 steps_done cut 60
scancel --signal=USR1 "$cut"
wait_for 200 held_back "$cut"
scontrol update JobId="$cut" StartTime=now # not the two minutes that Slurm gives a node to recover
wait_for 200 grep -q "start 2" "cut-$cut.log"
wait_for 400 ended "$cut"

for job in "$whole" "$cut"; do
  [ "$(state_of "$job")" = COMPLETED ] || { echo "job $job: $(state_of "$job")"; tail -n 20 ./*.log; exit 1; }
done
grep -q "saved; the job queues again" "cut-$cut.log" || { echo "the job was not cut short"; exit 1; }
losses() { sed 's/.*"loss":\([^,]*\),.*/\1/' "$1/metrics.jsonl"; }
[ "$(losses whole | wc -l)" = 300 ] || { echo "steps are missing"; exit 1; }
diff <(losses whole) <(losses cut) >differ || { echo "the losses differ"; head -n 6 differ; wc -l cut/metrics.jsonl; grep -v "^step\|default" "cut-$cut.log" | tail -n 40; tail -n 3 "cut-$cut.log"; exit 1; }
echo "requeued after $(grep -o 'saved after step [0-9]*' "cut-$cut.log" | head -n 1): the same 300 losses"
