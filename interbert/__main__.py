"""`interbert <verb>`, or `python -m interbert <verb>`: the local tools."""

import importlib
import keyword
import sys

from interbert import __version__
from interbert.commands import official
from interbert.commands.parser import Parser, end_with_examples
from interbert.doors import expand_paths, run_door

# A verb is a module of interbert.commands with HELP, add_arguments(parser) and run(arguments) -> exit code.
# It imports what is heavy inside run, so that --help answers at once.
VERBS = (
    "scenes",
    "import",
    "extract",
    "curate",
    "tokenizer",
    "verify",
    "inspect",
    "mine",
    "join",
    "convert",
    "export",
    "score",
    "distill",
    "index",
    "serve",
    "ab",
    "build-kernels",
    "launch",
    "doctor",
    "settings",
    "summary",
    "runs",
)


def build_parser(asked: str | None = None) -> Parser:
    """asked: the one verb whose flags are wanted; None: those of all, which takes half a second of imports."""
    parser = Parser(prog="interbert", description=__doc__)
    parser.add_argument("--version", action="version", version=f"interbert {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        name = f"{verb}_" if keyword.iskeyword(verb) else verb.replace("-", "_")
        module = importlib.import_module(f"interbert.commands.{name}")
        command = verbs.add_parser(
            verb,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.",
        )
        if asked not in (None, verb):
            continue
        module.add_arguments(command)
        end_with_examples(command, verb)
        command.set_defaults(run=module.run)
    official.add_verbs(verbs, asked)
    return parser


def main(arguments: list[str] | None = None) -> int:
    given = official.joined(sys.argv[1:] if arguments is None else arguments)

    def run() -> int:
        parsed = expand_paths(build_parser(given[0] if given else "").parse_args(given or ["--help"]))
        return parsed.run(parsed)

    return run_door("interbert", run, fault_code=2)


if __name__ == "__main__":
    sys.exit(main())
