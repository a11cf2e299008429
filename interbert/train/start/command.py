"""What launch/pretrain.py and launch/finetune.py do: resolve everything, then run or only report."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.config import Settings, SettingsError
from interbert.ranks.distributed import Ranks, name_rendezvous, start_ranks
from interbert.ranks.ending import EXIT_CODES, AskedToStop, describe_error, exit_code
from interbert.ranks.stop import StopRequest
from interbert.train.engine.deepspeed_config import check_device, device_meant, read_engine_config
from interbert.train.folder.resume import Leg, resume_of, was_restarted
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.witness import post_witness
from interbert.train.start.dry_run import describe_dry_run
from interbert.train.start.scale import Machine
from interbert.train.start.stages import legs_of, run_stages
from interbert.train.task import Kind


@dataclass(frozen=True)
class Asked:
    """The words of a command line that are no settings."""

    kind: Kind
    settings: Settings
    deepspeed_config: str
    folder: Path
    resume: str
    max_steps: int | None
    profile: tuple[int, int] | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    """What a dry run is told of the machine that it imagines."""

    @property
    def legs(self) -> list[Leg]:
        return legs_of(self.settings, self.folder, self.max_steps)


def run_training(asked: Asked, stop: StopRequest) -> int:
    from interbert.train.prepare import Request  # seconds of imports, once they are needed
    from interbert.train.run import run_task

    settings, own = asked.settings, RunFolder(asked.folder)
    try:
        ranks = start_ranks(own.write_not_begun, stop)
    except AskedToStop:
        return EXIT_CODES["preempted"]
    ranks.main_only(own.begin)
    if ranks.is_main:
        post_witness(own)
    # Hosts count restarts differently: one that knows of one is enough.
    restarted = ranks.sum([float(was_restarted())])[0] > 0
    resume = ranks.main_only(lambda: resume_of(asked.resume, restarted, own))

    def run(leg: Leg, resume: str = "latest") -> int:
        engine = read_engine_config(asked.deepspeed_config, leg.settings)
        check_device(engine)
        provided = asked.kind.provide(leg.settings, ranks)
        # How many steps epochs are is settled by the run; an earlier one's number is only there to be compared.
        steps = asked.max_steps or sys.maxsize if leg.settings.train.epochs else leg.steps
        request = Request(provided, asked.kind.open, engine, leg.folder, resume, steps, asked.profile, stop)
        return run_task(request, ranks)

    try:
        if not settings.stages:
            return exit_code(run(asked.legs[0], resume), stop.by_hand)
        if resume not in ("latest", "none"):
            raise SettingsError(
                f"--resume {resume}: a recipe of stages knows where it stands; give latest or none"
            )
        code = run_stages(settings, own, asked.legs, run, ranks, afresh=resume == "none")
        return exit_code(code, stop.by_hand)
    except Exception as error:
        own.write_failure(ranks.rank, 0, *describe_error(error))
        raise
    finally:
        ranks.close()


def report_only(asked: Asked) -> int:
    """A dry run: says what would be done, on one rank, without meeting others."""
    name_rendezvous()
    if os.environ["RANK"] != "0":
        return 0
    ranks = Ranks.alone()
    for leg in asked.legs:
        engine = read_engine_config(asked.deepspeed_config, leg.settings)
        here = {"ranks": int(os.environ["WORLD_SIZE"]), "device": device_meant(engine)}
        machine = Machine(**(here | asked.machine))
        task = asked.kind.glance(asked.kind.provide(leg.settings, ranks), ranks)
        print(describe_dry_run(task, engine, leg.folder, leg.steps, asked.resume, machine))
        following = asked.legs[asked.legs.index(leg) + 1 :]
        if following and not leg.folder.export.is_dir():
            names = ", ".join(each.folder.path.name for each in following)
            print(f"stages     {names} start from weights that are not there yet: not looked into")
            break
    return 0
