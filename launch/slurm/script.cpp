// SPDX-License-Identifier: Apache-2.0
#include "launch/slurm/script.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace strata {
namespace {

std::string directives_of(const SlurmJob& job) {
  std::string text;
  const auto line = [&](const std::string& option) { text += "#SBATCH " + option + "\n"; };
  line("--job-name=" + job.name);
  line(fmt::format("--nodes={}", job.nodes + job.spare));
  line(fmt::format("--ntasks-per-node={}", job.ranks_per_node));
  if (job.cpus_per_rank > 0) line(fmt::format("--cpus-per-task={}", job.cpus_per_rank));
  if (job.gpus_per_node > 0) line(fmt::format("--gpus-per-node={}", job.gpus_per_node));
  if (!job.time.empty()) line("--time=" + job.time);
  if (!job.partition.empty()) line("--partition=" + job.partition);
  if (!job.account.empty()) line("--account=" + job.account);
  if (!job.qos.empty()) line("--qos=" + job.qos);
  line("--requeue");
  line("--open-mode=append");
  // Without "B:" it goes to the ranks, which save at the end of their step.
  line(fmt::format("--signal=USR1@{}", job.lead_s));
  line("--output=%x-%j.log");
  if (job.spare > 0) line("--no-kill");  // a node that fails does not take the job with it
  for (const std::string& own : job.directives) line(own);
  return text;
}

std::string command_of(const SlurmJob& job) {
  std::string words = shell_word(job.program) + " train";
  for (const std::string& argument : job.arguments) words += " " + shell_word(argument);
  return words;
}

// Shell: `answering` holds the allocated nodes that Slurm can reach.
constexpr const char* kLook = R"sh(look() {
  answering=()
  local node
  for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
    case $(sinfo --noheader --Node --nodes="$node" --format=%T | head -n 1) in
      '' | *'*' | down* | drain* | fail* | error* | invalid* | unknown* | power* | reboot*)
        echo "strata: node $node is not used: $(sinfo --noheader --Node --nodes="$node" --format='%T %E' | head -n 1)" ;;
      *) answering+=("$node") ;;
    esac
  done
}
)sh";

}  // namespace

std::string shell_word(const std::string& word) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("_-./=:,+@%").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

std::string slurm_script(const SlurmJob& job) {
  const int ranks = job.nodes * job.ranks_per_node;
  return fmt::format(
      R"sh(#!/usr/bin/env bash
# Written by `strata slurm`: {0} ranks on {1} node{2}{3}. Hand it to sbatch, from the folder where relative paths begin.
# Near the end of its time, or when the site sends USR1, the job saves, ends with code 85 and queues again; it goes on
# from its newest checkpoint, bit for bit.
{4}
set -uo pipefail
echo "strata: job $SLURM_JOB_ID, start $((${{SLURM_RESTART_COUNT:-0}} + 1)), on $SLURM_JOB_NODELIST"

{5}
lost=0
launched=.strata-$SLURM_JOB_ID # srun ends with 0 also when it could not launch anything: ranks that began leave this
trap 'rm -f "$launched"' EXIT
while :; do
  look
  if [ ${{#answering[@]}} -lt {1} ]; then
    echo "strata: {1} nodes are needed and ${{#answering[@]}} answer: the job queues again"
    scontrol requeue "$SLURM_JOB_ID"
    exit 85
  fi
  nodes=$(IFS=,; echo "${{answering[*]:0:{1}}}")
  rm -f "$launched"
  srun --mpi={6} --nodes={1} --ntasks={0} --ntasks-per-node={7}{8} --nodelist="$nodes" --kill-on-bad-exit=1 \
    bash -c 'echo >>"$0"; exec "$@"' "$launched" \
    {9} &
  step=$!
  trap 'kill -USR1 "$step" 2>/dev/null' USR1 # what the batch script alone is sent, srun hands on to the ranks
  wait "$step"
  code=$?
  while kill -0 "$step" 2>/dev/null; do # the signal ended the wait, not the step
    wait "$step"
    code=$?
  done
  [ "$code" -ne 0 ] || [ -e "$launched" ] || code=launch
  case $code in
    85)
      echo "strata: saved; the job queues again"
      scontrol requeue "$SLURM_JOB_ID"
      exit 85 ;;
    0 | 2 | 3 | 4 | 5 | 6 | 7) exit "$code" ;; # done, or a fault that would come again
  esac
  lost=$((lost + 1))
  if [ $lost -gt 10 ]; then
    echo "strata: given up after 10 restarts: the last step ended with code $code"
    [ "$code" != launch ] || code=5
    exit "$code"
  fi
  echo "strata: the step ended with code $code; it starts again on the nodes that answer"
  sleep $((lost * 5)) # Slurm needs a moment to see that a node is gone
done
)sh",
      ranks, job.nodes, job.nodes == 1 ? "" : "s",
      job.spare > 0 ? fmt::format(", {} to spare", job.spare) : std::string(), directives_of(job), kLook,
      job.mpi, job.ranks_per_node,
      job.cpus_per_rank > 0 ? fmt::format(" --cpus-per-task={}", job.cpus_per_rank) : "", command_of(job));
}

}  // namespace strata
