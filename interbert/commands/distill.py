"""`interbert distill …`: what `interbert launch distill …` starts."""

import argparse

from interbert.commands import launch

HELP = "give a model the vectors that a search begins with, learnt from its own match head"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="flags of launch/distill.py (interbert launch distill --help) and of the deepspeed launcher",
    )


def run(arguments: argparse.Namespace) -> int:
    return launch.run(argparse.Namespace(script="distill", words=arguments.words))
