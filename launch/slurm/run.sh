# Runs a script of launch/ as a job's step and decides by its status.json what becomes of the job.
#
#   INTERBERT_LAUNCH     the folder of these scripts, where they are installed (launch, in the folder of the job)
#   INTERBERT_PYTHON     the interpreter on the nodes (.venv/bin/python if there, else python3)
#   INTERBERT_PREFIX     what to put before it, such as: apptainer exec --nv image.sif
#   INTERBERT_SRUN       further flags of srun, such as: --container-image=image.sqsh
#   INTERBERT_RESTARTS   how often the job may be requeued (100)
#   INTERBERT_FAILURES   how often in a row it is tried again where it hung or lost a rank, without a step forward (3)

source "$(dirname "${BASH_SOURCE[0]}")/../status.sh"

say() { echo "$(date -Is) job ${SLURM_JOB_ID:-?}: $*"; }

# One field of what scontrol shows of a thing.
shown() {
  scontrol show "$1" "$2" --oneliner | tr ' ' '\n' | sed -n "s/^$3=//p"
}

# Where SLURM itself reaches the job's first node; asked here, for a container may have no scontrol.
first_address() {
  shown node "$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)" NodeAddr
}

# How many attempts of this job in a row, with this one, have failed without getting further.
failures_in_a_row() {
  local file=$1/.failures step=$2 at=-1 count=0
  if ((${SLURM_RESTART_COUNT:-0} > 0)) && [[ -f $file ]]; then
    read -r at count <"$file"
  fi
  if ((step > at)); then
    count=0
  fi
  echo "$step $((count + 1))" >"$file" || true
  echo $((count + 1))
}

# Those of these nodes (n2,n3) that the job can do without beside those that it leaves out already: all, or none where
# it asked for nodes by name, or its partition has too few others.
dispensable() {
  local bad out others
  bad=$(comm -12 <(tr ',' '\n' <<<"$1" | sort -u) <(scontrol show hostnames "$SLURM_JOB_NODELIST" | sort -u))
  out=$(printf '%s\n' "$bad" "$(scontrol show hostnames "$2")" | sort -u)
  others=$(sinfo --noheader --Node --partition "$SLURM_JOB_PARTITION" --format '%N %T' |
    awk '$2 !~ /down|drain|fail|unk|maint|power|\*/ {print $1}' | sort -u | comm -23 - <(echo "$out") | wc -l)
  if [[ -n $bad && $(shown job "$SLURM_JOB_ID" ReqNodeList) == "(null)" ]] && ((others >= SLURM_JOB_NUM_NODES)); then
    paste -sd, <<<"$bad"
  fi
}

# slurmctld may be away for a while: it restarts, or has too much to do.
put_back() {
  local attempt
  for attempt in 1 2 3 4 5; do
    scontrol requeue "$SLURM_JOB_ID" && return
    say "could not be requeued (attempt $attempt of 5)"
    sleep 20
  done
  exit 1
}

# Puts the job back into the queue, to run without these nodes from now on.
requeue() {
  local bad already
  if ((${SLURM_RESTART_COUNT:-0} >= ${INTERBERT_RESTARTS:-100})); then
    say "requeued ${SLURM_RESTART_COUNT:-0} times already (INTERBERT_RESTARTS): stopping"
    exit 1
  fi
  already=$(shown job "$SLURM_JOB_ID" ExcNodeList || true)
  # What cannot be added to is left as it is.
  bad=$([[ -z $already ]] || dispensable "$1" "$already" || true)
  trap '' TERM # SLURM sends it to this script now
  put_back
  # Only a job that waits can be told which nodes to leave out.
  if [[ -n $bad ]]; then
    [[ $already == "(null)" ]] || bad=$already,$bad
    scontrol update JobId="$SLURM_JOB_ID" ExcNodeList="$bad" && say "from now on without $bad"
  fi
  sleep 60 # until SLURM ends this script
}

# What becomes of the job whose run ended so: (folder, exit code of srun, status.json was written by this run).
decide() {
  local folder=$1 code=$2 own=$3 state reason count
  state=$(status_word "$folder" state 2>/dev/null || echo missing)
  $own || ((code == 0)) || state="$state, but of an earlier run"
  reason=$(status_word "$folder" reason 2>/dev/null || true)
  case $state/$(status_word "$folder" again 2>/dev/null || true) in
    finished/*)
      say "finished"
      ;;
    preempted/yes)
      say "preempted ($reason): requeueing"
      requeue ""
      ;;
    preempted/no)
      say "stopped as it was asked to ($reason): not requeued; the same sbatch goes on"
      ;;
    failed/elsewhere)
      count=$(failures_in_a_row "$folder" "$(status_word "$folder" step)")
      if ((count > ${INTERBERT_FAILURES:-3})); then
        say "failed: $reason; $count times in a row without a step forward (INTERBERT_FAILURES): stopping"
        exit 1
      fi
      say "failed: $reason; failure $count in a row: requeueing"
      requeue "$(status_word "$folder" hosts)"
      ;;
    failed/*)
      say "failed: $reason"
      exit 1
      ;;
    *)
      say "ended with code $code and without a word (status: $state): killed, or never started; see the log above"
      exit 1
      ;;
  esac
}

run_until_done() {
  local script=$1 folder python code=0 own=true before
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
  [[ -z ${INTERBERT_LAUNCH-} ]] || script=$INTERBERT_LAUNCH/${script#launch/}
  python=${INTERBERT_PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}
  # What is installed beside the interpreter (ninja) is found as in its activated environment.
  [[ $python == */* ]] && PATH=$(cd "$(dirname "$python")" && pwd):$PATH

  before=$(status_stamp "$folder")
  export MASTER_ADDR=${MASTER_ADDR:-$(first_address)}
  # srun no longer takes it from the job by itself.
  export SRUN_CPUS_PER_TASK=${SRUN_CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-1}}

  say "${SLURM_RESTART_COUNT:-0} restarts so far; $folder; ranks meet at $MASTER_ADDR"
  # One rank that ends takes the others along only after a minute: they are ending too, and may be saving.
  # shellcheck disable=SC2086
  srun --kill-on-bad-exit=0 --wait=60 ${INTERBERT_SRUN-} ${INTERBERT_PREFIX-} "$python" -u "$script" "$@" || code=$?

  written_since "$folder" "$before" || own=false
  if $own && [[ $(status_word "$folder" state) == running ]]; then
    # Whatever killed rank 0, or SLURM when the step was over, took the witness along.
    # shellcheck disable=SC2086
    ${INTERBERT_PREFIX-} "$python" -m interbert.train.folder.witness "$folder" </dev/null || true
  fi
  decide "$folder" "$code" "$own"
}
