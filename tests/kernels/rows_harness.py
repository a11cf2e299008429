"""Tries a library of the operations on rows, as it is or broken, in a process of its own: sanitizers want one.

python tests/kernels/rows_harness.py rows LIBRARY [NAME…]     only trials whose names hold one of these words

Memory that nobody has written is NaN.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import torch
from native_harness import sanitized

from interbert.kernels.attend.fused_build import HOST_FLAGS, SOURCES
from interbert.kernels.rows import build, self_check

SCHEDULES = {"in order": 0, "random": 1, "greedy": 2}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1"]


def compile_rows(
    folder: Path, sources: Path = SOURCES, watched: bool = False, name: str = build.ROWS
) -> Path:
    """The emulator is compiled without the sanitizers: it tells them of the fibers, and is not itself looked at."""
    library = folder / "rows.so"
    flags, of_emulator = (SANITIZERS, ["-DEMULATOR_ASAN"]) if watched else ([], [])
    common = ["g++", *HOST_FLAGS, f"-I{sources}"]
    objects = [str(folder / "emulator.o"), str(folder / "rows.o")]
    for command in (
        [*common, *of_emulator, "-c", str(sources / "emulator.cpp"), "-o", objects[0]],
        [*common, *flags, "-O1", "-x", "c++", "-c", str(sources / f"{name}.cu"), "-o", objects[1]],
        ["g++", *flags, "-shared", *objects, "-o", str(library)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return library


def failure_of(library: Path, names: list[str], watched: bool = False, name: str = build.ROWS) -> str | None:
    """What the trials say; None when all is well."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), **(sanitized() if watched else {})}
    command = [sys.executable, __file__, name, str(library), *names]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=600, errors="replace"
    )
    assert "Traceback" not in done.stderr, done.stderr
    return (
        None if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout}{done.stderr}"[-4000:]
    )


def load(file: Path) -> ctypes.CDLL:
    found = ctypes.CDLL(str(file))
    found.interbert_rows_error.restype = ctypes.c_char_p
    return found


def main(library: str, file: str, names: list[str]) -> None:
    there, rows = load(Path(file)), build.library
    build.library = lambda arch, asked=build.ROWS: there if asked == library else rows(arch, asked)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills new memory
    cpu, failures = torch.device("cpu"), []
    for name, ours, theirs, given in self_check.TRIALS[library](torch.bfloat16, cpu):
        if names and not any(word in name for word in names):
            continue
        for schedule, number in SCHEDULES.items():
            there.interbert_emulator_schedule(number, ctypes.c_uint64(number + 3))
            wrong = self_check.compare(ours, theirs, given, self_check.ERRORS[torch.bfloat16])
            failures += [f"{name}, {schedule}: {wrong}"] if wrong else []
    print("\n".join(failures))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
