"""A whole collection: the same bytes however it is worked on, right counts after kills, what others read of it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from made_crawl import SITE, collected, page, picture, rule, write_crawl

from interbert.__main__ import main
from interbert.curate.cluster import run_ray, submit_slurm
from interbert.curate.engine.notes import Notes
from interbert.curate.explain import explain
from interbert.curate.images.facts import FACTS
from interbert.curate.images.index import Index, write_index
from interbert.curate.run import Wishes, plan_of
from interbert.curate.settings import CurateSettings
from interbert.curate.stages.gathered import Left
from interbert.curate.stages.judge import judge_unit
from interbert.curate.stages.plan import Plan, load_plan
from interbert.curate.texts import words
from interbert.sources.captions.files import CaptionFiles
from interbert.sources.images.containers.container import Fields
from interbert.sources.images.containers.recognise import open_containers
from interbert.sources.scenes.pages.write import write_pages

CAPTIONS = (
    "a red ball left of a large blue cube", "two old boats in the quiet harbour", "a dog runs after the children",
    "the tower behind the market at night", "fresh bread on a wooden table", "a train crosses the high bridge",
    "snow lies on the roofs of the town", "a woman reads under the apple tree",
)  # fmt: skip


def crawl(folder: Path, pages: int = 8) -> list[Path]:
    """Two WARCs; images of the first lie in the second as well."""
    htmls, images = {}, {}
    for number in range(pages):
        caption = CAPTIONS[number % len(CAPTIONS)]
        htmls[f"{number}.html"] = page(
            f"<figure><img src={number}.jpg><figcaption>{caption}</figcaption></figure>"
        )
        images[f"{number}.jpg"] = picture(number)
    names, half = list(htmls), pages // 2
    first = write_crawl(folder / "a.warc.gz", {n: htmls[n] for n in names[:half]}, {})
    return [first, write_crawl(folder / "b.warc.gz", {n: htmls[n] for n in names[half:]}, images)]


def digests(output: Path) -> dict[str, str]:
    names = [path for path in sorted(output.iterdir()) if path.suffix in (".tar", ".json", ".html", ".jsonl")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names
            if path.name not in ("plan.json", "timings.json")}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crawl")
    inputs = crawl(folder)
    return inputs, collected(folder / "pairs", *inputs, shard_images=3), folder / "pairs"


def test_images_come_with_their_texts_and_where_they_are_from(small):
    _, report, output = small
    assert (report["pages"], report["image_tags"], report["images_found"], report["images_stored"]) == (
        8,
        8,
        8,
        8,
    )
    assert report["kept"] == 8 and report["shards"] == 3
    with tarfile.open(output / "00000.tar") as tar:
        names = tar.getnames()
        assert len(names) == 9 and tar.extractfile(names[0]).read() == picture(0)
        assert tar.extractfile(names[1]).read().decode().strip() == CAPTIONS[0]
        told = json.load(tar.extractfile(names[2]))
    assert told["url"] == SITE + "0.jpg" and told["page"] == SITE + "0.html" and told["source"] == "caption"


def test_rules_flow_from_one_to_the_next(small):
    report = small[1]
    for of in ("images on pages", "images", "texts"):
        own = [one for one in report["rules"] if one["of"] == of]
        assert all(before["out"] == behind["in"] for before, behind in pairwise(own))
    assert report["not_judged"] == ["natural", "safe", "fit", "unknown_words"]


def test_shards_are_what_extract_reads(small):
    containers = open_containers([small[2]], Fields())
    found = [container.read(number) for container in containers for number in range(len(container.ids))]
    assert sorted(text for one in found for text in one.captions) == sorted(CAPTIONS)
    assert {one.data for one in found} == {picture(number) for number in range(8)}


def test_captions_are_what_import_reads(small):
    files = CaptionFiles((small[2] / "captions.jsonl",), (), "utf-8", "auto", False)
    assert files.layouts()


def test_the_same_bytes_with_more_workers_and_in_another_place(small, tmp_path):
    inputs, report, output = small
    assert collected(tmp_path / "pairs", *inputs, workers=2, shard_images=3) == report
    assert digests(tmp_path / "pairs") == digests(output)


def test_a_second_start_does_nothing_and_another_one_is_refused(small, tmp_path):
    inputs, report, _ = small
    collected(tmp_path, *inputs, shard_images=3)
    before = {
        path: path.stat().st_mtime_ns
        for path in tmp_path.rglob("*")
        if path.suffix in (".tar", ".npy", ".gz")
    }
    assert collected(tmp_path, *inputs, shard_images=3) == report
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    with pytest.raises(ValueError, match=r"images\.larger_than was 300, is 200"):
        collected(tmp_path, *inputs, shard_images=3, images={"larger_than": 200})
    with pytest.raises(ValueError, match=r"b\.warc\.gz was there"):
        collected(tmp_path, inputs[0], shard_images=3)


def test_overwrite_removes_nothing_before_it_is_known_that_this_start_can_begin(small, tmp_path):
    inputs = small[0]
    collected(tmp_path / "pairs", *inputs, shard_images=3)
    before = digests(tmp_path / "pairs")
    (tmp_path / "c.yaml").write_text("images: {larger_than: many}\n")
    words = ["curate", "--output", str(tmp_path / "pairs"), "--overwrite", "--workers", "1", "--input"]
    assert main([*words, str(tmp_path / "nowhere")]) != 0
    assert main([*words, str(inputs[0]), "--never", str(tmp_path / "nowhere")]) != 0
    assert main([*words, str(inputs[0]), "--config", str(tmp_path / "c.yaml")]) != 0
    assert digests(tmp_path / "pairs") == before
    assert main([*words, *map(str, inputs)]) == 0
    assert json.loads((tmp_path / "pairs" / "report.json").read_text())["shards"] == 1
    assert not (tmp_path / "pairs" / "00001.tar").exists()


def test_what_was_lost_is_made_again(small, tmp_path):
    inputs, report, output = small
    collected(tmp_path, *inputs, shard_images=3)
    (tmp_path / "00001.tar").unlink()
    (tmp_path / ".work" / "judge" / "000001.json").unlink()
    left = [tmp_path / ".00000.tar.1f.partial", tmp_path / ".work" / "read" / ".000000.facts.npy.2e.partial"]
    for path in left:  # by a worker that was killed
        path.touch()
    assert collected(tmp_path, *inputs, shard_images=3) == report
    assert digests(tmp_path) == digests(output) and not any(path.exists() for path in left)


START = "import sys; from interbert.__main__ import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
def test_kills_at_any_moment_cost_nothing_but_time(tmp_path):
    write_pages(tmp_path / "made", 30, 5, "train", 0.5)
    report = collected(tmp_path / "whole", tmp_path / "made", shard_images=10)
    words = ["curate", "--input", tmp_path / "made", "--output", tmp_path / "killed", "--workers", "1"]
    (tmp_path / "c.yaml").write_text("shard_images: 10\n")
    words += ["--config", tmp_path / "c.yaml"]
    units, codes = tmp_path / "killed" / ".work", []
    for stage in ("read", "judge", "settle"):
        process = subprocess.Popen([sys.executable, "-c", START, *map(str, words)], start_new_session=True)
        # Until it has finished something of the stage: so many seconds of a busy machine may be imports alone.
        while not any(units.glob(f"{stage}/*.json")) and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        codes.append(process.wait())
    assert codes[0] == -signal.SIGKILL
    assert main(list(map(str, words))) == 0
    assert json.loads((tmp_path / "killed" / "report.json").read_text()) == report
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_images_that_look_alike_are_one_and_texts_that_many_share_go(tmp_path):
    htmls, images = {}, {}
    for number in range(12):
        said = (
            "<img src={0}.jpg alt='the view from our terrace'>"
            if number
            else "<img src={0}.jpg alt='a lonely tree on the hill'>"
        )
        htmls[f"{number}.html"] = page(said.format(number))
        images[f"{number}.jpg"] = picture(number)
    htmls["copy.html"] = page("<img src=copy.jpg alt='the same tree seen from the road'>")
    images["copy.jpg"] = picture(0, 380, 304)
    htmls["again.html"] = page("<img src=0.jpg alt='an old oak in the evening light'>")
    output = tmp_path / "pairs"
    report = collected(output, write_crawl(tmp_path / "a.warc.gz", htmls, images), sources=["alt"])
    assert rule(report, "duplicate") == 1
    shared = next(one for one in report["rules"] if one["rule"] == "shared")
    assert shared["in"] - shared["out"] == 11
    with tarfile.open(output / "00000.tar") as tar:
        told = json.load(tar.extractfile(tar.getnames()[2]))
    texts = {told["caption"], *(text for _, text, _ in told["others"])}
    assert {
        "a lonely tree on the hill",
        "the same tree seen from the road",
        "an old oak in the evening light",
    } <= texts


def test_an_image_has_so_many_texts_and_what_goes_is_counted_and_explained(tmp_path):
    tags = {n: f"<img src=0.jpg alt='{said}'>" for n, said in enumerate((*CAPTIONS[:4], CAPTIONS[0] + " 2"))}
    tags[9] = f"<img src=9.jpg alt='{CAPTIONS[5]}'>"  # a near copy
    htmls = {f"{n}.html": page(tag) for n, tag in tags.items()}
    images = {"0.jpg": picture(0), "9.jpg": picture(0, 380, 304)}
    crawled = write_crawl(tmp_path / "a.warc.gz", htmls, images)
    output = tmp_path / "pairs"
    report = collected(output, crawled, texts={"max_of_image": 3}, sources=["alt"])
    assert (rule(report, "alike_elsewhere"), rule(report, "many_texts")) == (1, 2)
    with tarfile.open(output / "00000.tar") as tar:
        told = json.load(tar.extractfile(tar.getnames()[2]))
    assert [told["caption"], *(text for _, text, _ in told["others"])] == list(CAPTIONS[:3])
    assert any(f"{CAPTIONS[3]} -- dropped by many_texts" in line for line in explain(output, SITE + "3.html"))
    assert any("dropped by alike_elsewhere" in line for line in explain(output, SITE + "4.html"))


def test_texts_of_many_near_copies_are_held_against_so_many(tmp_path, monkeypatch):
    compared = []
    monkeypatch.setattr(words, "alike", lambda *pair: compared.append(pair) or 0.0)
    write_index(tmp_path, [np.zeros(1, FACTS)])
    plan = Plan(tmp_path, [], CurateSettings())
    left = Left(plan, Index(tmp_path), np.empty(0, np.uint64), Counter(), {})
    row = {"row": 0, "page": "p", "image": "i", "elements": [], "licence": ""}
    image = left.image_of([row | {"texts": [["alt", f"text {n}"]]} for n in range(1000)], 0)
    assert len(image["texts"]) == 100 and left.counts == {"text many_texts": 900}
    assert len(compared) <= 100 * 1000


def test_images_on_many_pages_and_those_of_never_do_not_come(tmp_path):
    htmls = {f"{n}.html": page(f"<img src=same.jpg alt='{CAPTIONS[n % 8]} {n}'>") for n in range(11)}
    htmls["x.html"] = page("<img src=x.jpg alt='a red ball left of a blue cube'>")
    images = {"same.jpg": picture(1), "x.jpg": picture(2)}
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "x.jpg").write_bytes(picture(2, 600, 480))
    path = write_crawl(tmp_path / "a.warc.gz", htmls, images)
    report = collected(tmp_path / "pairs", path, never=(tmp_path / "held",))
    assert rule(report, "pages") == 1 and rule(report, "never") == 1 and report["kept"] == 0


def test_opt_outs_are_honoured_unless_switched_off(tmp_path):
    html = "<head><meta name=robots content=noai></head>" + page(
        "<img src=a.jpg alt='two old boats in the harbour'>"
    )
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": html}, {"a.jpg": picture()})
    report = collected(tmp_path / "pairs", path)
    assert report["kept"] == 0 and report["pages_opted_out"] == 1 and rule(report, "opt_out") == 1
    assert collected(tmp_path / "all", path, rights={"honour_opt_out": False})["kept"] == 1


def test_bad_input_is_counted_named_and_passed_over(tmp_path):
    good = page(
        "<img src=a.jpg alt='two old boats in the harbour'>",
        "<img src=bomb.jpg alt='three old boats at sea'>",
    )
    htmls = {"a.html": good, "huge.html": "<table><tr><td>" * 400_000}
    images = {"a.jpg": picture(), "bomb.jpg": b"\xff\xd8\xff" + b"x" * 9000}
    path = write_crawl(tmp_path / "a.warc.gz", htmls, images)
    path.write_bytes(path.read_bytes()[:-40])
    report = collected(tmp_path / "pairs", path)
    assert report["kept"] == 1 and report["bad_places"] == 2 and "huge.html" in str(report["bad"])
    assert (report["images_broken"], rule(report, "decodes")) in {(1, 1), (0, 0)}
    with pytest.raises(ValueError, match=r"reading\.bad_places"):
        collected(tmp_path / "strict", path, reading={"bad_places": 1})


def test_every_address_is_explained(small):
    output = small[2]
    assert any("kept as" in line for line in explain(output, SITE + "0.jpg"))
    assert any("caption: " + CAPTIONS[1] in line for line in explain(output, SITE + "1.html"))
    with pytest.raises(ValueError, match="neither a page nor an image"):
        explain(output, SITE + "nothing.jpg")


def test_what_another_version_left_is_refused_in_words(tmp_path):
    plan = {"method": 3, "units": [{"form": "saved", "names": ["a.html"]}], "settings": {}, "never": []}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"another version of interbert.*--overwrite"):
        explain(tmp_path, SITE + "0.jpg")


def test_each_address_of_an_image_is_explained_and_one_that_opts_out_is_enough(tmp_path):
    """All of a srcset show one image: the leave for a larger one is none for it."""
    tags = [
        f"<img src={n}_s.jpg srcset='{n}_m.jpg 400w, {n}_l.jpg 800w' alt='{CAPTIONS[n]}'>" for n in range(2)
    ]
    sizes = {"s": (400, 320), "m": (600, 480), "l": (800, 640)}
    images = {f"{n}_{name}.jpg": picture(n, *size) for n in range(2) for name, size in sizes.items()}
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": page(*tags)}, images, {"0_s.jpg": "noai"})
    output = tmp_path / "pairs"
    report = collected(output, path)
    assert (report["kept"], rule(report, "opt_out")) == (1, 1)
    for n, taken, fate in ((0, "s", "dropped by opt_out"), (1, "l", "kept as")):
        for name in sizes:
            said = "\n".join(explain(output, f"{SITE}{n}_{name}.jpg"))
            assert f"image {SITE}{n}_{taken}.jpg" in said and fate in said and said.count("  image ") == 1
    assert collected(tmp_path / "all", path, rights={"honour_opt_out": False})["kept"] == 2


def test_pages_that_were_passed_over_are_explained_and_not_judged_again(tmp_path, monkeypatch):
    htmls = {f"{n}.html": page(f"<img src={n}.jpg alt='{CAPTIONS[n]}'>") for n in range(2)}
    htmls["long.html"] = "x" * 5_000_000
    path = write_crawl(tmp_path / "a.warc.gz", htmls, {f"{n}.jpg": picture(n) for n in range(2)})
    output = tmp_path / "pairs"
    assert collected(output, path)["kept"] == 2
    plan, notes = load_plan(output), Notes(tmp_path, "notes")
    notes.fatal[1] = "passed over: not done after 60 seconds"
    judge_unit(plan, 0, notes)
    assert explain(output, SITE + "1.jpg") == [
        f"page {SITE}1.html",
        "  passed over: not done after 60 seconds",
    ]
    assert any("kept as" in line for line in explain(output, SITE + "0.jpg"))
    (told,) = explain(output, SITE + "long.html")
    assert told.startswith("not read: a.warc.gz") and "more than 4,000,000 bytes" in told


def test_an_image_on_more_pages_than_are_told_says_so(tmp_path):
    htmls = {f"{n}.html": page("<img src=a.jpg alt='two old boats in the harbour'>") for n in range(22)}
    collected(tmp_path / "pairs", write_crawl(tmp_path / "a.warc.gz", htmls, {"a.jpg": picture()}))
    said = explain(tmp_path / "pairs", SITE + "a.jpg")
    assert sum(line.startswith("page ") for line in said) == 20 and said[-1] == "… and more pages"


def test_the_page_needs_nothing_beside_it(small):
    html = (small[2] / "report.html").read_text()
    assert "<script" not in html and "http-equiv" not in html and "src='http" not in html
    assert html.count("data:image/jpeg;base64,") >= 8 and "Not judged" in html


@pytest.mark.skipif(
    not os.environ.get("INTERBERT_SAMPLES"), reason="INTERBERT_SAMPLES names no folder of real files"
)
def test_a_real_crawl(tmp_path):
    report = collected(tmp_path, Path(os.environ["INTERBERT_SAMPLES"]) / "warc" / "example.warc.gz")
    assert (report["pages"], report["image_tags"], report["images_found"], report["images_stored"]) == (
        94,
        791,
        755,
        48,
    )


def test_clusters_that_are_not_here_are_told(tmp_path, monkeypatch):
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": page("<img src=a.jpg>")}, {})
    plan = plan_of(Wishes([path], [], [], tmp_path / "pairs", CurateSettings()))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install ray"):
        run_ray(plan, 1, 1)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match="sbatch"):
        submit_slurm(plan, 1, ["time=1", "partition=x"])
    monkeypatch.undo()
    monkeypatch.setattr("shutil.which", lambda name: name)
    with pytest.raises(ValueError, match="partition=NAME"):
        submit_slurm(plan, 1, ["time=1"])
    with pytest.raises(ValueError, match="NAME=VALUE"):
        submit_slurm(plan, 1, ["fast"])
