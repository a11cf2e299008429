"""`python -m interbert doctor`: what is wrong with this machine, or with the ranks that were started."""

import argparse
import os
from pathlib import Path

from interbert.ranks.launcher import started_by

HELP = "check versions, compilers, GPUs, kernels, disks, hosts; started as ranks, whether they meet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hostfile", type=Path, metavar="FILE", help="try each of its hosts through ssh")
    add(
        "--output-dir",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="where runs would be written (runs)",
    )
    add("--master_port", type=int, default=29500, metavar="N", help="port that must be free (29500)")
    add(
        "--deadline",
        type=float,
        metavar="S",
        help="seconds that ranks have to meet (INTERBERT_RENDEZVOUS_SECONDS, or 600)",
    )
    add("--local_rank", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    from interbert.commands.doctor.findings import look

    wrong = 0
    if os.environ.get("RANK", "0") == "0" and os.environ.get("SLURM_PROCID", "0") == "0":
        for finding in look(arguments.output_dir, arguments.hostfile, arguments.master_port):
            if not (started_by(os.environ) != "python" and finding.name.startswith("port ")):
                print(finding, flush=True)
                wrong += finding.state == "wrong"
    if started_by(os.environ) != "python":
        from interbert.commands.doctor.meeting import try_meeting

        finding, speaks = try_meeting(arguments.deadline)
        wrong += finding.state == "wrong"
        if speaks:
            print(finding, flush=True)
    return 1 if wrong else 0
