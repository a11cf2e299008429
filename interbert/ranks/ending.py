"""What a run's end means for whoever could start it again: a batch script, torchrun, a pod's controller.

Decided here alone; `again` in status.json says it, and launch/slurm/run.sh and launch/elastic.sh obey:

* yes: it was preempted, and goes on where it was.
* elsewhere: it hung or lost a rank. The same command may well get through, best on other hosts, but not for ever.
* no: it is finished, it would fail in the same way again, or a person wrote STOP and does not want it back.
"""

import os
import re
from typing import Literal

State = Literal["running", "finished", "preempted", "failed"]
EXIT_CODES: dict[State, int | None] = {"running": None, "finished": 0, "preempted": 75, "failed": 1}
"""75 is EX_TEMPFAIL: start it again and it goes on."""
Again = Literal["no", "yes", "elsewhere"]

LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|uncorrectable ecc", re.IGNORECASE)
"""How torch says that a rank, its host or its device is gone."""


class AskedToStop(Exception):
    """By this signal, while there was no step to stop at yet."""


def again_after(state: State, by_hand: bool = False) -> Again:
    return "yes" if state == "preempted" and not by_hand else "no"


def describe_error(error: Exception) -> tuple[str, Again]:
    """The reason for status.json, and whether another attempt may go better."""
    reason = f"{type(error).__name__}: {error}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    lost = kinds & {"DistError", "RendezvousError"} or ("RuntimeError" in kinds and LOST.search(str(error)))
    return reason, "elsewhere" if lost and "OutOfMemoryError" not in kinds else "no"


def exit_code(code: int, by_hand: bool) -> int:
    """Of a rank whose run ended with this code.

    torchrun with restarts left starts again whoever ends with another code than 0: that undoes what a person's STOP
    asked for, and is right for all other ends. An agent that was itself signalled ends with 1 whatever its ranks say.
    """
    elastic = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0
    return 0 if by_hand and elastic and code == EXIT_CODES["preempted"] else code
