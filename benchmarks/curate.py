"""How fast pages become candidates and images become hashes, on one core; against what most people have.

Pages of 60 KB and more in a gzip WARC, of the embedded crawl's templates with as much around them as pages have. The
same file is read in turn by ours (fastwarc, resiliparse) and by the same rules on warcio and BeautifulSoup with lxml;
images are decoded and hashed by ours (a JPEG at a small size) and in full. Seconds of the processor, best of the
rounds. Memory: how much more a worker holds for each page more.
"""

import argparse
import io
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import curate_plain, report
from interbert.curate.engine.notes import Notes
from interbert.curate.images.facts import facts_of
from interbert.curate.images.phash import phash
from interbert.curate.reading.records import RawImage, RawPage
from interbert.curate.reading.units import limits_of, units_of
from interbert.curate.reading.warc import Warc
from interbert.curate.run import TIMINGS, Wishes, curate
from interbert.curate.settings import CurateSettings, ReadingRules
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.read import page_of, read_unit
from interbert.files import read_json
from interbert.rng import Purpose, generator
from interbert.sources.images.decode import Limits
from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.pages.archive import WarcWriter
from interbert.sources.scenes.pages.contents import Content, Decoration, Photo, Said
from interbert.sources.scenes.pages.phrases import PARTS
from interbert.sources.scenes.pages.templates import TEMPLATES, html_of

SETTINGS = CurateSettings()
SLOTS = ("caption", "alt", "title", "near")


def main() -> None:
    given = parse_arguments()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        crawl = Path(folder) / "crawl.warc.gz"
        size = write_crawl(crawl, given.pages, given.kilobytes)
        figures: dict[str, Any] = {"pages": given.pages, "kilobytes": size / given.pages / 1e3}
        pages = {"interbert": ours, "warcio, BeautifulSoup (lxml)": curate_plain.candidates}
        counts = {name: read(crawl) for name, read in pages.items()}
        assert len(set(counts.values())) == 1, f"they see different images: {counts}"
        figures["pages_per_second"] = rates(pages, crawl, given.pages, given.rounds)
        images = [photo(seed, given.width) for seed in range(given.images)]
        hashed = {"interbert": hash_ours, "decoded in full": hash_in_full}
        figures["images_per_second"] = rates(hashed, images, len(images), given.rounds)
        figures["bytes_a_page"] = bytes_a_page(Path(folder), given.pages, given.kilobytes)
        figures["workers"] = seconds_of_workers(Path(folder), given.pages, given.kilobytes)
    show(figures)
    report.write_json(given.json, figures)


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--kilobytes", type=int, default=60, help="of a page, at least (60)")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--width", type=int, default=1024, help="of an image (1024)")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where files are made for the while (the system's)")
    return parser.parse_args()


def write_crawl(path: Path, pages: int, kilobytes: int, first: int = 0) -> int:
    """Bytes of all pages."""
    size = 0
    with open(path, "wb") as file:
        warc = WarcWriter(file)
        for number in range(first, first + pages):
            html = page_html(number, kilobytes).encode()
            size += len(html)
            warc.answer(f"http://a.example/{number}.html", "text/html; charset=utf-8", html)
    return size


def page_html(number: int, kilobytes: int) -> str:
    draws = Draws(generator(1, Purpose.BENCHMARK, number))
    part = draws.choice(list(PARTS))
    says = {slot: Said(f"a red ball {slot} of a large blue cube, number {number}", "true") for slot in SLOTS}
    photos = [Photo(f"http://a.example/{number}/{n}.jpg", b"", "", False, 640, 480, says) for n in range(4)]
    marks = [Decoration(f"http://a.example/icon-{n}.png", b"", "logo", 16, 16) for n in range(6)]
    content = Content(
        "", "site", part, "A topic", "en", photos, marks, list(PARTS[part].sentences), PARTS[part].menu
    )
    html, _ = html_of(content, draws.choice(list(TEMPLATES[part].values())))
    return html.replace("</body>", around(draws, kilobytes * 1000 - len(html)) + "</body>")


def around(draws: Draws, size: int) -> str:
    """What pages have beside their content: links, lists, scripts, styles."""
    parts = []
    sentences = PARTS["judging"].sentences
    while size > 0:
        what = draws.below(3)
        if what == 0:
            links = "".join(
                f'<li class="item-{n}"><a href="/p/{n}" title="more">Link {n}</a></li>' for n in range(12)
            )
            part = f'<div class="block widget-area"><ul class="list">{links}</ul></div>'
        elif what == 1:
            part = (
                f'<div class="row"><p>{draws.choice(sentences)} <em>{draws.choice(sentences)}</em></p></div>'
            )
        else:
            data = json.dumps(dict.fromkeys(map(str, range(40)), "value"))
            part = f"<script>var data{draws.below(99)} = {data};</script>"
        parts.append(part)
        size -= len(part)
    return "".join(parts)


def ours(path: Path) -> int:
    """From the archive to candidates as lines; returns how many images that are no decoration there were."""
    found = 0
    for record in Warc(path, limits_of(SETTINGS.reading)).records():
        assert isinstance(record, RawPage)
        row = page_of(record, SETTINGS).row()
        json.dumps(row, ensure_ascii=False)
        found += sum(not image["decoration"] and image["element"] == "img" for image in row["images"])
    return found


def photo(seed: int, width: int) -> bytes:
    blots = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blots).resize((width, width * 3 // 4), Image.Resampling.BICUBIC).save(
        file, "JPEG", quality=88
    )
    return file.getvalue()


def hash_ours(images: list[bytes]) -> int:
    limits = Limits()
    for number, data in enumerate(images):
        facts, _ = facts_of(RawImage("http://a.example/", number, data), 0, SETTINGS, limits)
        assert facts["phash"]
    return len(images)


def hash_in_full(images: list[bytes]) -> int:
    for data in images:
        phash(Image.open(io.BytesIO(data)).convert("RGB"))
    return len(images)


def rates(ways: dict[str, Callable[[Any], int]], given: Any, count: int, rounds: int) -> dict[str, float]:
    """Each in turn, round after round."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):  # what the first one imports, the best of them has not
        for name, way in ways.items():
            began = time.process_time()
            way(given)
            best[name] = min(best[name], time.process_time() - began)
    return {name: count / seconds for name, seconds in best.items()}


def bytes_a_page(folder: Path, pages: int, kilobytes: int) -> float:
    """What a worker holds more at its height when it reads four times as many pages, for each of them."""
    few, many = (_height(folder, pages * times, kilobytes) for times in (1, 4))
    return max(many - few, 0) * 1024 / (3 * pages)


def _height(folder: Path, pages: int, kilobytes: int) -> int:
    path = folder / f"{pages}.warc.gz"
    write_crawl(path, pages, kilobytes)
    plan = Plan(folder / f"read{pages}", units_of([path], [], ReadingRules()), SETTINGS)
    plan.work.mkdir(parents=True)
    ours_end, theirs = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("spawn").Process(target=_read_and_tell, args=(plan, theirs))
    worker.start()
    found = ours_end.recv()
    worker.join()
    return found


def _read_and_tell(plan: Plan, pipe: Any) -> None:
    plan.part("read", 0).folder.mkdir()
    read_unit(plan, 0, Notes(plan.work / "notes", "read_0"))
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def seconds_of_workers(folder: Path, pages: int, kilobytes: int) -> dict[str, dict[str, float]]:
    """Of a whole collection of four archives, by one worker and by two: of all, and of the stages that have most to
    do."""
    archives = [folder / f"part{number}.warc.gz" for number in range(4)]
    for number, path in enumerate(archives):
        write_crawl(path, pages, kilobytes, number * pages)
    found = {}
    for workers in (1, 2):
        output, began = folder / f"by{workers}", time.perf_counter()
        curate(Wishes(archives, [], [], output, SETTINGS, workers))
        whole = time.perf_counter() - began
        stages = {one["stage"]: one["seconds"] for one in read_json(output / TIMINGS)}
        found[str(workers)] = {"all": whole, "read": stages["read"], "judge": stages["judge"]}
    return found


def show(figures: dict[str, Any]) -> None:
    for name, unit in (("pages_per_second", "pages/s"), ("images_per_second", "images/s")):
        first = figures[name]["interbert"]
        rows = [[way, rate, first / rate] for way, rate in figures[name].items()]
        report.table(f"{unit} of one core", ["", unit, "interbert is faster by"], rows)
    print(
        f"\n{figures['kilobytes']:.0f} KB a page; {figures['bytes_a_page']:.0f} bytes of memory for each page more"
    )
    by = figures["workers"]
    rows = [[what, one, by["2"][what], one / by["2"][what]] for what, one in by["1"].items()]
    report.table("seconds of a collection", ["", "one worker", "two", "faster by"], rows)


if __name__ == "__main__":
    main()
