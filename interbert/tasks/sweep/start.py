"""From a command line with a grid to its runs: on the same ranks, one after the other."""

import argparse
from collections.abc import Callable
from pathlib import Path

from interbert.config import Settings
from interbert.ranks.distributed import start_ranks
from interbert.ranks.ending import EXIT_CODES, AskedToStop
from interbert.ranks.stop import StopRequest
from interbert.tasks.sweep.plan import Variant, plan_sweep
from interbert.tasks.sweep.run import run_sweep
from interbert.train.engine.deepspeed_config import check_device, read_engine_config
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.witness import post_witness
from interbert.train.start.stages import legs_of
from interbert.train.task import Kind


def start_sweep(
    kind: Kind,
    settings: Settings,
    arguments: argparse.Namespace,
    settings_with: Callable[[list[str]], Settings],
) -> int:
    """settings_with: the settings of a run, from overrides besides."""
    from interbert.train.prepare import Request
    from interbert.train.run import run_task

    folder = Path(arguments.output_dir or f"runs/{settings.name}").expanduser()
    plan = plan_sweep(folder, arguments.grid, arguments.seeds)
    for variant in plan:  # what cannot be is said before the first of them begins
        read_engine_config(arguments.deepspeed_config, settings_with(variant.overrides))
    whole = RunFolder(folder)
    stop = StopRequest(whole.stop_file)
    stop.listen()
    whole.make()
    try:
        ranks = start_ranks(whole.write_not_begun, stop)
    except AskedToStop:
        return EXIT_CODES["preempted"]

    def run(variant: Variant) -> int:
        own, wanted = RunFolder(variant.folder), settings_with(variant.overrides)
        ranks.main_only(own.make)
        ranks.main_only(own.begin)
        if ranks.is_main:
            post_witness(own)
        (leg,) = legs_of(wanted, variant.folder, arguments.max_steps)
        engine = read_engine_config(arguments.deepspeed_config, wanted)
        check_device(engine)
        provided = kind.provide(wanted, ranks)
        return run_task(Request(provided, kind.open, engine, own, "latest", leg.steps, None, stop), ranks)

    try:
        base = settings.model_dump(mode="json")
        return run_sweep(folder, plan, base, run, ranks)
    finally:
        ranks.close()
