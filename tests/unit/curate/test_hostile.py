"""Input that is made, or torn, to stop whoever reads it: named, counted and passed over."""

import gzip
import json
import os
import tarfile
import time
from pathlib import Path

import killed_work
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastwarc import ArchiveIterator, Lz4Writer, ZstdWriter
from made_crawl import SITE, collected, page, picture, write_crawl

from interbert.curate.engine.local import run_units
from interbert.curate.engine.notes import Notes
from interbert.curate.explain import explain
from interbert.curate.images.index import Index
from interbert.curate.reading.arc import Arc
from interbert.curate.reading.parse import parse
from interbert.curate.reading.records import Bad, Limits, RawImage
from interbert.curate.reading.stored import Table, Tar
from interbert.curate.reading.units import units_of
from interbert.curate.reading.urls import key
from interbert.curate.reading.warc import Warc
from interbert.curate.report.pictures import Thumbnails
from interbert.curate.run import Wishes, curate
from interbert.curate.settings import CurateSettings, ReadingRules, TextRules
from interbert.curate.stages.plan import load_plan
from interbert.curate.stages.write import write_shard
from interbert.curate.texts.rules import Setting, broken_rule

LIMITS = Limits(page_bytes=1 << 20, record_bytes=4 << 20, image_bytes=4 << 20)
IMAGE = page("<img src=a.jpg alt='two old boats in the harbour'>")


def bad_of(source) -> list[Bad]:
    return [one for one in source.records() if isinstance(one, Bad)]


def framed(path: Path, writer: type) -> list[int]:
    """A crawl of four pages as frames; where each begins."""
    packed = write_crawl(path.with_suffix(".gz"), {f"{n}.html": IMAGE * 40 for n in range(4)}, {})
    with open(path, "wb") as file:
        for record in ArchiveIterator(str(packed), parse_http=False):
            frame = writer(file)
            record.write(frame)
            frame.close()
    return [one.place for one in Warc(path, LIMITS).records()]


@pytest.mark.parametrize("writer", [ZstdWriter, Lz4Writer])
def test_frames_that_are_torn_or_damaged_are_named_and_what_follows_is_read(tmp_path, writer):
    path = tmp_path / "a.warc.x"
    places = framed(path, writer)
    whole = path.read_bytes()
    assert len(places) == 4 and not bad_of(Warc(path, LIMITS))
    for cut in (20, 50, len(whole) - places[3] - 12):
        path.write_bytes(whole[:-cut])
        assert len(bad_of(Warc(path, LIMITS))) == 1
    damaged = bytearray(whole)
    damaged[places[1] + 9 : places[1] + 60] = b"\xff" * 51
    path.write_bytes(damaged)
    found = list(Warc(path, LIMITS).records())
    assert [one.place for one in found if not isinstance(one, Bad)] == [places[0], *places[2:]]
    assert len(bad_of(Warc(path, LIMITS))) == 1


def test_a_record_that_is_far_too_large_is_named_and_not_read(tmp_path):
    path = write_crawl(tmp_path / "a.warc", {}, {})
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {SITE}x.jpg\r\nContent-Type: application/http\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n"
    with open(path, "wb") as file:
        file.write(f"{head}Content-Length: {1 << 28}\r\n\r\n".encode() + answer)
        file.truncate(file.tell() + (1 << 28) - len(answer))  # of nothing but holes
        file.seek(0, 2)
        file.write(
            b"\r\n\r\n" + f"{head}Content-Length: {len(answer)}\r\n\r\n".encode() + answer + b"\r\n\r\n"
        )
    found = list(Warc(path, LIMITS).records())
    assert [type(one) for one in found] == [Bad, RawImage] and "a record of 268,435," in found[0].what


def test_places_are_told_before_they_are_read_and_can_be_passed_over(tmp_path):
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": IMAGE, "b.html": IMAGE}, {"a.jpg": picture()})
    arc = tmp_path / "a.arc"
    answer = b"HTTP/1.1 200 OK\nContent-Type: text/html\n\nhello"
    line = f"http://a.org/ 1.2.3.4 20200101 text/html {len(answer)}\n".encode()
    arc.write_bytes(b"filedesc://a 0 0 0 0\n\n" + (line + answer + b"\n") * 3)
    for source in (Warc(path, LIMITS), Arc(arc, LIMITS)):
        begun: list[int] = []

        def begin(place: int, what: str, begun=begun) -> bool:
            begun.append(place)
            return len(begun) != 2

        assert [one.place for one in source.records(begin)] == [begun[0], begun[2]]


def test_tars_that_are_torn_or_damaged_are_named(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(3):
            (tmp_path / "x.jpg").write_bytes(picture(number))
            tar.add(tmp_path / "x.jpg", f"a.org/{number}.jpg")
    whole = path.read_bytes()
    places = [one.place for one in Tar(path, LIMITS).records()]
    assert len(places) == 3 and not bad_of(Tar(path, LIMITS))

    def damaged(number: int, by: bytes) -> bytes:
        """In its header."""
        start = places[number] - 400
        return whole[:start] + by + whole[start + len(by) :]

    zeros = whole[: places[1] - 512] + bytes(512) + whole[places[1] :]
    for data, left in (
        (damaged(0, b"\xff" * 100), [1, 2]), (damaged(1, b"\xff" * 100), [0, 2]), (zeros, [0, 2]),
        (damaged(2, b"\xff" * 100), [0, 1]),
        (whole[: places[2] - 512], [0, 1]), (whole[: places[2] + 99], [0, 1]),
    ):  # fmt: skip
        path.write_bytes(data)
        found = list(Tar(path, LIMITS).records())
        assert [one.place for one in found if isinstance(one, RawImage)] == [places[n] for n in left]
        assert len(bad_of(Tar(path, LIMITS))) >= 1
        assert all(Tar(path, LIMITS).image(places[n], 20) == picture(n)[:20] for n in left)


def test_tars_behind_one_another_are_told_and_read(tmp_path):
    """As `cat` joins them."""
    both = b""
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
        with tarfile.open(tmp_path / "one.tar", "w") as tar:
            tar.add(tmp_path / f"{number}.jpg", f"a.org/{number}.jpg")
        both += (tmp_path / "one.tar").read_bytes()
    (tmp_path / "both.tar").write_bytes(both)
    found = list(Tar(tmp_path / "both.tar", LIMITS).records())
    assert [one.url for one in found if isinstance(one, RawImage)] == [
        "file:///a.org/0.jpg",
        "file:///a.org/1.jpg",
    ]
    assert len(bad_of(Tar(tmp_path / "both.tar", LIMITS))) == 1


def test_damaged_tables_are_named_and_neighbours_are_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    data = [os.urandom(4000) for _ in range(300)]
    rows = {"url": [f"http://a.org/{n}" for n in range(300)], "jpg": data}
    pq.write_table(pa.table(rows), path, row_group_size=100, compression="gzip")
    table, read, group = Table(path, LIMITS), [], pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *a, **k: read.append(1) or group(*a, **k))
    assert (
        all(table.image(place, 4000) == data[place] for place in (0, 5, 99, 100, 299, 298)) and len(read) == 3
    )
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 5000] = bytes(5000)
    path.write_bytes(whole)
    (bad,) = bad_of(Table(path, LIMITS))
    assert "cannot be read" in bad.what and bad.place > 0


def test_a_shard_reads_each_group_of_a_table_and_a_packed_archive_once(tmp_path, monkeypatch):
    """In whatever order pages name what lies there, and the same bytes come."""
    said = [
        f"two old boats in the {word} harbour"
        for word in ("quiet", "wide", "small", "busy", "foreign", "cold")
    ]
    order, data = (3, 0, 4, 1, 5, 2), [picture(n) for n in range(6)]
    htmls = {f"{n}.html": page(f"<img src=t{n}.jpg alt='{said[n]}'><img src=a{n}.jpg alt='{said[n]} at night'>")
             for n in order}  # fmt: skip
    crawl = write_crawl(tmp_path / "a.warc.gz", htmls, {})
    (tmp_path / "images").mkdir()
    rows = {"url": [f"{SITE}t{n}.jpg" for n in range(6)], "jpg": data}
    pq.write_table(pa.table(rows), tmp_path / "images" / "a.parquet", row_group_size=2)
    with gzip.open(tmp_path / "images" / "b.arc.gz", "wb") as arc:
        arc.write(b"filedesc://b 0 0 0 0\n\n")
        for n in range(6):
            answer = b"HTTP/1.1 200 OK\nContent-Type: image/jpeg\n\n" + picture(n + 20)
            arc.write(f"{SITE}a{n}.jpg 1.2.3.4 2020 image/jpeg {len(answer)}\n".encode() + answer + b"\n")
    output = tmp_path / "pairs"
    assert curate(Wishes([crawl], [tmp_path / "images"], [], output, CurateSettings(), 1))["kept"] == 12
    shard = (output / "00000.tar").read_bytes()
    read, group, arc_places, seek = [], pq.ParquetFile.read_row_group, [], gzip.GzipFile.seek
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *a, **k: read.append(a[1]) or group(*a, **k))
    monkeypatch.setattr(
        gzip.GzipFile, "seek", lambda file, to, *a: arc_places.append(to) or seek(file, to, *a)
    )
    write_shard(load_plan(output), 1, Notes(tmp_path, "notes"))
    assert (output / "00000.tar").read_bytes() == shard and read == [0, 1, 2]
    assert len(arc_places) == 6 and arc_places == sorted(arc_places)


def test_addresses_that_lead_out_of_a_folder_stop_nobody(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(picture())
    (folder / "a.html").write_text(IMAGE + "".join(f"<img src=../{n}.jpg>" for n in range(1001)))
    report = collected(tmp_path / "pairs", folder)
    assert (report["kept"], report["bad_places"]) == (1, 1001)
    (told,) = report["bad"]
    assert "a.html: ../0.jpg, ../1.jpg, ../2.jpg and 998 more lead out of the folder" in told
    (folder / "b.html").write_text("x" * 5_000_000)
    with pytest.raises(ValueError, match="more than 0 places that cannot be read, the last one at 2"):
        collected(tmp_path / "strict", folder, reading={"bad_places": 0})


def test_what_lies_in_folders_beside_images_and_pages_stops_nobody(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    os.mkfifo(folder / "pipe.html")
    pq.write_table(pa.table({"url": ["http://a.org/a.jpg"], "caption": ["x"]}), folder / "00000.parquet")
    write_crawl(folder / "a.warc.gz", {"a.html": IMAGE}, {"a.jpg": picture()})
    assert [unit.form for unit in units_of([folder], [folder], ReadingRules())] == ["warc", "warc"]


def test_the_output_may_lie_among_the_inputs(tmp_path):
    write_crawl(tmp_path / "a.warc.gz", {"a.html": IMAGE}, {"a.jpg": picture()})
    report = collected(tmp_path / "pairs", tmp_path)
    assert report["kept"] == 1 and collected(tmp_path / "pairs", tmp_path) == report


def test_fields_are_read_within_bounds(tmp_path):
    huge = {"src": "a.jpg", "alt": "two old boats in the harbour", "width": 10**400, "height": 10**400}
    long = {"src": "b.jpg", "alt": "boat " * 100_000, "width": -3}
    rows = [{"url": SITE, "images": [huge, long, [], 5, {"src": 7}, *(["x.jpg"] * 3000)]}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    images = write_crawl(tmp_path / "a.warc.gz", {}, {"a.jpg": picture(0), "b.jpg": picture(1)})
    report = collected(tmp_path / "pairs", tmp_path / "p.jsonl", images)
    assert (report["kept"], report["image_tags"], report["images_found"]) == (1, 3003, 2)


def test_a_length_that_is_none_does_not_read_all_of_an_arc(tmp_path):
    (tmp_path / "a.arc").write_bytes(b"http://a.org/ 1.2.3.4 2020 text/html -1\n" + b"x" * 999)
    (bad,) = Arc(tmp_path / "a.arc", LIMITS).records()
    assert isinstance(bad, Bad) and "-1" in bad.what


def test_half_letters_in_addresses_are_letters():
    assert key("http://a.org/\ud800.jpg") != key("http://a.org/\udc80.jpg")


def test_expressions_do_not_go_back_and_forth_for_ever():
    began = time.process_time()
    for text in (
        "-" * 4000 + " x",
        "1_" * 2000 + " x",
        "_" * 4000 + " x",
        "1-_" * 1300 + " z",
        "a-" * 2000 + " b",
    ):
        broken_rule(text, "caption", TextRules(), Setting("", "", False))
    for html in ("<!-- <img -->" + "<!--" * 500_000, "<!-- <img src=a.jpg> -->" + "<script " * 250_000):
        parse("http://a.org/", 0, html)
    many = "<picture>" + "<source srcset='a.jpg 1x'>" * 20_000 + "<img src=b.jpg>" * 200 + "</picture>"
    assert len(parse("http://a.org/", 0, many).images) == 200
    assert time.process_time() - began < 10


def test_a_place_that_kills_though_it_was_passed_over_stops_the_work(tmp_path):
    with pytest.raises(ValueError, match="was to be passed over"):
        run_units(killed_work.never_passes_over, tmp_path, "x", [0], 1, 30)


def test_no_picture_of_a_damaged_image_is_no_fault(tmp_path, monkeypatch):
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": IMAGE}, {"a.jpg": picture()})
    collected(tmp_path / "pairs", path)
    path.write_bytes(path.read_bytes()[:200])
    plan = load_plan(tmp_path / "pairs")
    assert Thumbnails(plan).of({"row": Index(plan.work).row(SITE + "a.jpg")}) == ""


def in_pairs(path: Path, first_alone: bool) -> Path:
    """A crawl of one page and four images, two records in each compressed member."""
    images = {f"{n}.jpg": picture(n) for n in range(4)}
    tags = [f"<img src={n}.jpg alt='boat {w} at the pier of stone'>" for n, w in enumerate("abcd")]
    write_crawl(path, {"a.html": page(*tags)}, images)
    records = [b"WARC/1.0\r\n" + one for one in gzip.decompress(path.read_bytes()).split(b"WARC/1.0\r\n")[1:]]
    alone = records[: 2 if first_alone else 0]
    others = records[len(alone) :]
    pairs = [b"".join(others[at : at + 2]) for at in range(0, len(others), 2)]
    path.write_bytes(b"".join(map(gzip.compress, [*alone, *pairs])))
    return path


def test_an_archive_that_keeps_several_records_in_a_member_gives_its_pages_alone(tmp_path):
    """The place of a member is all that the library tells of each record."""
    report = collected(tmp_path / "pairs", in_pairs(tmp_path / "a.warc.gz", first_alone=False))
    assert (report["pages"], report["image_tags"], report["images_found"]) == (1, 4, 0)
    assert "fastwarc recompress" in json.dumps(report["bad"])


def test_where_later_members_hold_several_records_no_image_gets_anothers_text(tmp_path):
    path = in_pairs(tmp_path / "a.warc.gz", first_alone=True)
    with pytest.raises(
        ValueError, match=r"at \d+ is not http://example.org/\d.jpg, which was read there.* recompress"
    ):
        collected(tmp_path / "pairs", path)


def test_other_files_behind_the_same_settings_are_refused(tmp_path):
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": IMAGE}, {"a.jpg": picture()})
    words = tmp_path / "words.txt"
    words.write_text("two\nold\nboats\nin\nthe\nharbour\n")
    collected(tmp_path / "pairs", path, texts={"vocabulary": str(words)})
    words.write_text("two\nnew\nboats\nin\nthe\nharbour\n")
    with pytest.raises(ValueError, match=r"the files of texts\.vocabulary have changed since"):
        explain(tmp_path / "pairs", SITE + "a.jpg")
    with pytest.raises(ValueError, match=r"the files of texts\.vocabulary have changed"):
        collected(tmp_path / "pairs", path, texts={"vocabulary": str(words)})


def test_lost_files_of_a_stage_that_sees_all_are_made_again(tmp_path):
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": IMAGE}, {"a.jpg": picture()})
    report = collected(tmp_path / "pairs", path)
    (tmp_path / "pairs" / ".work" / "settle" / "000001.images.jsonl.gz").unlink()
    (tmp_path / "pairs" / "00000.tar").unlink()
    assert collected(tmp_path / "pairs", path) == report


def test_what_became_of_each_text_is_said(tmp_path):
    shared = "the view from our quiet terrace"
    htmls = {f"{n}.html": page(f"<img src={n}.jpg alt='{shared}' title='boat {w} by the pier'>")
             for n, w in enumerate("abcdefghijk")}  # fmt: skip
    htmls["copy.html"] = page("<img src=copy.jpg alt='a boat that nobody has numbered'>")
    images = {f"{n}.jpg": picture(n) for n in range(11)} | {"copy.jpg": picture(0, 380, 304)}
    collected(tmp_path / "pairs", write_crawl(tmp_path / "a.warc.gz", htmls, images))
    said = "\n".join(explain(tmp_path / "pairs", SITE + "0.html"))
    assert f"alt: {shared} -- dropped by shared, on more than 10 images" in said
    assert "title: boat a by the pier -- " in said and "kept as" in said
    said = "\n".join(explain(tmp_path / "pairs", SITE + "copy.jpg"))
    assert "dropped by duplicate" in said and "kept as" in said and "nobody has numbered -- the best" in said
