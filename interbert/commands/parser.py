"""Flags and what is said of them: a fault in one line with the remedy, `--help` with two lines to type."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from interbert.commands.examples import EXAMPLES


class Parser(argparse.ArgumentParser):
    """argparse's, without the screen of usage before each fault."""

    example: str | None = None

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Whoever is asked knows all the words: a verb's own parser names its own flags."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = [word for word in unknown if word.startswith("-")]
            said = nearest(flags[0].split("=")[0], self._option_string_actions) if flags else None
            self.error(
                f"unrecognized arguments: {' '.join(unknown)}" + (f" (did you mean {said}?)" if said else "")
            )
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        near = nearest(str(value), choices)
        said = f"did you mean {near}?" if near else f"choose from {', '.join(choices)}"
        raise argparse.ArgumentError(action, f"there is no {value!r}: {said}")

    def error(self, message: str) -> NoReturn:
        remedy = (
            f"for example `{self.example}`" if self.example else f"`{self.prog} --help` says what there is"
        )
        self.exit(2, f"{self.prog}: {message}; {remedy}\n")


def end_with_examples(parser: Parser, called: str) -> None:
    """Whatever is said there before; and so of what the verb is divided into."""
    own = f"{parser.epilog}\n\n" if parser.epilog else ""
    parser.epilog = own + "\n  ".join(("examples:", *EXAMPLES[called]))
    parser.example = EXAMPLES[called][0]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                end_with_examples(inner, f"{called} {name}")


def nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, 1, cutoff=0.7)), None)
