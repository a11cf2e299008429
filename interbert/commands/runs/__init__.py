"""`interbert runs`: runs beside each other: how far they are, what differs, and how one was started."""

import argparse
from pathlib import Path

from interbert.printing import printable_lines

HELP = "list runs, compare two of them, or show one and the command that started it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    whats = parser.add_subparsers(dest="what", metavar="WHAT")
    add = whats.add_parser(
        "list", help="a line for each run of a folder (what `interbert runs` does)"
    ).add_argument
    add("folder", type=Path, nargs="?", default=Path("runs"), metavar="DIR", help="what holds them (runs)")
    add = whats.add_parser("show", help="what a run came to, or how it was started").add_argument
    add("run_folder", type=Path, metavar="RUN", help="folder of the run, or its name in runs/")
    add("--command", action="store_true", help="only the command that started it, to be pasted")
    add = whats.add_parser("compare", help="settings and figures that differ, and both curves").add_argument
    add("both", type=Path, nargs=2, metavar="RUN", help="folder of a run, or its name in runs/")
    add("--picture", type=Path, metavar="FILE.png", help="draw the losses of both over one another")
    add("--overwrite", action="store_true", help="replace a picture that is there")


def run(arguments: argparse.Namespace) -> int:
    print(printable_lines(_told(arguments)))
    return 0


def _told(arguments: argparse.Namespace) -> str:
    from interbert.commands.runs.read import RUNS, found

    if arguments.what == "show":
        return _shown(found(arguments.run_folder), arguments.command)
    if arguments.what == "compare":
        from interbert.commands.runs.compare import compare, draw

        folders = [found(path) for path in arguments.both]
        picture = arguments.picture and draw(folders, arguments.picture, arguments.overwrite)
        return compare(folders) + (f"\n\n{picture}" if picture else "")
    from interbert.commands.runs.listing import listed

    return listed(getattr(arguments, "folder", RUNS))


def _shown(folder: Path, command_alone: bool) -> str:
    from interbert.commands.runs.started import command_of, is_noted
    from interbert.commands.summary import summarise

    if command_alone:
        return command_of(folder)
    return summarise(folder) + (f"\n\n{command_of(folder)}" if is_noted(folder) else "")
