"""A run: a task and settings in, a trained and exported model out."""

import traceback

from interbert.ranks.distributed import Ranks
from interbert.ranks.ending import EXIT_CODES, State, again_after, describe_error
from interbert.train.folder.watchdog import Watchdog
from interbert.train.leave import leave
from interbert.train.loop import Progress, Training, exhausted, train
from interbert.train.prepare import Request, prepare


def run_task(request: Request, ranks: Ranks) -> int:
    """Runs, and leaves an honest status.json whatever happens; returns the exit code."""
    stop = request.stop
    stop.watch_launcher(ranks.launcher)
    watchdog = Watchdog(request.folder, ranks.rank, request.settings.train)
    progress, again = Progress(), None
    try:
        run = prepare(request, ranks, progress, watchdog)
        if ranks.is_main:
            request.folder.write_status("running", progress.step, "training")
        state, reason = _train_and_close(run)
        if state == "finished":
            with watchdog.phase("export"):
                leave(run)
    except Exception as error:
        state, (reason, again) = "failed", describe_error(error)
        if not isinstance(error, ValueError):
            traceback.print_exc()
    except KeyboardInterrupt:
        state, reason = "failed", "interrupted a second time, before it had saved"
    watchdog.close()
    if state == "failed":  # whichever rank it was: rank 0 may only ever see it killed
        reason = request.folder.write_failure(ranks.rank, progress.step, reason, again or "no")
    elif ranks.is_main:
        complete = state == "finished" and _learnt_out(run)
        again = again_after(state, stop.by_hand)
        request.folder.write_status(state, progress.step, reason, again, complete=complete)
    if ranks.is_main or state == "failed":
        print(f"{state}: {reason} ({request.folder.path})", flush=True)
    return EXIT_CODES[state]


def _train_and_close(run: Training) -> tuple[State, str]:
    try:
        return train(run)
    finally:
        run.loader.close()
        run.profiler.close()
        if run.monitor:
            run.monitor.close()


def _learnt_out(run: Training) -> bool:
    """At the end of its schedule, or of its patience."""
    return exhausted(run) or run.progress.step >= run.settings.train.schedule_steps
