"""`python -m interbert curate`: images with fitting texts out of pages of the web."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.commands.output import add_overwrite

if TYPE_CHECKING:
    from interbert.curate.run import Wishes

HELP = "collect images with fitting texts from web pages, filtered and counted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Pages and images that are already here (nothing is downloaded) become shards of image, text and where they "
        "come from, with a report of what each rule let through. The same inputs give the same bytes, however many "
        "processes work on them; killed and started again, it goes on behind the last finished unit."
    )
    parser.add_argument(
        "--input", nargs="+", default=[], type=Path, metavar="PAGES",
        help="WARC and ARC files, folders of them or of saved pages, lines of JSON",
    )  # fmt: skip
    parser.add_argument(
        "--images", nargs="+", default=[], type=Path, metavar="PATH",
        help="more places where images lie: folders, tars, parquet, WARCs, what img2dataset wrote",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of shards and report")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="thresholds that differ from the defaults, in YAML"
    )
    parser.add_argument(
        "--never", nargs="+", default=[], type=Path, metavar="FILE",
        help="images that must not come, nor any that look the same: files, or a .txt of hashes",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, metavar="N", help="processes at once (all cores)")
    parser.add_argument(
        "--tasks",
        type=int,
        metavar="N",
        help="jobs of an array, or tasks of Ray, that share the units (as many as these)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--slurm",
        nargs="+",
        metavar="NAME=VALUE",
        help="hand it to SLURM: time=HH:MM:SS partition=NAME, and what else",
    )
    where.add_argument("--ray", action="store_true", help="on the Ray cluster that this machine belongs to")
    parser.add_argument("--explain", metavar="URL", help="say what became of a page or an image of --output")
    parser.add_argument(
        "--train-scorer", type=Path, metavar="FILE",
        help="make a scorer of fit from the finished --output, with the model and regions of --config",
    )  # fmt: skip
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="for --train-scorer: lines of JSON with image, text and fits (0 or 1)",
    )
    add_overwrite(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.output is None:
        raise ValueError("--output DIR is needed: where the shards go, or lie")
    _need_libraries()
    if arguments.explain:
        from interbert.curate.explain import explain

        print("\n".join(explain(arguments.output, arguments.explain)))
        return 0
    if arguments.labels is not None and arguments.train_scorer is None:
        raise ValueError("--labels are what --train-scorer FILE learns from: give both")
    if arguments.train_scorer is not None:
        return _train(arguments)
    if not arguments.input:
        raise ValueError("--input PAGES is needed: WARC or ARC files, a folder, lines of JSON")
    return _curate(arguments)


def _train(arguments: argparse.Namespace) -> int:
    from interbert.curate.fit.training import train_on
    from interbert.curate.settings import load_settings
    from interbert.curate.stages.plan import load_plan

    rules = load_settings(arguments.config).fit
    if rules.model is None:
        raise ValueError("--train-scorer needs --config FILE with fit.model, and fit.features or fit.encoder")
    if arguments.labels is not None and not arguments.labels.is_file():
        raise ValueError(f"--labels {arguments.labels}: no such file")
    scorer, counts = train_on(load_plan(arguments.output), arguments.labels, rules)
    scorer.save(arguments.train_scorer)
    print(
        f"{arguments.train_scorer}: from " + ", ".join(f"{n:,} labels {kind}" for kind, n in counts.items())
    )
    return 0


def _curate(arguments: argparse.Namespace) -> int:
    import os

    from interbert.curate.run import Wishes, curate
    from interbert.curate.settings import load_settings

    workers = arguments.workers if arguments.workers is not None else len(os.sched_getaffinity(0))
    if workers < 1 or (arguments.tasks is not None and arguments.tasks < 1):
        raise ValueError("--workers and --tasks are at least 1")
    output = _output(arguments.output)
    wishes = Wishes(
        arguments.input, arguments.images, arguments.never, output, load_settings(arguments.config), workers,
        arguments.overwrite,
    )  # fmt: skip
    if arguments.slurm or arguments.ray:
        return _on_cluster(arguments, wishes)
    print(_summary(output, curate(wishes)))
    return 0


def _on_cluster(arguments: argparse.Namespace, wishes: "Wishes") -> int:
    from interbert.curate.cluster import run_ray, submit_slurm
    from interbert.curate.run import plan_of
    from interbert.files import read_json

    plan = plan_of(wishes)
    tasks = arguments.tasks or len(plan.units)
    if arguments.slurm:
        last = submit_slurm(plan, tasks, arguments.slurm)
        print(f"{wishes.output}: handed to SLURM; job {last} writes the report when all others are done")
        return 0
    run_ray(plan, tasks, wishes.workers)
    print(_summary(wishes.output, read_json(wishes.output / "report.json")))
    return 0


def _output(path: Path) -> Path:
    from interbert.curate.stages.plan import PLAN

    if path.exists() and not path.is_dir():
        raise ValueError(f"--output {path}: a file; name a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / PLAN).exists():
        raise ValueError(f"--output {path}: not empty, and nothing that was begun here; name another folder")
    return path


def _summary(output: Path, report: dict) -> str:
    lines = [
        f"{output}: {report['kept']:,} pairs in {report['shards']:,} shards",
        f"  {report['pages']:,} pages, {report['image_tags']:,} image tags, {report['images_found']:,} with their "
        f"file, {report['images_stored']:,} different images",
    ]
    if report["bad_places"] or report["images_broken"]:
        lines.append(
            f"  {report['bad_places']:,} places and {report['images_broken']:,} images could not be read: "
            "report.json names them"
        )
    if report["not_judged"]:
        lines.append(f"  not judged, for nothing was given to judge by: {', '.join(report['not_judged'])}")
    return "\n".join([*lines, f"  {output / 'report.html'} shows what each rule dropped"])


def _need_libraries() -> None:
    import importlib.util

    missing = [
        name for name in ("fastwarc", "resiliparse", "fasttext", "ftfy") if not importlib.util.find_spec(name)
    ]
    if missing:
        raise ValueError(
            f"curate needs {', '.join(missing)}: pip install 'interbert[curate]', or .[curate] here"
        )
