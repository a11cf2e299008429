"""`python -m interbert import TASK`: the official files of a task, into examples (docs/official_tasks.md).

Verbs of two words, each with flags of its own.
"""

from typing import Any

from interbert.commands.official import glue, kdd2020, muge, nlvr2, refcoco, snli_ve, vcr, vqa2
from interbert.commands.output import add_overwrite
from interbert.commands.parser import end_with_examples

TASKS = {
    "vqa2": vqa2,
    "nlvr2": nlvr2,
    "snli-ve": snli_ve,
    "vcr": vcr,
    "refcoco": refcoco,
    "glue": glue,
    "muge": muge,
    "kdd2020": kdd2020,
}
"""Each has ABOUT, add_arguments(parser) and run(arguments) -> exit code."""


def add_verbs(verbs: Any, asked: str | None) -> None:
    """asked: as build_parser has it."""
    for name, task in TASKS.items():
        verb = f"import {name}"
        parser = verbs.add_parser(verb, description=task.ABOUT)
        end_with_examples(parser, verb)
        if asked in (None, verb):
            task.add_arguments(parser)
            add_overwrite(parser)
            parser.set_defaults(run=task.run)


def joined(words: list[str]) -> list[str]:
    """The words of a command line, `import` and a task as one."""
    if words[:1] == ["import"] and words[1:2] and words[1] in TASKS:
        return [" ".join(words[:2]), *words[2:]]
    return words
