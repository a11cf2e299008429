"""What the stages that look at a whole collection hold in memory for each page: rows as reading and judging leave
them, of so many pages, but no pages and no images.

python benchmarks/curate_memory.py --pages 100000 400000
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.curate.engine.notes import Notes
from interbert.curate.images.facts import FACTS as FACTS_TYPE
from interbert.curate.reading.units import Unit
from interbert.curate.settings import CurateSettings
from interbert.curate.stages.all import STAGES
from interbert.curate.stages.judge import FOUND, IMAGE_ROW, IMAGES, PASSED, TEXT_ROW, TEXTS
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.read import FACTS

UNIT = 50_000
"""Pages of one input."""
FILES, PASS, SAID, AGAIN = 2.5, 1.5, 1.3, 0.05
"""Of a page: images with a file, and images that pass; texts of these; the share of images that come twice, and of
those that look like another."""
WORDS = (
    "a picture of thing {} in the year {}",
    "what else is said of number {} is more or less the same as of {}",
)


def main() -> None:
    given = parse_arguments()
    rows: dict[int, dict[str, float]] = {}
    for pages in given.pages:
        with tempfile.TemporaryDirectory() as folder:
            plan = _plan(Path(folder), pages // UNIT)
            _write_facts(plan)
            rows[pages] = {"index": held(plan, "index")}
            _write_passed(plan)
            rows[pages]["settle"] = held(plan, "settle")
    table = [[f"{pages:,}", *(f"{own[stage] / pages:.0f}" for stage in own)] for pages, own in rows.items()]
    report.table("bytes of memory for a page, at the most", ["pages", "index", "settle"], table)
    report.write_json(given.json, {str(pages): own for pages, own in rows.items()})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument(
        "--pages", type=int, nargs="+", default=[100_000, 400_000], help=f"multiples of {UNIT:,}"
    )
    return parser.parse_args()


def held(plan: Plan, stage: str) -> float:
    """Bytes of its own that a process gains by a stage; mapped files are not counted, for their room is given back
    when somebody else needs it."""
    ready, go = os.pipe()
    process = os.fork()
    if process == 0:
        os.read(ready, 1)
        STAGES[stage](plan, 0, Notes(plan.work / "notes", stage))
        os._exit(0)
    before = most = _own(process)
    os.write(go, b"x")
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        most = max(most, _own(process))
        time.sleep(0.002)
    assert plan.part(stage, 0).done, stage
    return most - before


def _own(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0  # it has ended


def _plan(folder: Path, units: int) -> Plan:
    plan = Plan(
        folder, [Unit("warc", f"/{n}.warc.gz", (), True, 1, "0") for n in range(units)], CurateSettings()
    )
    plan.work.mkdir()
    plan.settle()
    return plan


def _write_facts(plan: Plan) -> None:
    rng = np.random.default_rng(1)
    for number in range(len(plan.units)):
        facts = np.zeros(int(UNIT * FILES), FACTS_TYPE)
        for name in ("key_high", "key_low", "same_high", "same_low", "phash"):
            facts[name] = _hashes(rng, len(facts))
        facts["unit"], facts["width"], facts["height"], facts["bytes"] = number, 800, 600, 40_000
        again = rng.random(len(facts)) < AGAIN
        for name in ("same_high", "same_low", "phash"):
            facts[name][again] = np.roll(facts[name], 7)[again]
        near = rng.random(len(facts)) < AGAIN
        facts["phash"][near] = np.roll(facts["phash"], 11)[near] ^ np.uint64(3)
        _finish(plan, "read", number, {FACTS: facts})


def _write_passed(plan: Plan) -> None:
    rng, files = np.random.default_rng(2), int(UNIT * FILES) * len(plan.units)
    for number in range(len(plan.units)):
        images = np.zeros(int(UNIT * PASS), IMAGE_ROW)
        images["row"] = rng.integers(0, int(files * (1 - AGAIN)), len(images))
        images["page"] = np.sort(rng.integers(0, UNIT, len(images)))
        texts = np.zeros(int(len(images) * SAID), TEXT_ROW)
        texts["line"], texts["key"] = (
            np.sort(rng.integers(0, len(images), len(texts))),
            _hashes(rng, len(texts)),
        )
        often = rng.random(len(texts)) < AGAIN
        texts["key"][often] = rng.integers(0, 500, often.sum())
        plan.part("judge", number).write_lines(PASSED, _lines(images, number))
        _finish(plan, "judge", number, {IMAGES: images, TEXTS: texts, FOUND: np.unique(images["row"])})


def _lines(images: np.ndarray, unit: int) -> Iterator[dict[str, Any]]:
    for line, (row, page) in enumerate(images.tolist()):
        texts = [["alt", WORDS[0].format(row, line)], ["caption", WORDS[1].format(line, row)]]
        yield {"page": f"http://www.example.org/{unit}/{page}.html", "image": f"http://www.example.org/{row}.jpg",
               "row": row, "elements": ["img"], "texts": texts, "licence": "", "language": "en"}  # fmt: skip


def _hashes(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 1 << 64, count, dtype=np.uint64)


def _finish(plan: Plan, stage: str, number: int, arrays: dict[str, np.ndarray]) -> None:
    part = plan.part(stage, number)
    for name, array in arrays.items():
        part.write_array(name, array)
    part.finish({"counts": {}}, [part.path(name) for name in arrays])


if __name__ == "__main__":
    main()
