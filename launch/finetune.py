"""Fine-tune on examples of your own, or by a recipe:

    deepspeed launch/finetune.py --task classify --model runs/scenes/export --data features.h5 \\
        --examples train.jsonl --validation val.jsonl --deepspeed_config ds_configs/cpu.json --output-dir runs/mine
    deepspeed launch/finetune.py --recipe scenes_retrieval --deepspeed_config ds_configs/cpu.json

docs/examples.md has the format of examples. Also under torchrun, mpirun, srun, and as one process by plain python.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(next(at for at in Path(__file__).resolve().parents if (at / "interbert").is_dir())))

from interbert.commands.parser import Parser, end_with_examples
from interbert.config import Kind, Settings
from interbert.idle import refuse_idle
from interbert.ranks.script import leave, obey
from interbert.recipe import load_recipe
from interbert.sources.scenes.splits import examples_of
from interbert.tasks.finetuning.provide import name_examples
from interbert.train.start.flags import add_run_flags, sections_of, start

OWN = "finetune"
"""The recipe of who brings examples instead of one."""
SCENES_MODEL = "runs/scenes/export"
"""What the recipes about the embedded scenes begin from."""


def parse_arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    end_with_examples(parser, "launch finetune")
    add = parser.add_argument
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--task", choices=get_args(Kind), help="what is learnt of your own examples")
    which.add_argument(
        "--recipe", metavar="NAME|FILE", help="a task by name (python -m interbert settings lists them)"
    )
    add("--model", metavar="DIR", help="begin from this model: exported, or converted")
    add("--examples", metavar="FILE", help="examples to train on, as JSON lines")
    add("--validation", metavar="FILE", help="examples to be judged on")
    add("--new-head", action="store_true", help="make the head new although the model has another one")
    add("--seeds", type=int, nargs="+", default=[], metavar="N", help="a run for each, one after the other")
    add(
        "--grid",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE,VALUE",
        help="a run for each value, and for each seed; several make a grid",
    )
    add_run_flags(parser, data="stores that hold the examples' images")
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace, more: list[str] = ()) -> Settings:
    """more: overrides besides."""
    task = {
        "kind": arguments.task,
        "examples": arguments.examples,
        "validation": arguments.validation,
        "new_head": arguments.new_head or None,
    }
    given = sections_of(arguments) | {
        "task": {name: value for name, value in task.items() if value is not None},
        "model": {"inherit_from": arguments.model} if arguments.model else {},
    }
    given = {name: fields for name, fields in given.items() if fields}
    settings = load_recipe(arguments.recipe or OWN, [*arguments.overrides, *more], **given)
    if any(each.distill for each in settings.stages or [settings]):
        raise ValueError(f"recipe {settings.name!r} distils: start it by launch/distill.py")
    if settings.task is None:
        raise ValueError(
            f"recipe {settings.name!r} pretrains: start it by launch/pretrain.py, or give --task and --examples"
        )
    refuse_idle(settings)
    settings = name_examples(settings)
    if settings.task.examples is None and settings.task.sets is None:
        raise ValueError("no examples to train on: give --examples FILE (docs/examples.md has the format)")
    return settings


def refuse_missing(settings: Settings) -> Settings:
    """The same settings, where what they begin from and learn from is there."""
    own = examples_of(settings.scenes) if settings.scenes and settings.scenes.world else ()
    for path in (settings.task.examples, settings.task.validation, settings.model.inherit_from):
        if path and path not in own and not Path(path).exists():
            hint = "; make pretrain leaves it, or begin from nothing: --set model.inherit_from=null"
            raise ValueError(f"no such file or folder: {path}{hint if path == SCENES_MODEL else ''}")
    return settings


def finetune(arguments: argparse.Namespace) -> int:
    settings = refuse_missing(settings_of(arguments))
    if arguments.seeds or arguments.grid:
        return sweep(settings, arguments)
    return start(finetuning, settings, arguments)


def sweep(settings: Settings, arguments: argparse.Namespace) -> int:
    """A run for each point of a grid and each seed."""
    from interbert.tasks.sweep.start import start_sweep

    if arguments.dry_run:
        raise ValueError("a dry run is of one run: leave --grid and --seeds out")
    if arguments.resume != "latest" or arguments.profile:
        raise ValueError("a sweep goes on from where its runs are: leave --resume and --profile out")
    refuse_said_twice(arguments)
    if not (settings.task.validation or settings.data.validation or settings.scenes):
        raise ValueError("runs of a sweep are compared on validation examples: give --validation FILE")
    return start_sweep(
        finetuning(), settings, arguments, lambda words: refuse_missing(settings_of(arguments, words))
    )


FLAGS = {
    "train.seed": "seed",
    "data.train": "data",
    "model.inherit_from": "model",
    "task.examples": "examples",
    "task.validation": "validation",
    "task.new_head": "new_head",
}
"""Settings that flags of their own say; a flag overrules whatever else says the same."""


def refuse_said_twice(arguments: argparse.Namespace) -> None:
    """Runs that differ in name alone would look like a measurement."""
    swept = {given.partition("=")[0]: "--grid" for given in arguments.grid}
    swept |= {"train.seed": "--seeds"} if arguments.seeds else {}
    for key, name in FLAGS.items():
        said = getattr(arguments, name)
        if key in swept and said is not None and said is not False and said != []:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{flag} says {key} for all runs, and {swept[key]} for each of them: leave one of them out"
            )


def finetuning():
    """Imported once it is needed: a refused setting waits for nothing."""
    from interbert.tasks.finetuning.task import FINETUNING

    return FINETUNING


def main() -> int:
    return obey(parse_arguments, finetune)


if __name__ == "__main__":
    leave(main)
