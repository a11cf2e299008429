#!/usr/bin/env bash
# torchrun as a pod's first process, with an exit code by which the pod's controller knows what to do:
#
#   launch/elastic.sh --nnodes 2 --nproc-per-node 8 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint head:29400 \
#       launch/pretrain.py --recipe interbert_base … --output-dir runs/base
#
#   0     finished, or stopped as a file STOP asked
#   143   preempted, hung, or lost a rank: start the pod again (what Kubernetes calls a retryable code)
#   else  it would fail in the same way again, or it ended without a word
#
# torchrun itself ends with 1 for most of these alike.

set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/status.sh"

folder=$(value_of --output-dir "$@")
if [[ -z $folder ]]; then
  echo "elastic.sh: give --output-dir: what the exit code is to say stands in the status.json there"
  exit 2
fi
before=$(status_stamp "$folder")
case $(status_word "$folder" again 2>/dev/null) in
  # A new pod has a restarted run's words but not torchrun's count of restarts: the last --resume counts. A run that has
  # saved nothing yet begins where its words say.
  yes | elsewhere) [[ $(status_word "$folder" saved) == 0 ]] || set -- "$@" --resume latest ;;
esac
# Else a torchrun that stays keeps the store of its first round, and one that joins later waits in the next one for an
# address that nobody tells.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
torchrun "$@" &
agent=$!
signalled=false
trap 'signalled=true; kill -TERM "$agent"' TERM INT
code=0
wait "$agent" || code=$?
while kill -0 "$agent" 2>/dev/null; do # a signal ended the wait, not torchrun
  code=0
  wait "$agent" || code=$?
done
if ((code != 0)) && written_since "$folder" "$before"; then
  case $(status_word "$folder" state 2>/dev/null)/$(status_word "$folder" again 2>/dev/null) in
    preempted/no) code=0 ;; # a person's STOP
    */yes | */elsewhere) code=143 ;;
  esac
elif ((code != 0)) && $signalled; then
  code=143 # evicted before the run had a word
fi
exit "$code"
