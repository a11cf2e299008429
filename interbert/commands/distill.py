"""`interbert distill …`: what `interbert launch distill …` starts."""

import argparse

from interbert.commands import launch

HELP = "give a model the vectors that a search begins with, learnt from its own match head"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # All that is typed is the script's; argparse would take its flags for unknown ones of this verb.
    parser.prefix_chars = "\0"
    parser.add_argument(
        "words",
        nargs="*",
        metavar="…",
        help="flags of launch/distill.py (interbert launch distill --help) and of the deepspeed launcher",
    )
    parser.set_defaults(told=parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.words in (["-h"], ["--help"]):
        arguments.told.print_help()
        raise SystemExit(0)
    return launch.run(argparse.Namespace(script="distill", words=arguments.words))
