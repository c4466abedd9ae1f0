# Sourced by the job scripts beside it: the site, the ranks, and the lives of a job. Not to be run by itself.
# Takes $code, where the project's code lies, and $record, the folder of slurm.submit's record, or nothing.
# shellcheck shell=bash
# shellcheck disable=SC2154  # code and record are set by the scripts
set -euo pipefail

# The site's own settings: modules, container, scratch. See site.example.env.
if [ -r "$code/slurm/site.env" ]; then
  # shellcheck disable=SC1091
  . "$code/slurm/site.env"
fi
: "${PYTHON:=python}"    # e.g. a virtual environment's, or "apptainer exec --nv image.sif python"
read -ra PYTHON <<<"$PYTHON"
: "${MAX_LIVES:=50}"     # a job that was requeued this often stops asking for more
: "${MAX_LOSSES:=3}"     # nor does one that has lost a rank so often without coming any further
: "${SITE_SRUN:=}"       # further options of srun, e.g. --container-image=... for Pyxis

life=$((${SLURM_RESTART_COUNT:-0} + 1))
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"  # since SLURM 22.05 steps do not take this over from the job

# A snapshot of the code is run from where the job was submitted, without a look at the code that may lie there.
if [ "$code" != . ]; then
  export PYTHONPATH="$code${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
fi

# Variables of another launcher, passed on from the shell that submitted the job, would tell each task that it is alone.
unset RANK WORLD_SIZE LOCAL_RANK

# Ranks find each other at the first node of the job, on a port that no other job of the node has, and below those that
# the kernel gives out by itself.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + (SLURM_JOB_ID * 7 + life) % 12000))
export MASTER_ADDR MASTER_PORT

# Told to a rank whose neighbour is gone, instead of waiting for ever; what it then says is in this job's output.
export TORCH_NCCL_ASYNC_ERROR_HANDLING=1
# Uncomment where the fast network is not the first one that NCCL finds:
# export NCCL_SOCKET_IFNAME=ib0
# More words from NCCL when ranks do not find each other:
# export NCCL_DEBUG=INFO

say() { echo "[job $job, life $life, $(date '+%F %T')] $*"; }

# note EVENT [CODE]: for slurm.status, which must do without an accounting database.
note() {
  if [ -n "$record" ]; then
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date '+%FT%T%z')" "$job" "$life" "$1" "${2:-}" "$SLURM_JOB_NODELIST" \
      >>"$record/lives.tsv"
  fi
}

# element_of FLAG WORDS...: sets `words`, in which of FLAG's list only this array element's member is left.
element_of() {
  local flag=$1 value=
  words=()
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      "$flag") value=${2:?$flag needs a value}; shift 2 ;;
      "$flag"=*) value=${1#*=}; shift ;;
      *) words+=("$1"); shift ;;
    esac
  done
  words+=("$flag=$(pick "${value:?$flag is missing}" "$SLURM_ARRAY_TASK_ID")")
}

# count LIST and pick LIST N: how many words a list with commas has, and the N-th of them, from 0.
count() { tr ',' '\n' <<<"$1" | wc -l; }
pick() {
  local list
  IFS=, read -ra list <<<"$1"
  if [ "$2" -ge "${#list[@]}" ]; then
    echo "element $2 of the array has no word in the list $1" >&2
    return 2
  fi
  echo "${list[$2]}"
}

# one COMMAND...: once, on the first node.
one() {
  local code=0
  begin "$@"
  # shellcheck disable=SC2086
  srun --nodes=1 --ntasks=1 $SITE_SRUN "$@" || code=$?
  end "$code"
}

# lives COMMAND...: one task per accelerator, each line marked with its rank; a rank that fails ends the others. Asked
# to leave, or after the loss of a rank, put this job back into the queue.
lives() {
  local code=0
  begin "$@"
  # shellcheck disable=SC2086
  srun --kill-on-bad-exit=1 --label --export=ALL $SITE_SRUN "$@" || code=$?
  [ "$code" = 0 ] || code=$(code_of_ranks "$code")
  case $code in
    75 | 76)  # saved and left; another rank lost (see trainer/runs/README.md)
      if [ "$code" = 76 ] && [ "$(losses)" -ge "$MAX_LOSSES" ]; then
        last_words
        say "lost a rank $MAX_LOSSES times before, at the same place: not again"
      elif [ "$life" -lt "${lives_allowed:-$MAX_LIVES}" ]; then
        say "exit code $code: back into the queue"
        note requeued "$code"
        if scontrol requeue "$SLURM_JOB_ID"; then
          sleep 300  # the requeue ends this script
        fi
        say "this job cannot be requeued; submit it again, and it goes on"
      else
        say "no more lives: ${lives_allowed:-$MAX_LIVES} allowed"
      fi
      ;;
    0) ;;
    *) last_words ;;
  esac
  end "$code"
}

begin() {
  # SLURM ends this script too when it ends a job (cancelled, preempted, out of time): it must not ask for a requeue.
  trap 'note terminated; exit 143' TERM
  say "on $SLURM_JOB_NODELIST: $*"
  note started
}

end() {
  if [ "$1" = 0 ]; then
    say "done"
    note "done" 0
    return
  fi
  note failed "$1"
  say "failed with exit code $1"
  local followers
  followers=$(squeue --me -h -t PENDING -o '%A %j %E' | grep -E "[:,]${job%_*}(_|\(|\+|,|:|\$)" | cut -d ' ' -f 1,2) || true
  if [ -n "$followers" ]; then
    say "so these do not run: ${followers//$'\n'/, }"
  fi
  if declare -F after_failure >/dev/null; then  # of the script that sources this
    after_failure "$1" || true
  fi
  exit "$1"
}

# said_since WORDS: this job's output from the first line on that starts with WORDS; nothing where it cannot be read.
said_since() {
  local output=$record/$job.out
  if [ -z "$record" ]; then
    output=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's/^ *StdOut=//p')
  fi
  awk -v from="$1" 'index($0, from) == 1 { seen = 1 } seen' "$output" 2>/dev/null || true
}

# losses: how often this job has lost a rank since it last came any further; memory that runs out does so each time.
losses() {
  said_since "[job $job," | awk '
    /: new run, |: resumed after step / { match($0, /: (new run|resumed after step [0-9]+),/)
      here = substr($0, RSTART, RLENGTH); if (here != place) { place = here; count = 0 } }
    /^\[job .* exit code 76: back into the queue$/ { count++ }
    END { print count + 0 }'
}

# code_of_ranks CODE: the exit code that decides. srun's CODE is the highest: that a rank was lost (76) would hide what the
# lost one had to say (2), and that srun or the kernel killed one (137) would hide that the others saved and left.
code_of_ranks() {
  said_since "[job $job, life $life," | awk -v code="$1" '
    /^srun: error: .*: tasks? [0-9].*: Exited with exit code [0-9]+$/ {
      if ($NF == 75 || $NF == 76) { if ($NF > left) left = $NF } else if (!own) own = $NF
    }
    END { print own ? own : left ? left : code }'
}

# last_words: what the first rank that failed in this life said last, apart from what the others said.
last_words() {
  local lines first rank
  lines=$(said_since "[job $job, life $life,")
  # Ranks that leave because of another's end (76), or are ended by srun, come later or are not the reason.
  first=$(grep -E '^srun: error: .*: tasks? [0-9]' <<<"$lines" | grep -v -m 1 'exit code 76') || return 0
  say "the first to fail: ${first#srun: error: }; the last words of that rank:"
  rank=$(sed -E 's/.*: tasks? ([0-9]+).*/\1/' <<<"$first")
  grep -E "^ *$rank: " <<<"$lines" | tail -n 15 || true
}
