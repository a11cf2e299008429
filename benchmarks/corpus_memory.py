"""Memory of each rank for a data set of many pairs: the corpus, its token ids, and the plans of its epochs.

A store of that many images, each with a caption, is written for the while (without a writer's checks: 100 bytes an
image). Opening it makes its index and its token ids, once a host. Then so many ranks open it at the same time, and go
through a step of the first half of an epoch and one of the second, when the next is planned beside it. Counted is
what a rank has for itself, at most, beyond what it had after its imports; what is mapped from files all ranks share.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.batches.endless import Position
from interbert.batches.plan import Plan
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import CandidateTable, candidates_for, write_candidates
from interbert.store.format import FIELDS

WORDS = [f"w{number:04d}" for number in range(4000)]
MOST_WORDS, WIDTH, TOP = 20, 2, 30
_AT_A_TIME = 1 << 18


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--ranks", type=int, default=2, help="processes at the same time")
    parser.add_argument("--hard", action="store_true", help="also with a table of hard negatives")
    parser.add_argument("--folder", type=Path, help="where the files are made for the while")
    parser.add_argument("--rank-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank_of:
        print(json.dumps(measure(arguments.rank_of, arguments.hard)))
        return
    found = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "many.h5"
        write_many(path, arguments.pairs)
        found["first"] = in_processes(path, 1, False)[0]
        found["plain"] = worst(in_processes(path, arguments.ranks, False))
        if arguments.hard:
            write_random_candidates(path)
            found["hard"] = worst(in_processes(path, arguments.ranks, True))
    names = {"first": "first opening", "plain": f"{arguments.ranks} ranks", "hard": "with hard negatives"}
    columns = ["opened, s", "planned, s", "own, MB", "own, bytes a pair", "mapped, MB"]
    rows = [
        [names[name], *(each[key] for key in ("opening", "planning", "own", "of_a_pair", "mapped"))]
        for name, each in found.items()
    ]
    report.table(f"Memory of a rank for {arguments.pairs:,} pairs", ["", *columns], rows)
    report.write_json(arguments.json, {"pairs": arguments.pairs, "ranks": arguments.ranks, **found})


def in_processes(path: Path, ranks: int, hard: bool) -> list[dict[str, float]]:
    words = [sys.executable, __file__, "--rank-of", str(path), *(["--hard"] if hard else [])]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(ranks)]
    said = [each.communicate()[0] for each in running]
    assert not any(each.returncode for each in running), "a rank failed"
    return [json.loads(each) for each in said]


def worst(ranks: list[dict[str, float]]) -> dict[str, float]:
    return {key: max(each[key] for each in ranks) for key in ranks[0]}


def measure(path: Path, hard: bool) -> dict[str, float]:
    mismatch = {"hard_share": 0.5 if hard else 0.0, "hard_table": str(candidates_of(path)) if hard else None}
    sections = {"mismatch": mismatch, "data": {"token_budget": 4096}, "train": {"micro_batches": 1}}
    settings = Settings.model_validate({"name": "memory", **sections})
    found: dict[str, float] = {}
    before = status("RssAnon")

    def run() -> None:
        began = time.perf_counter()
        with Corpus([path]) as corpus:
            tokens = token_table(corpus, Numbering(), 36)
            found["pairs"], found["opening"] = corpus.captions, time.perf_counter() - began
            began = time.perf_counter()
            plan = Plan(corpus, tokens, settings, candidates_for(corpus, settings))
            micro_batches = plan.epoch(0).micro_batches
            found["planning"] = time.perf_counter() - began
            plan.step(Position(0, 0), 1)
            plan.step(Position(0, micro_batches - 1), 2)  # which waits for the next epoch
            found["mapped"] = status("RssFile") / 1e6
            plan.close()

    found["own"] = (most_while(run) - before) / 1e6
    return found | {"of_a_pair": found["own"] * 1e6 / found["pairs"]}


def status(what: str) -> int:
    """Bytes that this process has of its own (RssAnon), or of files (RssFile)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status says nothing of {what}")


def most_while(run: Callable[[], None]) -> int:
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.005):
            most = max(most, status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        over.set()
        watcher.join()
    return most


class Numbering:
    """A tokenizer that knows the words of the store."""

    unk_id, cls_id, sep_id = 1, 2, 3
    special_ids = (0, 1, 2, 3, 4)
    vocab_size = 5 + len(WORDS)
    fingerprint = "numbering"

    def __init__(self) -> None:
        self._ids = {word: 5 + number for number, word in enumerate(WORDS)}

    def encode(self, texts: list[str], max_tokens: int) -> list[list[int]]:
        return [[2, *map(self._ids.__getitem__, text.split()[: max_tokens - 2]), 3] for text in texts]


def write_many(path: Path, images: int) -> None:
    """Images of one region and one caption each; the content matters to no one here, nor do its checksums."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, MOST_WORDS + 1, images)
    sizes = {
        "I": images,
        "J": images + 1,
        "C": images,
        "E": images + 1,
        "R": images,
        "4": 4,
        "2": 2,
        "D": WIDTH,
    }
    sizes["B"] = int(lengths.sum() * 6)
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update(schema="interbert-store", version=1, feature_width=WIDTH, classes=0)
        names = [name for name in FIELDS if FIELDS[name].group in ("", "captions")]
        made = {}
        for name in names:
            shape = tuple(sizes[letter] for letter in FIELDS[name].dims)
            made[name] = file.create_dataset(name, shape, FIELDS[name].dtype, fillvalue=0)
            made[name][-1] = 0  # and so it has its place
        ids = file.create_dataset("image_ids", (images,), "S24")
        made["offsets"][:] = np.arange(images + 1)
        made["captions/image"][:] = np.arange(images)
        made["captions/offsets"][:] = np.concatenate([[0], np.cumsum(lengths * 6)])
        words, place = np.array([f"{word} ".encode() for word in WORDS], "S6"), 0
        for start in range(0, images, _AT_A_TIME):
            stop = min(start + _AT_A_TIME, images)
            ids[start:stop] = np.char.mod(b"%016d.jpg", np.arange(start, stop))
            text = words[rng.integers(0, len(WORDS), int(lengths[start:stop].sum()))].view(np.uint8)
            made["captions/text"][place : place + len(text)] = text
            place += len(text)


def candidates_of(path: Path) -> Path:
    return path.with_name("candidates.table")


def write_random_candidates(path: Path) -> None:
    rng = np.random.default_rng(1)
    with Corpus([path]) as corpus:
        rows = rng.integers(0, corpus.captions, (corpus.captions, TOP), dtype=np.int32)
        write_candidates(candidates_of(path), CandidateTable(rows, corpus.fingerprint, 0.5))


if __name__ == "__main__":
    main()
