"""What a search is made of, part by part:

    python benchmarks/serve.py stages --model runs/scenes_distill/export --data heldout.h5
    python benchmarks/serve.py nearest --model runs/scenes_distill/export --data scenes_20000.h5 --items 1000000
    python benchmarks/serve.py packed
    python benchmarks/serve.py load

stages: how much of what exhaustive scoring puts first the first stage hands on, R@1 after ranking again, and the time
of each, for several numbers of candidates. nearest: a graph of a million vectors, made of those of the data's images,
each moved as far as its nearest neighbour is away; asked by the vectors of captions; and how long an index of so many
items takes to open. packed: requests of 1 to 4 and of 32 candidates ranked again in packed micro-batches, against one
request after another, padded to its longest pair. load: the same as strangers send them, at random: the highest rates
at which 99 of 100 are answered in time, in most of three windows; and how long those take that are let in when four
times as many come as can be answered. How it is done stands in serve_parts.py and serve_load.py.
"""

from pathlib import Path

import report
import serve_load
import serve_parts

PARTS = {"stages": serve_parts.stages, "nearest": serve_parts.nearest, "packed": serve_parts.packed}
PARTS["load"] = serve_load.load
OF_DATA = ("stages", "nearest")


def parser():
    found = report.parser(__doc__)
    add = found.add_argument
    add("part", nargs="?", choices=PARTS, default="packed", help="what is measured (packed)")
    add("--model", type=Path, metavar="DIR", help="stages, nearest: with distilled heads, best")
    add("--data", type=Path, metavar="STORE", help="stages, nearest: images and captions")
    add("--captions", type=int, default=1000, metavar="N", help="that ask (1,000)")
    add("--candidates", type=int, nargs="+", default=[1, 4, 8, 16, 32, 64, 128], metavar="N")
    add("--items", type=int, default=1_000_000, metavar="N", help="nearest: vectors (1,000,000)")
    add(
        "--dtype",
        choices=("i8", "f16", "bf16"),
        default="f16",
        help="nearest: what vectors are held in (f16)",
    )
    add(
        "--look",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="nearest: also with so many candidates looked at",
    )
    add(
        "--folder",
        type=Path,
        metavar="DIR",
        help="nearest: where the index is made, and left (default: nowhere)",
    )
    add("--preset", default="small", help="packed, load: size of the model (small)")
    add("--requests", type=int, default=200, metavar="N", help="packed, load: of each size (200)")
    add(
        "--sizes",
        nargs="+",
        choices=serve_load.SIZES,
        default=list(serve_load.SIZES),
        help="load: candidates of a request (all)",
    )
    add("--seconds", type=float, default=9.0, metavar="S", help="load: of each window of a rate (9)")
    add(
        "--p99",
        type=float,
        default=5.0,
        metavar="N",
        help="load: of requests, as many times as one takes by itself, padded (5)",
    )
    add(
        "--most",
        type=float,
        default=6.0,
        metavar="N",
        help="load: the highest rate that is tried, in what one after another, padded, would be done (6)",
    )
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    return found


def main() -> None:
    arguments = parser().parse_args()
    if arguments.part in OF_DATA and not (arguments.model and arguments.data):
        raise SystemExit(f"{arguments.part}: give --model DIR and --data STORE")
    figures = PARTS[arguments.part](arguments)
    report.write_json(arguments.json, {"part": arguments.part, **figures})


if __name__ == "__main__":
    main()
