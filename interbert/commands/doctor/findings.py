"""Is this machine, or this set of ranks, fit for training? The first question of every support thread, answered.

A finding is what was looked at, how it stands (ok, note, wrong), what was seen, and what to do about it.
"""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from packaging.requirements import Requirement

from interbert.kernels.apex import apex_symbol
from interbert.kernels.attend.fused_build import architecture, nvcc
from interbert.kernels.attend.fused_table import longest
from interbert.kernels.attend.self_check import failed_check
from interbert.kernels.compile import Unavailable, cache_folder
from interbert.kernels.cpu import native
from interbert.kernels.cpu.bf16 import has_bf16
from interbert.ranks.hostfile import read_hostfile

SHARED_MEMORY_GB, DISK_GB = 1.0, 10.0
SECONDS = 5.0
"""What a host may take to answer."""


@dataclass(frozen=True)
class Finding:
    name: str
    state: str
    seen: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"\n{'':32}-> {self.remedy}" if self.remedy and self.state != "ok" else ""
        return f"{self.state:6} {self.name:24} {self.seen}{remedy}"


def look(output: Path, hostfile: Path | None, port: int) -> Iterator[Finding]:
    yield from versions()
    yield from compilers()
    yield from gpus()
    yield from kernels()
    yield from storage(output)
    yield free_port(port)
    if hostfile is not None:
        yield from hosts(hostfile)


def versions() -> Iterator[Finding]:
    python = platform.python_version()
    fits = (3, 11) <= sys.version_info < (3, 14)
    yield Finding(
        "python", "ok" if fits else "wrong", f"{python}, {sys.executable}", "take Python 3.11 to 3.13"
    )
    pins = pinned()
    for asked in map(Requirement, metadata.requires("interbert") or ()):
        tested = f"; tested with {pins[asked.name]}" if asked.name in pins else ""
        wanted = f"{asked.name}=={pins[asked.name]}" if tested else f"{asked.name}{asked.specifier}"
        remedy = f"pip install '{wanted}'"
        try:
            found = metadata.version(asked.name)
        except metadata.PackageNotFoundError:
            if asked.marker is None:  # else an extra, of which nothing was said
                yield Finding(asked.name, "wrong", f"not installed{tested}", remedy)
            continue
        if not asked.specifier.contains(found):
            yield Finding(asked.name, "wrong", f"{found}; needs {asked.specifier}{tested}", remedy)
        elif tested and found.split("+")[0] != pins[asked.name]:
            yield Finding(asked.name, "note", f"{found}{tested}", remedy)
        elif asked.name in ("torch", "deepspeed"):
            yield Finding(asked.name, "ok", f"{found}{tested}")


def pinned() -> dict[str, str]:
    """What the suite was run with, where this is a checkout."""
    checkout = Path(__file__).parents[3]
    if not (checkout / "pyproject.toml").is_file():
        return {}
    lines = (checkout / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def compilers() -> Iterator[Finding]:
    for program, why in (
        ("g++", "DeepSpeed builds an op with it"),
        ("ninja", "DeepSpeed builds ops with it"),
    ):
        found = shutil.which(program)
        yield Finding(
            program, "ok" if found else "wrong", found or "not on PATH", f"{why}: install it, or mend PATH"
        )


def gpus() -> Iterator[Finding]:
    count = torch.cuda.device_count()
    if not count:
        seen = f"none seen by torch {torch.__version__}"
        driver = shutil.which("nvidia-smi")
        remedy = (
            "there is a driver: install torch's CUDA build (requirements.txt without TORCH_INDEX)"
            if driver
            else ""
        )
        yield Finding("gpu", "wrong" if driver else "note", seen, remedy)
        return
    for number in range(count):
        properties = torch.cuda.get_device_properties(number)
        yield Finding(
            f"gpu {number}",
            "ok",
            f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, sm_{properties.major}{properties.minor}",
        )
    try:
        said = subprocess.run([nvcc(), "--version"], capture_output=True, text=True, check=False).stdout
        toolkit = re.search(r"release (\d+)\.", said)
        agree = toolkit is not None and toolkit[1] == (torch.version.cuda or "").split(".")[0]
        seen = f"nvcc {toolkit[1] if toolkit else '?'}, torch for CUDA {torch.version.cuda}"
        yield Finding(
            "cuda",
            "ok" if agree else "note",
            seen,
            "take a toolkit of torch's major version: kernels are built with it",
        )
    except Unavailable as reason:
        yield Finding("cuda", "note", str(reason), "without it attention falls back to torch's")


def kernels() -> Iterator[Finding]:
    there = native.library() is not None
    yield Finding(
        "cpu kernels",
        "ok" if there else "note",
        "bf16 on tile registers" if there else "torch's (no AMX, or no g++)",
        "" if has_bf16(torch.device("cpu")) else "train in fp32 on this processor (ds_configs/cpu.json)",
    )
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        for width in (64, 96):
            reach = longest(width, architecture(device), backward=True)
            failure = failed_check(width, device) if reach else "not made for this architecture"
            seen = failure or f"head width {width} to {reach} tokens, checked"
            yield Finding(
                f"attention on gpu {number}",
                "note" if failure else "ok",
                seen,
                "attention falls back to torch's",
            )
    found = [name for name in ("FusedAdam", "FusedLAMB", "FusedLayerNorm") if apex_symbol(name) is not None]
    yield Finding(
        "apex", "ok", ", ".join(found) or "not there (optional; it is not the PyPI package of that name)"
    )


def storage(output: Path) -> Iterator[Finding]:
    for name, path in (("disk of runs", output), ("disk of the cache", cache_folder())):
        place = next(p for p in (path, *path.absolute().parents) if p.exists())
        free = shutil.disk_usage(place).free / 1e9
        writable = os.access(place, os.W_OK)
        state = "ok" if writable and free >= DISK_GB else "wrong" if not writable else "note"
        seen = f"{free:.1f} GB free at {place}" + ("" if writable else ", which cannot be written to")
        yield Finding(
            name, state, seen, f"checkpoints want {DISK_GB:g} GB and more: make room, or name another folder"
        )
    shared = Path("/dev/shm")
    if shared.exists():
        size = shutil.disk_usage(shared).total / 1e9
        state = "ok" if size >= SHARED_MEMORY_GB else "wrong"
        yield Finding(
            "shared memory",
            state,
            f"{size:.2f} GB",
            "ranks of a host talk through it: docker run --shm-size=8g, or --ipc=host",
        )
    locked = "unlimited" if _locked_memory() < 0 else f"{_locked_memory() / 1e9:.2f} GB"
    yield Finding(
        "lockable memory",
        "ok" if locked == "unlimited" else "note",
        locked,
        "InfiniBand wants ulimit -l unlimited",
    )


def _locked_memory() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]


def free_port(port: int) -> Finding:
    with socket.socket() as listener:
        try:
            listener.bind(("", port))
        except OSError as error:
            return Finding(
                f"port {port}", "wrong", error.strerror, "another run has it: give this one --master_port"
            )
    return Finding(f"port {port}", "ok", "free")


def hosts(hostfile: Path) -> Iterator[Finding]:
    try:
        named = read_hostfile(hostfile)
    except (ValueError, OSError) as error:
        yield Finding("hostfile", "wrong", str(error), "a line is: NAME slots=NUMBER")
        return
    yield Finding("hostfile", "ok", f"{len(named)} hosts, {sum(named.values())} ranks in {hostfile}")
    with ThreadPoolExecutor(32) as pool:
        yield from pool.map(reach, named)


def reach(host: str) -> Finding:
    """Through ssh, as the launcher will: with keys, without questions; and the same interpreter must be there."""
    command = f"{sys.executable} -c 'import torch; print(torch.__version__)'"
    words = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={SECONDS:.0f}", host, command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=12 * SECONDS)
    except FileNotFoundError:
        return Finding(
            f"host {host}", "wrong", "no ssh here", "install an ssh client, or start ranks by srun or mpirun"
        )
    except subprocess.TimeoutExpired:
        return Finding(
            f"host {host}", "wrong", f"no answer in {12 * SECONDS:.0f} s", "is it up, and its network?"
        )
    said = (done.stderr.strip().splitlines() or ["no word"])[-1]
    if done.returncode == 255:
        return Finding(
            f"host {host}",
            "wrong",
            f"not reached: {said}",
            f"mend until `ssh {host} true` works without a question",
        )
    if done.returncode:
        return Finding(
            f"host {host}",
            "wrong",
            f"no {sys.executable} with torch there: {said}",
            "install the project at the same path on all hosts",
        )
    version = done.stdout.strip()
    same = version == torch.__version__
    return Finding(
        f"host {host}",
        "ok" if same else "wrong",
        f"reached; torch {version}",
        f"here it is {torch.__version__}: install the same",
    )
