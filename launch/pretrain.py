"""Pretrain: `deepspeed launch/pretrain.py --recipe scenes --deepspeed_config ds_configs/cpu.json`.

Also under torchrun, mpirun, srun, and as one process by plain python.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(next(at for at in Path(__file__).resolve().parents if (at / "interbert").is_dir())))

from interbert.commands.parser import Parser, end_with_examples
from interbert.config import Settings
from interbert.idle import refuse_idle
from interbert.ranks.script import leave, obey
from interbert.recipe import load_recipe, recipe_names
from interbert.train.start.flags import add_run_flags, sections_of, start
from interbert.train.start.provide import require_data


def parse_arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    end_with_examples(parser, "launch pretrain")
    parser.add_argument(
        "--recipe",
        required=True,
        metavar="NAME|FILE",
        help=f"one of {', '.join(recipe_names())}, or a .yaml file",
    )
    add_run_flags(parser, data="stores, or directories of shards, to train on")
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace) -> Settings:
    settings = load_recipe(arguments.recipe, arguments.overrides, **sections_of(arguments))
    if settings.task is not None:
        raise ValueError(f"recipe {settings.name!r} fine-tunes: start it by launch/finetune.py")
    if any(each.distill for each in settings.stages or [settings]):
        raise ValueError(f"recipe {settings.name!r} distils: start it by launch/distill.py")
    refuse_idle(settings)
    for each in settings.stages or [settings]:
        require_data(each)
    return settings


def pretrain(arguments: argparse.Namespace) -> int:
    return start(pretraining, settings_of(arguments), arguments)


def pretraining():
    """Imported once it is needed: a refused setting waits for nothing."""
    from interbert.tasks.pretraining.task import PRETRAINING

    return PRETRAINING


def main() -> int:
    return obey(parse_arguments, pretrain)


if __name__ == "__main__":
    leave(main)
