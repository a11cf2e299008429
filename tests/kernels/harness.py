"""Compiles the fused kernels with the check program, as a whole program that sanitizers can watch."""

import os
import subprocess
from pathlib import Path

import torch

from interbert.kernels.attend.fused_build import SOURCES
from interbert.kernels.attend.primitive_trials import TRIALS, trial_input

CHECK, TRIAL = (Path(__file__).parent / name for name in ("check.cpp", "trial.cpp"))
SANITIZERS = {
    "none": ([], []),
    "address": (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-DEMULATOR_ASAN"]),
    "thread": (["-fsanitize=thread"], ["-DEMULATOR_TSAN"]),
}
SCHEDULES = {"in order": 0, "random": 1, "greedy": 2}


def compile_check(
    folder: Path, sanitizer: str, width: int, buckets: list[int], sources: Path = SOURCES, arch: int = 90
) -> Path:
    """Of the kernels, on a machine of this architecture."""
    lengths = ",".join(map(str, buckets))
    flags = [f"-DEMULATED_SM={arch}", f"-DWIDTH={width}", f"-DFORWARD={lengths}", f"-DBACKWARD={lengths}"]
    return compile_program(folder, sanitizer, CHECK, "entry.cu", flags, sources)


def compile_trials(folder: Path, sanitizer: str, arch: int, sources: Path = SOURCES) -> Path:
    """Of the single operations, as a machine of this architecture does them."""
    return compile_program(
        folder, sanitizer, TRIAL, "primitives_check.cu", [f"-DEMULATED_SM={arch}"], sources
    )


def compile_program(
    folder: Path, sanitizer: str, main: Path, kernels: str, defined: list[str], sources: Path
) -> Path:
    """The emulator is compiled without the sanitizer: it tells it of the fibers, and is not itself looked at."""
    flags, emulator_flags = SANITIZERS[sanitizer]
    common = ["g++", "-std=c++17", "-g1", "-Wall", "-Wno-unknown-pragmas", *defined, f"-I{sources}"]
    objects = [str(folder / "kernels.o"), str(folder / "emulator.o")]
    emulator = [*common, "-O2", *emulator_flags, "-c", str(sources / "emulator.cpp")]
    _run([*emulator, "-o", objects[1]])
    _run([*common, *flags, "-O1", "-x", "c++", "-c", str(sources / kernels), "-o", objects[0]])
    program = folder / "check"
    _run([*common, *flags, "-O2", str(main), *objects, "-o", str(program)])
    return program


def failure_of(program: Path, schedule: str, seed: int, lengths: list[int]) -> str | None:
    """What the program says when it fails; None when all is well."""
    return _complaint([str(program), str(SCHEDULES[schedule]), str(seed), *map(str, lengths)])


def failure_of_trial(program: Path, number: int, schedule: str, seed: int) -> str | None:
    """The same of a trial of primitive_trials.TRIALS, whose results must be the expected ones, bit by bit."""
    _, words, dtype, expected = TRIALS[number]
    given, came = (program.with_name(name) for name in ("given", "came"))
    numbers = trial_input(dtype)
    given.write_bytes(numbers.view(torch.uint8).numpy().tobytes())
    arguments = (number, SCHEDULES[schedule], seed, given, came, words)
    said = _complaint([str(program), *map(str, arguments)])
    if said is None and came.read_bytes() != expected(numbers).tobytes():
        said = "other results"
    return said


def _complaint(command: list[str]) -> str | None:
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
