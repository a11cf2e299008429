"""What a user meets at every door: paths as they are typed, and a quiet end."""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from small_store import SIZE, WIDTH, rows, write_small

from interbert import __main__
from interbert.doors import expand_paths, given_paths, run_door
from interbert.mining import job
from interbert.mining.kin import kin_of_captions
from interbert.progress import Progress
from interbert.store.store import StoreWriter

ROOT = Path(__file__).parents[3]
PYTHON = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("one.h5", "two of them.h5", "three[3].h5"):
        write_small(tmp_path / "my data" / name, seed=len(name), prefix=name[:3])
    return tmp_path / "my data"


@pytest.mark.parametrize("kind", [Path, str])
def test_paths_as_people_type_them(folder, kind):
    def given(text):
        return given_paths(kind(text))

    assert given("~/my data/one.h5") == [kind(folder / "one.h5")]
    names = ["one.h5", "three[3].h5", "two of them.h5"]
    assert given("~/my data/*.h5") == [kind(folder / name) for name in names]
    assert given("~/**/o*.h5") == [kind(folder / "one.h5")]
    assert given(folder / "three[3].h5") == [kind(folder / "three[3].h5")], "its very name comes first"
    assert given("none.h5") == [kind("none.h5")], "whoever opens it says that it is not there"
    with pytest.raises(ValueError, match=r"x\*\.h5: nothing there fits this pattern"):
        given("~/x*.h5")


def test_all_paths_of_a_command(folder):
    arguments = argparse.Namespace(
        data=["~/my data/*of*"], output=Path("~/new.h5"), recipe="scenes", model="~/m", text=["~/not a path*"],
        images=[Path("~/my data/one.h5")], seeds=[1, 2], captions=[], none=None,
    )  # fmt: skip
    found = vars(expand_paths(arguments))
    home = folder.parent
    assert found["data"] == [str(folder / "two of them.h5")] and found["output"] == home / "new.h5"
    assert (found["recipe"], found["model"], found["text"]) == ("scenes", str(home / "m"), ["~/not a path*"])
    assert found["images"] == [folder / "one.h5"] and found["seeds"] == [1, 2]
    assert found["captions"] == [] and found["none"] is None


def test_a_command_takes_them(folder, capsys):
    assert __main__.main(["verify", "~/my data/*.h5"]) == 0
    assert capsys.readouterr().out.count(": sound: 12 images") == 3
    assert __main__.main(["inspect", "~/my data/three[3].h5", "--images", "1"]) == 0
    assert "three[3].h5" in capsys.readouterr().out


COMMANDS = {
    "settings": ["-m", "interbert", "settings"],
    "verify": ["-m", "interbert", "verify", "STORE"],
    "inspect": ["-m", "interbert", "inspect", "STORE"],
    "help": ["-m", "interbert", "--help"],
    "a fault": ["-m", "interbert", "verify", "nothing*"],
    "launch": ["launch/evaluate.py", "--help"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_whose_reader_has_gone_ends_without_a_word(tmp_path, name):
    store = str(write_small(tmp_path / "a.h5", images=40))
    words = [store if word == "STORE" else word for word in COMMANDS[name]]
    read, write = os.pipe()
    os.close(read)
    both = name == "a fault"
    buffered = {key: value for key, value in PYTHON.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=buffered, stdout=write, timeout=60,
        stderr=write if both else subprocess.PIPE,
    )  # fmt: skip
    os.close(write)
    assert not done.stderr, done.stderr.decode()
    assert done.returncode == 141


WAITING = {
    "plainly": "time.sleep(60)",
    "by way of a library": "try: time.sleep(60)\n  except KeyboardInterrupt: raise ImportError('cannot be imported')",
}


@pytest.mark.parametrize("how", WAITING)
def test_an_interrupted_command_ends_without_a_word(how):
    """Ctrl-C reaches all processes of the terminal."""
    program = (
        "import sys, time; from interbert.doors import run_door\n"
        f"def run():\n  print('begun', flush=True)\n  {WAITING[how]}\n"
        "sys.exit(run_door('x', run))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    before = signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a shell's background ignores it, and so do its children
    process = subprocess.Popen([sys.executable, "-c", program], env=PYTHON, cwd=ROOT, **pipes)
    signal.signal(signal.SIGINT, before)
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_fault_is_told_in_a_line_and_a_fault_of_ours_with_its_traceback(capsys):
    def refuse():
        raise ValueError("no \x1b[31mred\nsecond line")

    assert run_door("verify", refuse, fault_code=2) == 2
    assert capsys.readouterr().err == "verify: no \\x1b[31mred\nsecond line\n"

    def fail():
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError):
        run_door("verify", fail)


def test_what_others_wrote_moves_nothing_on_a_terminal(tmp_path, capsys):
    evil = "\x1b]0;owned\x07\x1b[2J"
    with StoreWriter(tmp_path / "a.h5", WIDTH, source=f"source {evil}") as store:
        image = store.add_image(f"id {evil}", *SIZE, **rows(np.random.default_rng(0), 2, None))
        store.add_captions(image, [f"caption {evil}\nsecond line"])
    for words in (["inspect"], ["verify"], ["inspect", "--image-id", f"not there {evil}"]):
        __main__.main([words[0], str(tmp_path / "a.h5"), *words[1:]])
        said = "".join(capsys.readouterr())
        assert said and "\x1b" not in said and "\x07" not in said
        assert words != ["inspect"] or "caption \\x1b]0;owned\\x07\\x1b[2J\\nsecond line" in said


class _Interrupted(Progress):
    def advance(self, amount: int) -> None:
        raise KeyboardInterrupt


def test_interrupted_miners_leave_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "_open", _sleep_well)
    monkeypatch.setattr(job, "_do", _sleep)
    wanted = job.Job("dense", 8, 1, 1.0, 8, "x", {}, block=1)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        job.work_off(tmp_path, wanted, 0, 1, 2, _Interrupted("mining", 8, "rows", shown=False))
    assert time.monotonic() - begun < 50


def test_killed_miners_leave_no_process(tmp_path):
    np.save(tmp_path / "vectors.npy", np.eye(8, dtype=np.float32))
    kin_of_captions(np.arange(8), np.arange(8)).save(tmp_path)
    job.Job("dense", 8, 1, 2.0, 8, "x", {}, block=1).save(tmp_path)
    program = (
        "import os, signal\nfrom pathlib import Path\nfrom interbert.mining import job\n"
        "class Killed:\n  def advance(self, rows): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"folder = Path({str(tmp_path)!r})\njob.work_off(folder, job.Job.load(folder), 0, 1, 2, Killed())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=PYTHON, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=60)  # which workers that are left would keep open
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, said.decode()


def _sleep_well(folder: Path) -> None:
    """In place of what a miner reads."""


def _sleep(block: int) -> int:
    time.sleep(0 if block == 0 else 60)
    return 1
