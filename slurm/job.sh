# Sourced by the job scripts beside it: the site, the ranks, and the lives of a job. Not to be run by itself.
# shellcheck shell=bash
set -euo pipefail

# The site's own settings: modules, container, scratch. See site.example.env.
if [ -r slurm/site.env ]; then
  # shellcheck disable=SC1091
  . slurm/site.env
fi
: "${PYTHON:=python}"    # e.g. a virtual environment's, or "apptainer exec --nv image.sif python"
read -ra PYTHON <<<"$PYTHON"
: "${MAX_LIVES:=50}"     # a job that was requeued this often stops asking for more
: "${SITE_SRUN:=}"       # further options of srun, e.g. --container-image=... for Pyxis

life=$((${SLURM_RESTART_COUNT:-0} + 1))
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"

# Ranks find each other at the first node of the job, on a port that no other job of the node has.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + (SLURM_JOB_ID * 7 + life) % 20000))
export MASTER_ADDR MASTER_PORT

# Told to a rank whose neighbour is gone, instead of waiting for ever; what it then says is in this job's output.
export TORCH_NCCL_ASYNC_ERROR_HANDLING=1
# Uncomment where the fast network is not the first one that NCCL finds:
# export NCCL_SOCKET_IFNAME=ib0
# More words from NCCL when ranks do not find each other:
# export NCCL_DEBUG=INFO

# count LIST and pick LIST N: how many words a list with commas has, and the N-th of them, from 0.
count() { tr ',' '\n' <<<"$1" | wc -l; }
pick() {
  local words
  IFS=, read -ra words <<<"$1"
  if [ "$2" -ge "${#words[@]}" ]; then
    echo "element $2 of the array has no word in the list $1" >&2
    return 2
  fi
  echo "${words[$2]}"
}

say() { echo "[job $SLURM_JOB_ID, life $life, $(date '+%F %T')] $*"; }

# one COMMAND...: once, on the first node.
one() { srun --nodes=1 --ntasks=1 "$@"; }

# every COMMAND...: one task per accelerator; a rank that fails ends the others. Each line is marked with its rank.
# shellcheck disable=SC2086
every() { srun --kill-on-bad-exit=1 --label --export=ALL $SITE_SRUN "$@"; }

# lives COMMAND...: run it on every rank; asked to leave, or after the loss of a rank, put this job back into the queue.
lives() {
  local code=0
  say "on $SLURM_JOB_NODELIST: $*"
  every "$@" || code=$?
  case $code in
    0) say "done" ;;
    75 | 76)  # saved and left; another rank lost (see "When a job dies" in README.md)
      if [ "$life" -ge "$MAX_LIVES" ]; then
        say "exit code $code, and no more lives: MAX_LIVES=$MAX_LIVES"
        exit "$code"
      fi
      say "exit code $code: back into the queue"
      scontrol requeue "$SLURM_JOB_ID"
      sleep 60  # the requeue ends this script
      ;;
    *) say "failed with exit code $code; see the lines of the rank above" ; exit "$code" ;;
  esac
}
