"""Units of a stage on this machine: each in a process of its own, watched until it ends.

A worker that dies is noticed at once, whatever killed it. Its unit is begun again; a place in the input at which a
second worker dies, or at which one stays too long, is passed over and told.
"""

import ctypes
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from interbert.curate.engine.notes import Notes
from interbert.doors import go_with_the_parent

DEATHS = 2
"""At one place, before it is passed over."""
_MOST_AT_START = 3
"""Deaths of a unit's workers before they have begun anything."""
_TICK = 0.5
_NOTHING_SAID = EOFError()

Work = Callable[[Path, str, int, Notes], None]
"""(output, stage, number, notes): does one unit, and leaves its manifest."""


@dataclass
class _Running:
    number: int
    process: Any
    pipe: Connection
    notes: Notes
    stuck: bool = False
    """Ended by the watch, which has noted the place."""


@dataclass
class Watch:
    """What happened to workers; told at the end."""

    deaths: Counter = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)


def run_units(
    work: Work,
    output: Path,
    stage: str,
    numbers: Sequence[int],
    workers: int,
    seconds_of_a_place: float,
    done: Callable[[int], None] = lambda number: None,
) -> Watch:
    """Raises what a unit's work raised: a fault of its input that nothing can pass over, or of ours."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["interbert.curate.stages.all"])
    waiting, running, watch = list(reversed(numbers)), [], Watch()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_begin(context, work, output, stage, waiting.pop()))
            wait([door for one in running for door in (one.process.sentinel, one.pipe)], _TICK)
            for one in list(running):
                # What has much to say waits, before it ends, for somebody to hear it.
                if one.process.exitcode is None and not one.pipe.poll():
                    _end_if_stuck(one, seconds_of_a_place, watch, stage)
                    continue
                running.remove(one)
                if _ended_well(one, watch, stage):
                    done(one.number)
                else:
                    waiting.append(one.number)
    finally:
        for one in running:
            one.process.kill()
            one.process.join()
    return watch


def _begin(context: Any, work: Work, output: Path, stage: str, number: int) -> _Running:
    notes = Notes(output / ".work" / "notes", f"{stage}_{number}")
    notes.forget()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(work, output, stage, number, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Running(number, process, ours, notes)


def _work(work: Work, output: Path, stage: str, number: int, pipe: Connection) -> None:
    go_with_the_parent()
    _go_first_when_memory_is_short()
    try:
        work(output, stage, number, Notes(output / ".work" / "notes", f"{stage}_{number}"))
        pipe.send(None)
    except BaseException as error:
        try:
            pipe.send(error)
        except Exception:  # not every error can be sent
            pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
    # Without the long way out of libraries' threads.
    pipe.close()
    os._exit(0)


def _go_first_when_memory_is_short() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text("700")
    except OSError:
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return


def _ended_well(one: _Running, watch: Watch, stage: str) -> bool:
    with one.pipe:
        try:
            error = one.pipe.recv()
        except (EOFError, OSError):  # it had no time to say anything, or not all of it
            error = _NOTHING_SAID
    one.process.join()
    if error is None:
        one.notes.remove()
        return True
    if error is not _NOTHING_SAID:
        raise error
    if one.stuck:
        return False
    place, _ = one.notes.place()
    watch.deaths[one.number, place] += 1
    how = _how(one.process.exitcode)
    _refuse_again(one, place, stage, f"a worker was {how}")
    watch.told.append(f"{stage} {one.number}: a worker was {how} at {place}; begun again")
    if place < 0 and watch.deaths[one.number, place] >= _MOST_AT_START:
        raise ValueError(
            f"{stage} {one.number}: {_MOST_AT_START} workers were {how} before they began: too little memory?"
        )
    if place >= 0 and watch.deaths[one.number, place] >= DEATHS:
        one.notes.add_fatal(place, f"passed over: {DEATHS} workers were {how} there")
    return False


def _end_if_stuck(one: _Running, most: float, watch: Watch, stage: str) -> None:
    place, since = one.notes.place()
    if place >= 0 and time.monotonic() - since > most:
        _refuse_again(one, place, stage, f"not done after {most:g} seconds")
        why = f"passed over: not done after {most:g} seconds"
        one.process.kill()
        one.process.join()
        one.stuck = True
        one.notes.add_fatal(place, why)
        watch.told.append(f"{stage} {one.number}: at {place} {why}")


def _refuse_again(one: _Running, place: int, stage: str, what: str) -> None:
    """What was to be passed over, and was not: else it would be begun for ever."""
    if place in one.notes.fatal:
        raise ValueError(
            f"{stage} {one.number}: {what} at {place}, which was to be passed over ({one.notes.fatal[place]}); allow "
            "more by reading.seconds_of_a_page, or leave this input out"
        )


def _how(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"gone with exit code {code}"
