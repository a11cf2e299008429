"""What launch/pretrain.py does: make or check the data, resolve everything, then run or only report."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.config import SceneSettings, Settings, SettingsError
from interbert.ranks.distributed import Ranks, name_rendezvous, start_ranks
from interbert.ranks.ending import EXIT_CODES, AskedToStop, describe_error, exit_code
from interbert.ranks.stop import StopRequest
from interbert.train.engine.deepspeed_config import check_device, device_meant, read_engine_config
from interbert.train.folder.resume import Leg, was_restarted
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.witness import post_witness
from interbert.train.start.dry_run import describe_dry_run
from interbert.train.start.scale import Machine
from interbert.train.start.stages import legs_of, run_stages


@dataclass(frozen=True)
class Asked:
    """The words of a command line that are no settings."""

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


def run_pretraining(asked: Asked, stop: StopRequest) -> int:
    from interbert.train.pretraining import Request, pretrain  # seconds of imports, once they are needed

    settings, own = asked.settings, RunFolder(asked.folder)
    try:
        ranks = start_ranks(own.write_not_begun, stop)
    except AskedToStop:
        return EXIT_CODES["preempted"]
    ranks.main_only(own.begin)
    if ranks.is_main:
        post_witness(own)
    # Hosts count restarts differently: one that knows of one is enough.
    resume = "latest" if ranks.sum([float(was_restarted())])[0] > 0 else asked.resume

    def run(leg: Leg, resume: str = "latest") -> int:
        engine = read_engine_config(asked.deepspeed_config, leg.settings)
        check_device(engine)
        provided = provide_data(leg.settings, ranks)
        return pretrain(Request(provided, engine, leg.folder, resume, leg.steps, asked.profile, stop), ranks)

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
        provided = provide_data(leg.settings, ranks)
        print(describe_dry_run(provided, engine, leg.folder, leg.steps, asked.resume, machine, ranks))
        following = asked.legs[asked.legs.index(leg) + 1 :]
        if following and not leg.folder.export.is_dir():
            names = ", ".join(each.folder.path.name for each in following)
            print(f"stages     {names} start from weights that are not there yet: not looked into")
            break
    return 0


def provide_data(settings: Settings, ranks: Ranks) -> Settings:
    """The settings with their stores named; a recipe with `scenes` makes its own where none was given."""
    if not settings.data.train and settings.scenes is None:
        raise SettingsError(f"recipe {settings.name!r} needs data: give --data STORE or DIRECTORY")
    data = settings.data
    if not data.train:
        train, validation = ranks.main_only(lambda: make_scenes(settings.scenes))
        data = data.model_copy(update={"train": [train], "validation": data.validation or [validation]})
    return settings.model_copy(update={"data": data})


def make_scenes(scenes: SceneSettings) -> tuple[str, str]:
    """Writes the splits that are not there yet; returns the training and the validation store."""
    from interbert.sources.scenes.write import write_scenes

    folder = Path(scenes.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for split, images in scene_images(scenes).items():
        path = scene_store(scenes, split)
        if not path.exists():
            print(f"writing {path}", flush=True)
            write_scenes(path, images, scenes.seed, split=split, feature_width=scenes.feature_width)
    return str(scene_store(scenes, "train")), str(scene_store(scenes, "validation"))


def scene_images(scenes: SceneSettings) -> dict[str, int]:
    return {"train": scenes.train_images, "validation": scenes.validation_images, "test": scenes.test_images}


def scene_store(scenes: SceneSettings, split: str) -> Path:
    """The name tells all that decides the content, so a changed setting never meets another one's file."""
    images = scene_images(scenes)[split]
    return Path(scenes.folder) / f"{split}_{images}x{scenes.feature_width}_seed{scenes.seed}.h5"
