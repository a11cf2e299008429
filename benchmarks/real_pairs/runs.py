"""Runs of the recipes `real` and `real_zh`, and of `real_distill` above each, by commands that anybody would type."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from interbert.ranks.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {"en": "real", "zh": "real_zh"}
VECTORS = "real_distill"
BERT, NOTHING = "bert", "nothing"


class RunError(ValueError):
    """A run that ended before its time; its own output says why."""


@dataclass(frozen=True)
class Run:
    language: str
    beginning: str
    """bert, or nothing: then only its tokenizer is taken."""
    seed: int

    @property
    def name(self) -> str:
        return f"{self.language}-{self.beginning}-{self.seed}"


@dataclass(frozen=True)
class How:
    """What all runs have in common."""

    data: Path
    """With a folder of stores for each language."""
    runs: Path
    berts: dict[str, Path]
    ranks: int
    deepspeed_config: str
    settings: tuple[str, ...]
    """section.key=value, that differ from the recipe of pretraining."""
    distilled: tuple[str, ...] = ()
    """The same of the recipe that makes the vectors."""


def command(run: Run, how: How) -> list[str]:
    bert, data = how.berts[run.language], how.data / run.language
    settings = [
        f"data.tokenizer={bert}",
        f"data.validation=[{data / 'validation.h5'}]",
        f"train.seed={run.seed}",
        *([f"model.bert={bert}"] if run.beginning == BERT else []),
        *how.settings,
    ]
    return [
        *launch("pretrain.py", RECIPES[run.language], how),
        *("--data", str(data / "train.h5"), "--output-dir", str(how.runs / run.name)),
        *(word for setting in settings for word in ("--set", setting)),
    ]


def vectors_command(run: Run, how: How) -> list[str]:
    return [
        *launch("distill.py", VECTORS, how),
        *(
            "--model",
            str(how.runs / run.name / "export"),
            "--data",
            str(how.data / run.language / "train.h5"),
        ),
        *("--output-dir", str(how.runs / f"{run.name}-vectors")),
        *(word for setting in (f"train.seed={run.seed}", *how.distilled) for word in ("--set", setting)),
    ]


def launch(script: str, recipe: str, how: How) -> list[str]:
    return [
        *(str(Path(sys.executable).with_name("deepspeed")), "--num_gpus", str(how.ranks)),
        *("--master_port", str(free_port()), str(ROOT / "launch" / script)),
        *("--recipe", recipe, "--deepspeed_config", how.deepspeed_config),
    ]


def train(run: Run, how: How) -> tuple[Path, Path]:
    """Folders of the pretrained model and of its vectors."""
    pretrained, vectors = how.runs / run.name, how.runs / f"{run.name}-vectors"
    finish(command(run, how), pretrained)
    finish(vectors_command(run, how), vectors)
    return pretrained, vectors


def finish(asked: list[str], folder: Path) -> None:
    """What is there is not done again, what was cut short goes on."""
    if not (folder / "export").is_dir():
        done = subprocess.run(asked, env={**os.environ, "PYTHONPATH": _paths()})
        if done.returncode or not (folder / "export").is_dir():
            raise RunError(
                f"{folder} did not finish (code {done.returncode}); the same command goes on where it was"
            )


def _paths() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
