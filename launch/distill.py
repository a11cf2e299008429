"""Give a model the vectors that a search begins with; it learns them from its own match head:

    deepspeed launch/distill.py --recipe scenes_distill --deepspeed_config ds_configs/cpu.json
    deepspeed launch/distill.py --recipe distill --model runs/mine/export --data features.h5 \\
        --deepspeed_config ds_configs/cpu.json --output-dir runs/mine_search

docs/serving.md says what comes of it. Also under torchrun, mpirun, srun, and as one process by plain python.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(next(at for at in Path(__file__).resolve().parents if (at / "interbert").is_dir())))

from interbert.commands.parser import Parser, end_with_examples
from interbert.config import Settings
from interbert.idle import refuse_idle
from interbert.ranks.script import leave, obey
from interbert.recipe import load_recipe
from interbert.train.start.flags import add_run_flags, sections_of, start
from interbert.train.start.provide import require_data

SCENES_MODEL = "runs/scenes/export"
"""What the recipe about the embedded scenes begins from."""


def parse_arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    end_with_examples(parser, "launch distill")
    add = parser.add_argument
    add(
        "--recipe",
        default="distill",
        metavar="NAME|FILE",
        help="distill (default), scenes_distill, or a .yaml file",
    )
    add("--model", metavar="DIR", help="whom to learn from: exported, or converted")
    add_run_flags(parser, data="stores, or directories of shards, whose captions and images are learnt from")
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace) -> Settings:
    given = sections_of(arguments) | {"model": {"inherit_from": arguments.model} if arguments.model else {}}
    settings = load_recipe(arguments.recipe, arguments.overrides, **{k: v for k, v in given.items() if v})
    for each in settings.stages or [settings]:
        if each.distill is None:
            raise ValueError(
                f"recipe {settings.name!r} does not distil: start it by launch/pretrain.py or finetune.py"
            )
        if not each.model.inherit_from:
            raise ValueError("no model to learn from: give --model DIR, such as runs/<name>/export")
        require_data(each)
    refuse_idle(settings)
    return settings


def refuse_missing(settings: Settings) -> Settings:
    """The same settings, where what they begin from is there."""
    path = (settings.stages or [settings])[0].model.inherit_from
    if not Path(path).exists():
        hint = "; make pretrain leaves it" if path == SCENES_MODEL else ""
        raise ValueError(f"no such folder: {path}{hint}")
    return settings


def distill(arguments: argparse.Namespace) -> int:
    return start(distillation, refuse_missing(settings_of(arguments)), arguments)


def distillation():
    """Imported once it is needed: a refused setting waits for nothing."""
    from interbert.tasks.distillation.task import DISTILLATION

    return DISTILLATION


def main() -> int:
    return obey(parse_arguments, distill)


if __name__ == "__main__":
    leave(main)
