# Runs a script of launch/ as a job's step and decides by its status.json what becomes of the job.
#
#   INTERBERT_PYTHON     the interpreter on the nodes (.venv/bin/python if there, else python3)
#   INTERBERT_PREFIX     what to put before it, such as: apptainer exec --nv image.sif
#   INTERBERT_SRUN       further flags of srun, such as: --container-image=image.sqsh
#   INTERBERT_RESTARTS   how often the job may be requeued (100)

say() { echo "$(date -Is) job ${SLURM_JOB_ID:-?}: $*"; }

# The value of a flag among the script's arguments.
value_of() {
  local flag=$1 found=""
  shift
  while (($#)); do
    case $1 in
      "$flag") found=${2-} ;;
      "$flag"=*) found=${1#*=} ;;
    esac
    shift
  done
  echo "$found"
}

# One word of a run's status.json, which has a line for each.
status_word() {
  sed -n "s/^ *\"$2\": \"\(.*\)\",*$/\1/p" "$1/status.json"
}

# Where SLURM itself reaches the job's first node; asked here, for a container may have no scontrol.
first_address() {
  local first
  first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  scontrol show node "$first" --oneliner | tr ' ' '\n' | sed -n 's/^NodeAddr=//p'
}

run_until_done() {
  local script=$1 folder python code=0 state before
  shift
  folder=$(value_of --output-dir "$@")
  if [[ -z $folder ]]; then
    say "give --output-dir: what becomes of the job is read from the status.json there"
    exit 2
  fi
  if [[ -n ${SLURM_ARRAY_TASK_ID-} ]]; then
    folder=${folder}_seed$SLURM_ARRAY_TASK_ID
    set -- "$@" --output-dir "$folder" --seed "$SLURM_ARRAY_TASK_ID"
  fi
  python=${INTERBERT_PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}
  # What is installed beside the interpreter (ninja) is found as in its activated environment.
  [[ $python == */* ]] && PATH=$(cd "$(dirname "$python")" && pwd):$PATH

  before=$(stat -c '%i %y' "$folder/status.json" 2>/dev/null || true)
  export MASTER_ADDR=${MASTER_ADDR:-$(first_address)}

  say "${SLURM_RESTART_COUNT:-0} restarts so far; $folder; ranks meet at $MASTER_ADDR"
  # One rank that ends takes the others along only after a minute: they are ending too, and may be saving.
  # shellcheck disable=SC2086
  srun --kill-on-bad-exit=0 --wait=60 ${INTERBERT_SRUN-} ${INTERBERT_PREFIX-} "$python" -u "$script" "$@" || code=$?

  state=$(status_word "$folder" state 2>/dev/null || echo missing)
  if ((code != 0)) && [[ $(stat -c '%i %y' "$folder/status.json" 2>/dev/null || true) == "$before" ]]; then
    state="$state, but of an earlier run"
  fi
  case $state in
    finished)
      say "finished"
      ;;
    preempted)
      if ((${SLURM_RESTART_COUNT:-0} >= ${INTERBERT_RESTARTS:-100})); then
        say "preempted, and requeued ${SLURM_RESTART_COUNT:-0} times already (INTERBERT_RESTARTS): stopping"
        exit 1
      fi
      say "preempted ($(status_word "$folder" reason)): requeueing"
      scontrol requeue "$SLURM_JOB_ID"
      sleep 60 # until SLURM ends this script
      ;;
    failed)
      say "failed: $(status_word "$folder" reason)"
      exit 1
      ;;
    *)
      say "ended with code $code and without a word (status: $state): killed, or never started; see the log above"
      exit 1
      ;;
  esac
}
