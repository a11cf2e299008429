"""The flags that launch/pretrain.py and launch/finetune.py share, and what is said before anything heavy."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.config import Settings
from interbert.ranks.stop import StopRequest
from interbert.train.engine.deepspeed_config import read_engine_config
from interbert.train.folder.resume import nothing_left
from interbert.train.folder.run_folder import RunFolder
from interbert.train.monitor.profiling import parse_window
from interbert.train.monitor.trackers import tracker_of
from interbert.train.start.stages import legs_of

if TYPE_CHECKING:
    from interbert.train.task import Kind


def add_run_flags(parser: argparse.ArgumentParser, data: str) -> None:
    """Flags that every script has which starts runs. data: what its stores are to the script."""
    add = parser.add_argument
    add("--data", nargs="+", default=[], metavar="PATH", help=data)
    add("--seed", type=int, metavar="N", help="short for --set train.seed=N")
    add(
        "--deepspeed_config",
        required=True,
        metavar="NAME|FILE",
        help="one of ds_configs/ (its README says which), or a file of your own",
    )
    add("--output-dir", metavar="DIR", help="folder of the run (default: runs/<recipe>)")
    add_set_flag(parser, "change a setting")
    add(
        "--resume", default="latest", metavar="latest|none|PATH", help="where to go on from (default: latest)"
    )
    add("--max-steps", type=int, metavar="N", help="stop after N steps of the schedule")
    add("--profile", metavar="A:B", help="trace steps A to B into the run's profile/ folder")
    add("--dry-run", action="store_true", help="check settings, batch arithmetic and data, then exit")
    _add_imagined(parser)
    # Launchers append it; the environment decides.
    add("--local_rank", type=int, default=0, help=argparse.SUPPRESS)


def add_set_flag(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides", help=what
    )


def sections_of(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The settings that flags of their own say."""
    return {
        "data": {"train": arguments.data} if arguments.data else {},
        "train": {"seed": arguments.seed} if arguments.seed is not None else {},
    }


def _add_imagined(parser: argparse.ArgumentParser) -> None:
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


def start(kind: Callable[[], Kind], settings: Settings, arguments: argparse.Namespace) -> int:
    """What can be said at once is said before seconds of imports; then the run, or the report of a dry one."""
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
            status = RunFolder(folder).read_status()
            assert status is not None
            told = f"finished, at step {status['step']} ({status['reason']})"
            print(f"{folder}: {told}; --resume none trains it again")
        return 0

    for each in settings.stages or [settings]:
        check_paths([*each.data.train, *each.data.validation], resume)
        for spec in each.train.trackers:
            tracker_of(spec)
    stop = StopRequest(RunFolder(folder).stop_file)
    if not arguments.dry_run:
        stop.listen()
        RunFolder(folder).make()

    from interbert.train.start.command import Asked, report_only, run_training

    asked = Asked(
        kind(), settings, arguments.deepspeed_config, folder, resume, arguments.max_steps, window, machine
    )
    return report_only(asked) if arguments.dry_run else run_training(asked, stop)


def check_paths(data: list[str], resume: str) -> None:
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
