"""Pretrain: `deepspeed launch/pretrain.py --recipe scenes --deepspeed_config ds_configs/cpu.json`.

Also under torchrun, mpirun, srun, and as one process by plain python.
"""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from interbert.ranks.handover import hand_over
from interbert.ranks.stop import StopRequest
from interbert.recipe import load_recipe, recipe_names
from interbert.train.engine.deepspeed_config import read_engine_config
from interbert.train.folder.resume import nothing_left
from interbert.train.folder.run_folder import RunFolder
from interbert.train.monitor.profiling import parse_window
from interbert.train.start.stages import legs_of


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--recipe",
        required=True,
        metavar="NAME|FILE",
        help=f"one of {', '.join(recipe_names())}, or a .yaml file",
    )
    add(
        "--deepspeed_config",
        required=True,
        metavar="NAME|FILE",
        help="one of ds_configs/ (its README says which), or a file of your own",
    )
    add("--data", nargs="+", default=[], metavar="PATH", help="stores, or directories of shards, to train on")
    add("--output-dir", metavar="DIR", help="folder of the run (default: runs/<recipe>)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        help="change a setting",
    )
    add(
        "--resume", default="latest", metavar="latest|none|PATH", help="where to go on from (default: latest)"
    )
    add("--max-steps", type=int, metavar="N", help="stop after N steps of the schedule")
    add("--seed", type=int, metavar="N", help="short for --set train.seed=N")
    add("--profile", metavar="A:B", help="trace steps A to B into the run's profile/ folder")
    add("--dry-run", action="store_true", help="check settings, batch arithmetic and data, then exit")
    imagined = parser.add_argument_group("a dry run as on another machine")
    imagined.add_argument("--world-size", type=int, metavar="N", help="ranks")
    imagined.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        help="its device (default: the one that the DeepSpeed config is for)",
    )
    imagined.add_argument("--nodes", type=int, metavar="N", help="nodes that they are on")
    imagined.add_argument("--rank-tflops", type=float, metavar="X", help="model TFLOP/s of a rank (250)")
    imagined.add_argument("--node-gbps", type=float, metavar="X", help="GB/s between nodes, each way (50)")
    add(
        "--local_rank", type=int, default=0, help=argparse.SUPPRESS
    )  # launchers append it; the environment decides
    return parser.parse_args()


def check_paths(data: list[str], resume: str) -> None:
    """What can be said at once is said before seconds of imports."""
    for path in data:
        if not Path(path).exists():
            raise ValueError(f"no data at {path}: give --data an HDF5 store or a directory of them")
    if resume not in ("latest", "none") and not Path(resume).is_dir():
        raise ValueError(
            f"no checkpoint at {resume}: give --resume latest, none, or a folder such as checkpoints/step_100"
        )


def imagined_machine(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {
        "device": arguments.device,
        "ranks": arguments.world_size,
        "nodes": arguments.nodes,
        "tflops": arguments.rank_tflops,
        "gigabytes": arguments.node_gbps,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if given and not arguments.dry_run:
        raise ValueError(
            "--device, --world-size, --nodes, --rank-tflops and --node-gbps imagine a machine: give --dry-run too"
        )
    if any(value <= 0 for value in given.values() if value != arguments.device):
        raise ValueError("--world-size, --nodes, --rank-tflops and --node-gbps must be positive")
    if given.get("ranks", 1) % given.get("nodes", 1):
        raise ValueError(f"{given.get('ranks', 1)} ranks cannot be shared equally by {given['nodes']} nodes")
    return given


def main() -> int:
    code = hand_over(sys.argv[0], sys.argv[1:])
    if code is not None:
        return code
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    sections = {}
    if arguments.data:
        sections["data"] = {"train": arguments.data}
    if arguments.seed is not None:
        sections["train"] = {"seed": arguments.seed}
    settings = load_recipe(arguments.recipe, arguments.overrides, **sections)
    if arguments.max_steps is not None and arguments.max_steps < 1:
        raise ValueError(f"--max-steps is {arguments.max_steps}: give 1 or more, or leave it out")
    window = parse_window(arguments.profile)
    folder = Path(arguments.output_dir or f"runs/{settings.name}").expanduser()
    machine, resume = imagined_machine(arguments), os.path.expanduser(arguments.resume)
    legs = legs_of(settings, folder, arguments.max_steps)
    for leg in legs:
        read_engine_config(arguments.deepspeed_config, leg.settings)
    done = resume == "latest" and nothing_left(RunFolder(folder), legs, legs_of(settings, folder, None))
    if done and not arguments.dry_run:
        if os.environ.get("RANK", "0") == "0":
            steps = sum(leg.steps for leg in legs)
            print(f"{folder}: finished, at step {steps} or beyond; --resume none trains it again")
        return 0

    for each in settings.stages or [settings]:
        check_paths([*each.data.train, *each.data.validation], resume)
    stop = StopRequest(RunFolder(folder).stop_file)
    if not arguments.dry_run:
        stop.listen()
        RunFolder(folder).make()

    # Seconds of imports, once they are needed.
    from interbert.tasks.pretraining.task import PRETRAINING
    from interbert.train.start.command import Asked, report_only, run_training

    words = (arguments.deepspeed_config, folder, resume, arguments.max_steps, window, machine)
    asked = Asked(PRETRAINING, settings, *words)
    return report_only(asked) if arguments.dry_run else run_training(asked, stop)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"pretrain: {error}")
