"""`interbert ab report`: what a trial of two models says."""

import argparse

from interbert.commands.ab import report

HELP = "judge a trial of two models by what users were shown and clicked"
ACTIONS = {"report": report}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    for name, module in ACTIONS.items():
        action = actions.add_parser(
            name, help=module.HELP, description=f"{module.HELP[0].upper()}{module.HELP[1:]}."
        )
        module.add_arguments(action)


def run(arguments: argparse.Namespace) -> int:
    return ACTIONS[arguments.action].run(arguments)
