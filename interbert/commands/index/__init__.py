"""`interbert index build|add|remove|split|verify`: what a search looks through."""

import argparse

from interbert.commands.index import add, build, remove, split, verify

HELP = "build an index of a store's images for a search, change it, or check it"
ACTIONS = {"build": build, "add": add, "remove": remove, "split": split, "verify": verify}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    for name, module in ACTIONS.items():
        action = actions.add_parser(
            name, help=module.HELP, description=f"{module.HELP[0].upper()}{module.HELP[1:]}."
        )
        module.add_arguments(action)


def run(arguments: argparse.Namespace) -> int:
    return ACTIONS[arguments.action].run(arguments)
