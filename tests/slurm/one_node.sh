# SPDX-License-Identifier: Apache-2.0
# Sourced by tests: start_slurm FOLDER starts a real Slurm of one node in FOLDER (munged, slurmctld and slurmd on the
# loopback, as root), stop_slurm ends it. Packages: slurm-wlm and munge.

start_slurm() {
  slurm_folder=$1
  local host
  host=$(hostname -s)
  mkdir -p "$slurm_folder"/{state,spool,munge}
  head -c 1024 /dev/urandom >"$slurm_folder/munge/key"
  chmod 700 "$slurm_folder/munge" && chmod 600 "$slurm_folder/munge/key"
  chmod 755 "$slurm_folder" # clients of other users; munged wants its own folders closed to others
  munged --force --num-threads=2 --key-file="$slurm_folder/munge/key" --socket="$slurm_folder/munge/socket" \
    --pid-file="$slurm_folder/munge/pid" --seed-file="$slurm_folder/munge/seed" --log-file="$slurm_folder/munge/log"
  cat >"$slurm_folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm_folder/munge/socket
CredType=cred/munge
MpiDefault=pmix
MpiParams=ports=12000-12999
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$slurm_folder/state
SlurmdSpoolDir=$slurm_folder/spool
SlurmctldPidFile=$slurm_folder/slurmctld.pid
SlurmdPidFile=$slurm_folder/slurmd.pid
SlurmctldLogFile=$slurm_folder/slurmctld.log
SlurmdLogFile=$slurm_folder/slurmd.log
ReturnToService=2
KillWait=10
SchedulerParameters=batch_sched_delay=1,sched_interval=2
MinJobAge=300
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
  export SLURM_CONF=$slurm_folder/slurm.conf
  slurmctld -c -f "$SLURM_CONF" && slurmd -c -f "$SLURM_CONF" || return 1
  local i
  for ((i = 0; i < 60; ++i)); do
    [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && return 0
    sleep 0.5
  done
  echo "Slurm did not come up" >&2
  tail -n 5 "$slurm_folder"/*.log >&2
  return 1
}

stop_slurm() {
  local name
  scancel --quiet --full -u root 2>/dev/null || true
  for name in slurmd.pid slurmctld.pid munge/pid; do
    [ -s "$slurm_folder/$name" ] && kill "$(cat "$slurm_folder/$name")" 2>/dev/null || true
  done
  for ((i = 0; i < 40; ++i)); do pgrep -f "$slurm_folder" >/dev/null || break; sleep 0.25; done
}
