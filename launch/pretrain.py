"""Pretrain: `deepspeed launch/pretrain.py --recipe scenes --deepspeed_config ds_configs/cpu.json`.

Also under torchrun, mpirun, srun, and as one process by plain python.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from interbert.doors import expand_paths, run_door
from interbert.ranks.handover import hand_over
from interbert.recipe import load_recipe, recipe_names
from interbert.train.start.flags import add_run_flags, start


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--recipe",
        required=True,
        metavar="NAME|FILE",
        help=f"one of {', '.join(recipe_names())}, or a .yaml file",
    )
    add("--data", nargs="+", default=[], metavar="PATH", help="stores, or directories of shards, to train on")
    add("--seed", type=int, metavar="N", help="short for --set train.seed=N")
    add_run_flags(parser)
    return parser.parse_args()


def main() -> int:
    code = hand_over(sys.argv[0], sys.argv[1:])
    if code is not None:
        return code
    arguments = expand_paths(parse_arguments())
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    sections = {}
    if arguments.data:
        sections["data"] = {"train": arguments.data}
    if arguments.seed is not None:
        sections["train"] = {"seed": arguments.seed}
    settings = load_recipe(arguments.recipe, arguments.overrides, **sections)
    if settings.task is not None:
        raise ValueError(f"recipe {settings.name!r} fine-tunes: start it by launch/finetune.py")
    return start(pretraining, settings, arguments)


def pretraining():
    """Imported once it is needed: a refused setting waits for nothing."""
    from interbert.tasks.pretraining.task import PRETRAINING

    return PRETRAINING


if __name__ == "__main__":
    sys.exit(run_door("pretrain", main))
