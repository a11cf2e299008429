"""Evaluate: `python launch/evaluate.py --task retrieval --model DIR --data STORE`, or `--run runs/scenes`.

Also on several ranks, under deepspeed, torchrun, mpirun or srun: the figures are the same, sooner.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args

sys.path.insert(0, str(next(at for at in Path(__file__).resolve().parents if (at / "interbert").is_dir())))

from interbert.commands.output import JUDGED, add_overwrite, output_path
from interbert.commands.parser import Parser, end_with_examples
from interbert.config import Kind
from interbert.ranks.script import leave, obey

if TYPE_CHECKING:
    from interbert.ranks.distributed import Ranks

RETRIEVAL = "retrieval"
OF_RETRIEVAL = (
    "split_captions",
    "max_images",
    "folds",
    "within_folds",
    "shortlist",
    "vectors",
    "work",
    "queries",
)


def parse_arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    end_with_examples(parser, "launch evaluate")
    add_what_is_judged(parser)
    add_how_the_model_runs(parser)
    add_how_pairs_are_ranked(parser)
    # Launchers append it; the environment decides.
    parser.add_argument("--local_rank", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    fault = fault_of(arguments, parser)
    if fault:
        parser.error(fault)
    inputs = [
        *map(Path, arguments.data),
        *filter(None, (arguments.model or arguments.run, arguments.examples, arguments.queries)),
    ]
    if arguments.output:
        kind = None if arguments.task == RETRIEVAL else JUDGED
        arguments.output = output_path(arguments.output, arguments.overwrite, inputs, folder=kind)
    if arguments.submission:
        replaces = arguments.overwrite or arguments.submission.suffix == ".zip"  # which gathers
        arguments.submission = output_path(arguments.submission, replaces, inputs, name="--submission")
    return arguments


def add_what_is_judged(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--task",
        required=True,
        choices=[RETRIEVAL, *get_args(Kind)],
        help="retrieval: all pairs of images and captions; else what the model was fine-tuned for, on --examples",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model", type=Path, metavar="DIR", help="an exported model, such as runs/<name>/export"
    )
    which.add_argument(
        "--run", type=Path, metavar="DIR", help="a run: before and after, into its evaluation.json"
    )
    stores = "stores (a run of scenes has its own held-out ones)"
    add("--data", nargs="+", default=[], metavar="PATH", help=stores)
    add("--examples", type=Path, metavar="FILE", help="what is judged, or predicted, as JSON lines")
    add("--metric", default="auto", help="of examples: the figure that is told first")
    add(
        "--output",
        type=Path,
        metavar="PATH",
        help="retrieval: file for the figures as JSON; of examples: folder for figures, predictions and their page",
    )
    submission = (
        "of official examples, and of --queries: also the file that the task's server takes (a .zip gathers those of "
        "GLUE)"
    )
    add("--submission", type=Path, metavar="FILE", help=submission)
    add_overwrite(parser)


def add_how_the_model_runs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    regions = "of each image only the first N regions (default: of examples as in training, else all)"
    add("--max-regions", type=int, metavar="N", help=regions)
    positions = "cut texts to N tokens (default: of examples as in training, else the model's positions)"
    add("--max-text-tokens", type=int, metavar="N", help=positions)
    budget = "tokens of a micro-batch (default: 4096; on a GPU 131072, of examples 32768)"
    add("--token-budget", type=int, metavar="N", help=budget)
    add(
        "--precision",
        choices=["auto", "fp32", "bf16"],
        default="auto",
        help="auto: bf16 where the device multiplies matrices in it, else fp32",
    )
    skip = "compare images with their checksums, and leave out of the figures those that are damaged"
    add("--skip-damaged", action="store_true", help=skip)


def add_how_pairs_are_ranked(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("retrieval").add_argument
    captions = "one caption an image that is true of it alone, or all"
    add("--split-captions", choices=["distinctive", "all"], help=captions)
    add("--max-images", type=int, metavar="N", help="only the first N images")
    folds = "also the mean of the figures within N folds of the images (COCO: 5 of 1,000)"
    add("--folds", type=int, default=1, metavar="N", help=folds)
    add("--within-folds", action="store_true", help="score no pairs but those within the folds")
    add(
        "--shortlist",
        type=int,
        metavar="K",
        help="score the K nearest images of each caption and captions of each image only, by --vectors",
    )
    queries = (
        "rank these, of MUGE's or Chinese-CLIP's files, against all images instead of the data's captions"
    )
    add("--queries", type=Path, metavar="FILE", help=queries)
    vectors = ".npz or .h5 with arrays images and captions: a vector of each, in the order of the data"
    add("--vectors", metavar="FILE", help=vectors)
    add(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep scores here as they are made: a killed evaluation goes on where it was (default: beside the "
        "output, until it is written)",
    )


def fault_of(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> str | None:
    """What is lacking, or means nothing here, or contradicts itself."""
    if arguments.task == RETRIEVAL:
        if arguments.examples:
            return "--examples are of a task: give --task KIND"
        if arguments.submission and not arguments.queries:
            return "--submission is of a task, or of --queries: give --task KIND, or queries"
        if arguments.metric != "auto":
            return "--metric is of a task: give --task KIND"
        of_captions = [
            name
            for name in ("split_captions", "folds", "within_folds")
            if getattr(arguments, name) != parser.get_default(name)
        ]
        if arguments.queries and (of_captions or arguments.run):
            return f"{flag_of([*of_captions, 'run'][0])} does not go with --queries: leave it out"
        if arguments.queries and not arguments.queries.is_file():
            return f"--queries {arguments.queries}: no such file"
        if arguments.model and not arguments.data:
            return "--model needs --data: one or more stores"
    else:
        missing = [f"--{name}" for name in ("model", "examples", "output") if not getattr(arguments, name)]
        if missing:
            return f"--task {arguments.task} needs {', '.join(missing)}"
        idle = [name for name in OF_RETRIEVAL if getattr(arguments, name) != parser.get_default(name)]
        if idle:
            return f"{flag_of(idle[0])} is of --task retrieval: leave it out"
    if (arguments.shortlist is None) != (arguments.vectors is None):
        return "--shortlist and --vectors come together"
    if arguments.within_folds and arguments.folds == 1:
        return "--within-folds needs --folds: how many"
    for name in ("max_images", "max_regions", "max_text_tokens", "token_budget", "folds", "shortlist"):
        given = getattr(arguments, name)
        if given is not None and given < 1:
            return f"{flag_of(name)} must be at least 1"
    return None


def flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def refuse_missing(arguments: argparse.Namespace) -> None:
    """What is not there is told before ranks meet."""
    given = [*arguments.data, arguments.examples, arguments.vectors, arguments.model, arguments.run]
    for path in filter(None, given):
        if not Path(path).exists():
            raise ValueError(f"no such file or folder: {path}")
    model = arguments.model or arguments.run / "export"
    if not (model / "config.json").is_file():
        until = "; the run has to finish first" if arguments.run else " such as runs/<name>/export"
        raise ValueError(f"{model}: no config.json: no directory of a model{until}")


def evaluate(arguments: argparse.Namespace) -> int:
    refuse_missing(arguments)
    if arguments.task == RETRIEVAL:
        evaluate_retrieval(arguments)
    else:
        evaluate_task(arguments)
    return 0


def evaluate_task(arguments: argparse.Namespace) -> None:
    """On examples."""
    from interbert.tasks.finetuning.evaluate import evaluate_examples
    from interbert.tasks.official.official import named_figures, refuse_without_submission, write_submission
    from interbert.tasks.results.metrics import metric_of
    from interbert.tasks.results.results import PREDICTIONS

    if arguments.submission:
        refuse_without_submission(arguments.submission, arguments.examples)
    with ranks_of_launch() as ranks:
        results = evaluate_examples(
            arguments.task,
            arguments.model,
            arguments.examples,
            arguments.data,
            arguments.output,
            ranks,
            metric=arguments.metric,
            precision=arguments.precision,
            max_regions=arguments.max_regions,
            max_text_tokens=arguments.max_text_tokens,
            token_budget=arguments.token_budget,
            skip_damaged=arguments.skip_damaged,
        )
        if ranks.is_main:
            value = metric_of(arguments.task, results["metric"]).told(results["value"])
            print(
                f"{results['metric']} {value} of {results['examples']} examples; {arguments.output}/results.html",
                flush=True,
            )
            for name, figure in named_figures(results.get("official")):
                print(f"{name} {figure}", flush=True)
            if arguments.submission:
                print(write_submission(arguments.submission, arguments.output / PREDICTIONS), flush=True)


def evaluate_retrieval(arguments: argparse.Namespace) -> None:
    """All pairs of images and captions, of a model or of a run."""
    from interbert.files import write_json
    from interbert.tasks.retrieval.evaluation import (
        Options,
        evaluate_model,
        evaluate_queries,
        evaluate_run,
        format_queries,
        format_table,
    )
    from interbert.tasks.retrieval.tile_folder import clear

    options = Options(**{field.name: getattr(arguments, field.name) for field in fields(Options)})
    output_file = arguments.run / "evaluation.json" if arguments.run else arguments.output
    beside = output_file.with_name(f"{output_file.name}.tiles") if output_file else None
    work = arguments.work or beside
    with ranks_of_launch() as ranks:
        if arguments.queries:
            output = evaluate_queries(
                arguments.model, arguments.data, arguments.queries, ranks, options, work, arguments.submission
            )
        elif arguments.run:
            results = output = evaluate_run(arguments.run, arguments.data, ranks, options, work)
        else:
            output = evaluate_model(arguments.model, arguments.data, ranks, options, work)
            results = {"": output}
        if ranks.is_main:
            print(format_queries(output) if arguments.queries else format_table(results), flush=True)
            if arguments.output:
                write_json(arguments.output, output)
            if beside is not None and work == beside:
                clear(beside)


@contextmanager
def ranks_of_launch() -> "Iterator[Ranks]":
    from interbert.ranks.distributed import start_ranks

    ranks = start_ranks()
    try:
        yield ranks
    finally:
        ranks.close()


def main() -> int:
    return obey(parse_arguments, evaluate)


if __name__ == "__main__":
    leave(main)
