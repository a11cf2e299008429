"""Evaluate: `python launch/evaluate.py --task retrieval --model DIR --data STORE`, or `--run runs/scenes`.

Also on several ranks, under deepspeed, torchrun, mpirun or srun: the figures are the same, sooner.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from interbert.commands.output import JUDGED, add_overwrite, output_path
from interbert.config import Kind
from interbert.doors import expand_paths, run_door
from interbert.ranks.handover import hand_over


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--task",
        required=True,
        choices=["retrieval", *get_args(Kind)],
        help="retrieval: all pairs of images and captions; else what the model was fine-tuned for, on --examples",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--model", type=Path, metavar="DIR", help="an exported model, such as runs/<name>/export"
    )
    which.add_argument(
        "--run", type=Path, metavar="DIR", help="a run: before and after, into its evaluation.json"
    )
    add(
        "--data",
        nargs="+",
        default=[],
        metavar="PATH",
        help="stores (a run of scenes has its own held-out ones)",
    )
    add("--examples", type=Path, metavar="FILE", help="what is judged, or predicted, as JSON lines")
    add("--metric", default="auto", help="of examples: the figure that is told first")
    add(
        "--output",
        type=Path,
        metavar="PATH",
        help="retrieval: file for the figures as JSON; of examples: folder for figures, predictions and their page",
    )
    add_overwrite(parser)
    add(
        "--split-captions",
        choices=["distinctive", "all"],
        help="one caption an image that is true of it alone, or all",
    )
    add("--max-images", type=int, metavar="N", help="only the first N images")
    add("--max-regions", type=int, metavar="N", help="of each image only the first N regions")
    add(
        "--max-text-tokens",
        type=int,
        metavar="N",
        help="cut captions to N tokens (default: the model's positions)",
    )
    add(
        "--token-budget",
        type=int,
        metavar="N",
        help="tokens of a micro-batch (default: 4096; 131072 on a GPU)",
    )
    add(
        "--folds",
        type=int,
        default=1,
        metavar="N",
        help="also the mean of the figures within N folds of the images (COCO: 5 of 1,000)",
    )
    add("--within-folds", action="store_true", help="score no pairs but those within the folds")
    add(
        "--shortlist",
        type=int,
        metavar="K",
        help="score the K nearest images of each caption and captions of each image only, by --vectors",
    )
    add(
        "--vectors",
        metavar="FILE",
        help=".npz or .h5 with arrays images and captions: a vector of each, in the order of the data",
    )
    add(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep scores here as they are made: a killed evaluation goes on where it was (default: beside the "
        "output, until it is written)",
    )
    add(
        "--precision",
        choices=["auto", "fp32", "bf16"],
        default="auto",
        help="auto: bf16 where the device multiplies matrices in it, else fp32",
    )
    add(
        "--local_rank", type=int, default=0, help=argparse.SUPPRESS
    )  # launchers append it; the environment decides
    arguments = expand_paths(parser.parse_args())
    if arguments.task == "retrieval":
        if arguments.examples:
            parser.error("--examples are of a task: give --task KIND")
        if arguments.model and not arguments.data:
            parser.error("--model needs --data: one or more stores")
    else:
        missing = [f"--{name}" for name in ("model", "examples", "output") if not getattr(arguments, name)]
        if missing:
            parser.error(f"--task {arguments.task} needs {', '.join(missing)}")
    if (arguments.shortlist is None) != (arguments.vectors is None):
        parser.error("--shortlist and --vectors come together")
    if arguments.within_folds and arguments.folds == 1:
        parser.error("--within-folds needs --folds: how many")
    for name in ("max_images", "max_regions", "max_text_tokens", "token_budget", "folds", "shortlist"):
        given = getattr(arguments, name)
        if given is not None and given < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if arguments.output and arguments.task == "retrieval":
        inputs = [*map(Path, arguments.data), arguments.model or arguments.run]
        arguments.output = output_path(arguments.output, arguments.overwrite, inputs)
    return arguments


def evaluate_task(arguments: argparse.Namespace) -> int:
    """On examples."""
    from interbert.ranks.distributed import start_ranks
    from interbert.tasks.finetuning.evaluate import evaluate_examples
    from interbert.tasks.metrics import metric_of

    inputs = [*map(Path, arguments.data), arguments.model, arguments.examples]
    output = output_path(arguments.output, arguments.overwrite, inputs, folder=JUDGED)
    ranks = start_ranks()
    try:
        results = evaluate_examples(
            arguments.task,
            arguments.model,
            arguments.examples,
            arguments.data,
            output,
            ranks,
            metric=arguments.metric,
            precision=arguments.precision,
            max_regions=arguments.max_regions,
            max_text_tokens=arguments.max_text_tokens,
            token_budget=arguments.token_budget,
        )
        if ranks.is_main:
            told = metric_of(arguments.task, results["metric"]).told(results["value"])
            print(
                f"{results['metric']} {told} of {results['examples']} examples; {output}/results.html",
                flush=True,
            )
    finally:
        ranks.close()
    return 0


def main() -> int:
    code = hand_over(sys.argv[0], sys.argv[1:])
    if code is not None:
        return code
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")

    if arguments.task != "retrieval":
        return evaluate_task(arguments)

    from transformers.utils.logging import disable_progress_bar

    from interbert.files import write_json
    from interbert.ranks.distributed import start_ranks
    from interbert.tasks.evaluation import Options, evaluate_model, evaluate_run, format_table
    from interbert.tasks.tile_folder import clear

    disable_progress_bar()
    options = Options(
        split_captions=arguments.split_captions,
        max_images=arguments.max_images,
        max_regions=arguments.max_regions,
        max_text_tokens=arguments.max_text_tokens,
        token_budget=arguments.token_budget,
        precision=arguments.precision,
        folds=arguments.folds,
        within_folds=arguments.within_folds,
        shortlist=arguments.shortlist,
        vectors=arguments.vectors,
    )
    output_file = arguments.run / "evaluation.json" if arguments.run else arguments.output
    beside = output_file.with_name(f"{output_file.name}.tiles") if output_file else None
    work = arguments.work or beside
    ranks = start_ranks()
    try:
        if arguments.run:
            results = evaluate_run(arguments.run, arguments.data, ranks, options, work)
            output = results
        else:
            output = evaluate_model(arguments.model, arguments.data, ranks, options, work)
            results = {"": output}
        if ranks.is_main:
            print(format_table(results), flush=True)
            if arguments.output:
                write_json(arguments.output, output)
            if beside is not None and work == beside:
                clear(beside)
    finally:
        ranks.close()
    return 0


if __name__ == "__main__":
    sys.exit(run_door("evaluate", main))
