"""What launch/pretrain.py does: make or check the data, resolve everything, then run or only report."""

import os
from pathlib import Path

from interbert.config import SceneSettings, Settings, SettingsError
from interbert.train.deepspeed_config import check_device, load_engine_config
from interbert.train.distributed import Ranks, start_ranks
from interbert.train.dry_run import describe_dry_run
from interbert.train.pretraining import Request, pretrain
from interbert.train.run_folder import EXIT_CODES, RunFolder
from interbert.train.scale import Machine
from interbert.train.stages import run_stages
from interbert.train.stop import StopRequest
from interbert.train.witness import post_witness

ASSUMED = {"tflops": 250.0, "gigabytes": 50.0}
"""Of a dry run that is told nothing else: what public encoder trainers reach on a recent GPU, and 400 Gbit/s."""


def run_pretraining(
    settings: Settings,
    deepspeed_config: str,
    folder: Path,
    *,
    resume: str,
    max_steps: int | None,
    profile: tuple[int, int] | None,
    dry_run: bool,
    machine: dict[str, float],
    stop: StopRequest,
) -> int:
    ranks = start_ranks()
    own = RunFolder(folder)
    if not dry_run:
        ranks.main_only(own.begin)
        if ranks.is_main:
            post_witness(own)
    if ranks.sum([was_restarted()])[0] > 0:
        resume = "latest"  # whatever was asked for when it was started by hand

    def run(settings: Settings, folder: Path, max_steps: int | None) -> int:
        imagined = Machine(**{"ranks": ranks.world_size, "nodes": 1, **ASSUMED, **machine})
        engine = load_engine_config(
            deepspeed_config, settings, imagined.ranks if dry_run else ranks.world_size
        )
        check_device(engine)
        settings = provide_data(settings, ranks)
        request = Request(settings, engine, RunFolder(folder), resume, max_steps, profile, stop)
        if dry_run:
            described = describe_dry_run(request, ranks, imagined)
            if ranks.is_main:
                print(described)
            return 0
        return pretrain(request, ranks)

    try:
        if not settings.stages:
            return leaving(run(settings, folder, max_steps))
        if resume not in ("latest", "none"):
            raise SettingsError(
                f"--resume {resume}: a recipe of stages knows where it stands; give latest or none"
            )
        return leaving(run_stages(settings, folder, run, max_steps, dry_run, ranks))
    except Exception as error:
        if not dry_run:
            own.write_failure(ranks.rank, 0, f"{type(error).__name__}: {error}")
        raise
    finally:
        ranks.close()


def was_restarted() -> float:
    """By SLURM or by torchrun, with the words of its first start."""
    counts = [os.environ.get(name, "0") for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")]
    return float(any(int(count) > 0 for count in counts))


def leaving(code: int) -> int:
    """torchrun starts again whoever ends with another code than 0, also those that were asked to stop."""
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0
    return 0 if restarts and code == EXIT_CODES["preempted"] else code


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
    from interbert.data.scenes.write import write_scenes

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
