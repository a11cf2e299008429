"""From a command line with a grid to its runs: on the same ranks, one after the other."""

import argparse
import gc
from collections.abc import Callable
from pathlib import Path

from interbert.config import Settings
from interbert.ranks.distributed import start_ranks
from interbert.ranks.ending import EXIT_CODES, AskedToStop
from interbert.ranks.stop import StopRequest
from interbert.tasks.sweep.files import check_files
from interbert.tasks.sweep.plan import Variant, plan_sweep
from interbert.tasks.sweep.run import run_sweep
from interbert.train.engine.deepspeed_config import check_device, read_engine_config
from interbert.train.folder.resume import Leg
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.witness import post_witness
from interbert.train.start.stages import legs_of
from interbert.train.task import Kind


def forget() -> None:
    """Makes room for the next run: an engine stands in circles, which only the collector ends."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
    wanted = {variant.folder: settings_with(variant.overrides) for variant in plan}
    for settings_of_one in wanted.values():  # what cannot be is said before the first of them begins
        read_engine_config(arguments.deepspeed_config, settings_of_one)
    whole = RunFolder(folder)
    stop = StopRequest(whole.stop_file)
    stop.listen()
    whole.make()
    try:
        ranks = start_ranks(whole.write_not_begun, stop)
    except AskedToStop:
        return EXIT_CODES["preempted"]

    def leg_of(variant: Variant) -> Leg:
        """As it is now: how many steps its epochs are is known once it has begun."""
        (leg,) = legs_of(wanted[variant.folder], variant.folder, arguments.max_steps)
        return leg

    def run(variant: Variant) -> int:
        leg = leg_of(variant)
        own = leg.folder
        ranks.main_only(own.make)
        ranks.main_only(own.begin)
        if ranks.is_main:
            post_witness(own)
        engine = read_engine_config(arguments.deepspeed_config, leg.settings)
        check_device(engine)
        provided = kind.provide(leg.settings, ranks)
        ranks.main_only(lambda: check_files(folder, [provided]))
        try:
            return run_task(Request(provided, kind.open, engine, own, "latest", leg.steps, None, stop), ranks)
        finally:
            forget()

    try:
        ranks.main_only(whole.lock)  # two starts of one sweep would write into the same folders
        ranks.main_only(lambda: check_files(folder, wanted.values()))
        base = settings.model_dump(mode="json")
        return run_sweep(folder, plan, base, run, ranks, lambda variant: leg_of(variant).finished)
    finally:
        ranks.close()
