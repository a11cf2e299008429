"""Compiles the fused kernels with the check program, as a whole program that sanitizers can watch."""

import os
import subprocess
from pathlib import Path

from interbert.kernels.attend.fused_build import SOURCES

CHECK = Path(__file__).parent / "check.cpp"
SANITIZERS = {
    "none": ([], []),
    "address": (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-DEMULATOR_ASAN"]),
    "thread": (["-fsanitize=thread"], ["-DEMULATOR_TSAN"]),
}
SCHEDULES = {"in order": 0, "random": 1, "greedy": 2}


def compile_check(
    folder: Path, sanitizer: str, width: int, buckets: list[int], sources: Path = SOURCES
) -> Path:
    """The emulator is compiled without the sanitizer: it tells it of the fibers, and is not itself looked at."""
    flags, emulator_flags = SANITIZERS[sanitizer]
    lengths = ",".join(map(str, buckets))
    common = ["g++", "-std=c++17", "-g1", "-Wall", "-Wno-unknown-pragmas", f"-DWIDTH={width}", f"-I{sources}"]
    kernels = [*common, *flags, "-O1", f"-DFORWARD={lengths}", f"-DBACKWARD={lengths}", "-x", "c++"]
    program = folder / "check"
    _run(
        [
            *common,
            "-O2",
            *emulator_flags,
            "-c",
            str(sources / "emulator.cpp"),
            "-o",
            str(folder / "emulator.o"),
        ]
    )
    _run([*kernels, "-c", str(sources / "entry.cu"), "-o", str(folder / "entry.o")])
    objects = [str(folder / "entry.o"), str(folder / "emulator.o")]
    _run([*common, *flags, "-O2", str(CHECK), *objects, "-o", str(program)])
    return program


def failure_of(program: Path, schedule: str, seed: int, lengths: list[int]) -> str | None:
    """What the program says when it fails; None when all is well."""
    command = [str(program), str(SCHEDULES[schedule]), str(seed), *map(str, lengths)]
    # The first report is enough, and a leak is none: the fibers live as long as the process.
    environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1", ASAN_OPTIONS="detect_leaks=0")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=600, errors="replace"
    )
    return (
        None if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout}{done.stderr}"[-4000:]
    )


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
