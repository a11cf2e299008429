"""Whole runs under faults, one after another on ranks that stay alive; started by a real launcher.

Writes what came of each as JSON: name -> exit code, status.json, checkpoints, what the run's files say.
"""

import argparse
import errno
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from interbert import files
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.ranks.distributed import Ranks, start_ranks
from interbert.ranks.stop import StopRequest
from interbert.recipe import load_recipe
from interbert.tasks.finetuning.task import FINETUNING
from interbert.tasks.pretraining.task import PRETRAINING
from interbert.train.checkpoints import checkpoint, part_file
from interbert.train.engine.deepspeed_config import load_engine_config
from interbert.train.engine.engine import Engine
from interbert.train.folder.run_folder import RunFolder
from interbert.train.prepare import Request
from interbert.train.run import run_task
from interbert.train.task import Kind

STEPS = 6
FAULTY, SAVES = "step_4", "train.checkpoint_every=2"
"""The second save of a run that saves every other step."""


class Matrix:
    def __init__(self, folder: Path, disk: Path | None, settings: list[str], ranks: Ranks) -> None:
        self.folder, self.disk, self.settings, self.ranks = folder, disk, settings, ranks
        self.results: dict[str, dict] = {}
        self.unbroken: set[str] = set()

    def run(self, name: str, stage: int, precision: str = "fp32", *sets: str, steps: int = STEPS) -> dict:
        """A run from start to end, in this process: as launch/pretrain.py makes it."""
        settings = load_recipe("scenes", [*self.settings, *sets, SAVES])
        return self.run_of(PRETRAINING, settings, name, stage, precision, steps)

    def run_of(
        self, kind: Kind, settings: Settings, name: str, stage: int, precision: str, steps: int
    ) -> dict:
        engine = load_engine_config(
            f"{ROOT}/ds_configs/zero{stage}_{precision}.json", settings, self.ranks.world_size
        )
        folder = RunFolder(self.folder / name)
        self.ranks.main_only(folder.make)
        request = Request(
            kind.provide(settings, self.ranks),
            kind.open,
            engine,
            folder,
            "latest",
            steps,
            None,
            StopRequest(folder.stop_file),
        )
        code = run_task(request, self.ranks)
        self.ranks.barrier()
        return self.describe(folder) | {"codes": self.ranks.gather(code)}

    def describe(self, folder: RunFolder) -> dict:
        bad = folder.bad_steps
        lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
        return {
            "status": folder.read_status(),
            "checkpoints": sorted(path.name for path in folder.checkpoints.iterdir()),
            "verify": [checkpoint.verify(c)["step"] for c in checkpoint.list_checkpoints(folder.checkpoints)],
            "bad_steps": [json.loads(line) for line in bad.read_text().splitlines()] if bad.exists() else [],
            "skipped": [line["skipped_steps"] for line in lines if "skipped_steps" in line],
            "left": sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*.partial")),
        }

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        return load_file(self.folder / name / "export" / "model.safetensors")

    def as_unbroken(self, name: str, stage: int, precision: str = "fp32") -> bool:
        """Whether the weights are to the bit those of a run that nothing befell."""
        whole = f"unbroken_{stage}_{precision}"
        if whole not in self.unbroken:
            self.unbroken.add(whole)
            self.run(whole, stage, precision)
        ours, theirs = self.weights(name), self.weights(whole)
        return all(self.ranks.gather(all(torch.equal(ours[key], theirs[key]) for key in theirs)))

    def bad_numbers(self, stage: int, precision: str) -> None:
        name = f"nan_{stage}_{precision}"
        with nan_loss(self.ranks, steps=(2, 3)):
            self.results[name] = self.run(name, stage, precision)
        weights = self.weights(name).values()
        self.results[name]["finite"] = all(bool(w.isfinite().all()) for w in weights)

        name = f"nan_for_ever_{stage}_{precision}"
        with nan_loss(self.ranks, steps=range(3, 100)):
            self.results[name] = self.run(name, stage, precision, "train.max_skipped=3", steps=20)

    def failing_save(self, fault: str, rank: int, stage: int) -> None:
        name = f"{fault}_rank{rank}_zero{stage}"
        with FAULTS[fault]() if self.ranks.rank == rank else nullcontext():
            failed = self.run(name, stage)
        again = self.run(name, stage)
        self.results[name] = {
            "failed": failed,
            "again": again,
            "equal": self.as_unbroken(name, stage),
        }

    def full_disk(self, stage: int) -> None:
        """Filled between the look at the free space and the write, for real."""
        name, filler = f"full_disk_zero{stage}", self.disk / "filler"
        self.ranks.main_only(lambda: (self.folder / name).symlink_to(self.disk / name))
        self.ranks.main_only((self.disk / name).mkdir)
        with filled_after_the_look(filler) if self.ranks.is_main else nullcontext():
            failed = self.run(name, stage)
        self.ranks.main_only(filler.unlink)
        again = self.run(name, stage)
        self.results[name] = {"failed": failed, "again": again, "equal": self.as_unbroken(name, stage)}
        self.ranks.main_only(lambda: shutil.rmtree(self.disk / name))

    def tuned(self, stage: int) -> None:
        """On a task's examples: a save that fails on one rank, a loss that is no number, a start that goes on."""
        name, settings = f"tuned_zero{stage}", self.ranks.main_only(self.task_settings)

        def run(name: str) -> dict:
            return self.run_of(FINETUNING, settings, name, stage, "fp32", STEPS)

        with FAULTS["half_written"]() if self.ranks.rank == 1 else nullcontext():
            failed = run(name)
        again, _ = run(name), run(f"whole_{name}")
        ours, theirs = self.weights(name), self.weights(f"whole_{name}")
        equal = all(self.ranks.gather(all(torch.equal(ours[key], theirs[key]) for key in theirs)))
        with nan_loss(self.ranks, steps=(2, 3)):
            bad = run(f"nan_{name}")
        self.results[name] = {"failed": failed, "again": again, "equal": equal, "bad": bad}

    def task_settings(self) -> Settings:
        """Whether a caption is true of its image; learnt from the start by a model made here."""
        data = PRETRAINING.provide(load_recipe("scenes", self.settings), Ranks.alone()).data
        path = self.folder / "examples.jsonl"
        with Corpus(data.train) as corpus:
            lines = [
                {
                    "id": number,
                    "images": [corpus.image_id(number % corpus.images)],
                    "texts": [corpus.caption_text(number)],
                    "label": int(corpus.caption_image[number]) == number % corpus.images,
                }
                for number in range(40)
            ]
        path.write_text("".join(json.dumps(line | {"label": str(line["label"])}) + "\n" for line in lines))
        model = [word for word in self.settings if word.startswith("model.")]
        sets = [*model, "model.preset=tiny", "data.token_budget=512", "train.micro_batches=2", SAVES]
        sets += [
            f"train.schedule_steps={STEPS}",
            "train.epochs=",
            "train.validate_every=2",
            "train.export=last",
        ]
        task = {"kind": "classify", "examples": str(path), "validation": str(path)}
        return load_recipe("finetune", sets, task=task, data={"train": data.train})

    def damaged(self, what: str, how: str) -> None:
        """A file of a run that stopped at step 4 is damaged; then the run goes on."""
        name = f"damaged_{what}_{how}"
        self.run(name, 0, steps=4)
        folder = self.folder / name
        self.ranks.main_only(lambda: DAMAGE[how](next(folder.glob(FILES[what]))))
        self.results[name] = self.run(name, 0) | {"equal": self.as_unbroken(name, 0)}


@contextmanager
def patched(owner, name: str, new: Callable) -> Iterator[None]:
    """`new` is called with what was there before."""
    old = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **named: new(old, *arguments, **named))
    try:
        yield
    finally:
        setattr(owner, name, old)


def nan_loss(ranks: Ranks, steps):
    """On the last rank alone, the loss of these steps is not a number."""
    own = ranks.rank == ranks.world_size - 1

    def accumulate(old, engine, batches, numbers, number, scales):
        if own and number in steps:
            scales = dict.fromkeys(scales, math.nan)
        return old(engine, batches, numbers, number, scales)

    old = Engine.accumulate
    Engine.accumulate = lambda *arguments: accumulate(old, *arguments)

    @contextmanager
    def undone():
        try:
            yield
        finally:
            Engine.accumulate = old

    return undone()


def fails_at(owner, function: str, error: Exception, name: str):
    """The function fails when its first argument lies in the faulty save and is called `name`."""

    def new(old, *arguments, **named):
        path = Path(arguments[0])
        if FAULTY in str(path) and path.name.endswith(name):
            raise error
        return old(*arguments, **named)

    return lambda: patched(owner, function, new)


def half_written():
    class FullDisk(part_file.PartFile):
        def __init__(self, path, shapes):
            super().__init__(path, shapes)
            self.room = 10 if FAULTY in str(path) else math.inf

        def add(self, tensor):
            self.room -= 1
            if self.room < 0:
                self._problem = str(NO_SPACE)
            super().add(tensor)

    return patched(checkpoint, "PartFile", lambda old, *arguments: FullDisk(*arguments))


def unsynced():
    def new(old, descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if FAULTY in str(path) and path.suffix == ".safetensors":
            raise BROKEN
        old(descriptor)

    return patched(os, "fsync", new)


def unseen_by_rank_0():
    """The folder is on a disk of this host alone."""

    def new(old, engine, path, ranks):
        found = old(engine, path, ranks)
        if FAULTY in str(path):
            path.unlink()
        return found

    return patched(checkpoint, "_save_part", new)


def no_room():
    def new(old, folder):
        found = old(folder)
        return found._replace(free=1000) if FAULTY in str(folder) else found

    return patched(shutil, "disk_usage", new)


def filled_after_the_look(filler: Path):
    def new(old, folder, needed, what):
        old(folder, needed, what)
        if FAULTY in what:
            free = shutil.disk_usage(filler.parent).free
            filler.write_bytes(b"x" * (free - 50_000))

    return patched(checkpoint, "check_space", new)


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")
FAULTS: dict[str, Callable] = {
    "no_room": no_room,
    "no_folder": fails_at(Path, "mkdir", PermissionError(errno.EACCES, "Permission denied"), ".partial"),
    "half_written": half_written,
    "unsynced": unsynced,
    "unseen": unseen_by_rank_0,
    "no_state": fails_at(checkpoint, "write_json", NO_SPACE, "state.json"),
    "no_manifest": fails_at(checkpoint, "write_json", NO_SPACE, "manifest.json"),
    "no_fsync": fails_at(files, "fsync", BROKEN, ".safetensors"),
    "no_rename": fails_at(os, "rename", BROKEN, ".partial"),
}
FAULTY_RANKS = {"half_written": (0, 1), "unsynced": (0, 1), "unseen": (1,)}
"""Rank 0 where nothing is said."""
CASES = [(fault, rank) for fault in FAULTS for rank in FAULTY_RANKS.get(fault, (0,))]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


FILES = {
    "part": "checkpoints/step_4/part_1.safetensors",
    "state": "checkpoints/step_4/state.json",
    "manifest": "checkpoints/step_4/manifest.json",
    "metrics": "metrics.jsonl",
    "settings": "config.yaml",
    "environment": "environment.json",
    "heartbeat": "heartbeats/rank_*.json",  # whichever began first
    "events": "tensorboard/events*",
    "export": "export/model.safetensors",
}
DAMAGE: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--disk", type=Path, help="a small one, to be filled")
    parser.add_argument("--stages", type=int, nargs="*", default=[], help="ZeRO stages to be run")
    parser.add_argument("--damaged", nargs="*", default=[], metavar="FILE-HOW", help="damage to be done")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--local_rank")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ranks = start_ranks()
    matrix = Matrix(arguments.folder, arguments.disk, arguments.settings, ranks)
    for stage in arguments.stages:
        for precision in ("fp32", "bf16"):
            matrix.bad_numbers(stage, precision)
        for fault, rank in CASES:
            matrix.failing_save(fault, rank, stage)
        if arguments.disk:
            matrix.full_disk(stage)
        matrix.tuned(stage)
    for damage in arguments.damaged:
        matrix.damaged(*damage.split("-"))
    if ranks.is_main:
        (arguments.folder / "matrix.json").write_text(json.dumps(matrix.results, indent=1))
    ranks.close()


if __name__ == "__main__":
    main()
