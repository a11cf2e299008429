"""Archives, folders and lines: what is in them, also in damaged ones; each held against another reader."""

import gzip
import io
import json
from pathlib import Path

import pytest
from fastwarc import ArchiveIterator, ZstdWriter
from made_crawl import SITE, collected, page, picture, write_crawl
from warcio.archiveiterator import ArchiveIterator as Warcio
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from interbert.curate.reading.arc import Arc
from interbert.curate.reading.charset import letters
from interbert.curate.reading.lines import Lines
from interbert.curate.reading.records import Bad, Limits, RawImage, RawPage
from interbert.curate.reading.saved import Saved
from interbert.curate.reading.stored import Table, Tar
from interbert.curate.reading.units import units_of
from interbert.curate.reading.urls import joined, key, leads_out, of_srcset
from interbert.curate.reading.warc import Warc
from interbert.curate.settings import CurateSettings, ReadingRules
from interbert.curate.stages.plan import Plan, load_plan
from interbert.sources.scenes.pages.archive import WarcWriter

LIMITS = Limits(page_bytes=1 << 20, record_bytes=4 << 20, image_bytes=4 << 20)
BODY = "<html><body><img src=a.jpg alt='a cat'></body></html>"


def by_warcio(path: Path, pages: int = 12) -> Path:
    """Written by another library: every third page packed and in chunks, requests and images between them."""
    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=True)
        for number in range(pages):
            body, headers = f"{BODY}{number}".encode(), [("Content-Type", "text/html; charset=utf-8")]
            if number % 3 == 0:
                body = gzip.compress(body, mtime=0)
                body = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
                headers += [("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")]
            _write(writer, f"http://a.org/{number}.html", headers, body)
            if number % 4 == 0:
                _write(
                    writer, f"http://a.org/{number}.jpg", [("Content-Type", "image/jpeg")], picture(number)
                )
            _write(
                writer,
                f"http://a.org/gone{number}",
                [("Content-Type", "text/html")],
                b"gone",
                "404 Not Found",
            )
    return path


def _write(writer, url: str, headers: list, body: bytes, status: str = "200 OK") -> None:
    own = StatusAndHeaders(status, headers, protocol="HTTP/1.1")
    writer.write_record(
        writer.create_warc_record(url, "response", payload=io.BytesIO(body), http_headers=own)
    )


def told(source) -> list[tuple[str, bytes]]:
    return [(one.url, one.body if isinstance(one, RawPage) else one.data) for one in source.records()]


def test_warcs_are_read_as_warcio_reads_them(tmp_path):
    path = by_warcio(tmp_path / "a.warc.gz")
    with open(path, "rb") as file:
        theirs = [
            (record.rec_headers.get_header("WARC-Target-URI"), record.content_stream().read())
            for record in Warcio(file)
            if record.http_headers and record.http_headers.get_statuscode() == "200"
        ]
    assert len(theirs) == 15 and told(Warc(path, LIMITS)) == theirs


def test_images_are_read_again_from_their_places(tmp_path):
    packed = by_warcio(tmp_path / "a.warc.gz")
    plain, zstd = tmp_path / "a.warc", tmp_path / "a.warc.zst"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    with open(zstd, "wb") as file:
        for record in ArchiveIterator(str(packed), parse_http=False):
            frame = ZstdWriter(file)
            record.write(frame)
            frame.close()
    for path in (packed, plain, zstd):
        source = Warc(path, LIMITS)
        images = [one for one in source.records() if isinstance(one, RawImage)]
        assert len(images) == 3
        assert all(source.image(one.place, len(one.data)) == one.data for one in images), path


def test_a_damaged_member_is_named_and_what_follows_is_read(tmp_path):
    path = by_warcio(tmp_path / "a.warc.gz")
    whole = list(Warc(path, LIMITS).records())
    lost, behind = whole[6], whole[7]
    data = bytearray(path.read_bytes())
    del data[lost.place + 60 : behind.place - 20]
    path.write_bytes(data)
    found = list(Warc(path, LIMITS).records())
    bad = [one for one in found if isinstance(one, Bad)]
    assert len(bad) == 1 and bad[0].place <= lost.place
    names = [one.url for one in found if not isinstance(one, Bad)]
    assert names == [one.url for one in whole if one is not lost]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
def test_a_torn_end_is_told(tmp_path, name):
    path = by_warcio(tmp_path / "a.warc.gz")
    data = path.read_bytes() if name.endswith("gz") else gzip.decompress(path.read_bytes())
    (tmp_path / name).write_bytes(data[:-300])
    assert isinstance(list(Warc(tmp_path / name, LIMITS).records())[-1], Bad)


def test_records_that_are_too_large_are_stepped_over(tmp_path):
    path = by_warcio(tmp_path / "a.warc.gz")
    found = list(Warc(path, Limits(page_bytes=30, record_bytes=1 << 20, image_bytes=4 << 20)).records())
    assert sum(isinstance(one, Bad) for one in found) == 12 and len(found) == 15
    found = list(Warc(path, Limits(page_bytes=1 << 20, record_bytes=1000, image_bytes=4 << 20)).records())
    assert sum(isinstance(one, Bad) for one in found) == 3 and "a record of" in str(found)


def test_a_header_that_claims_two_gigabytes_takes_no_memory(tmp_path):
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nshort"
    head = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
    head += b"WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
    path = tmp_path / "a.warc"
    path.write_bytes(head + b"Content-Length: 2147483648\r\n\r\n" + block)
    found = list(Warc(path, LIMITS).records())
    assert found and all(isinstance(one, Bad) for one in found)


def test_arcs_are_read(tmp_path):
    data, body = picture(1), BODY.encode()
    answers = [("http://a.org/", b"text/html", body), ("http://a.org/a.jpg", b"image/jpeg", data)]
    parts = [b"filedesc://x.arc 0.0.0.0 20080101000000 text/plain 9\n1 0 A\nxxx\n"]
    for url, kind, content in answers:
        block = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"; charset=utf-8\r\n\r\n" + content
        parts.append(f"{url} 1.2.3.4 20080101000000 {kind.decode()} {len(block)}\n".encode() + block + b"\n")
    path = tmp_path / "a.arc.gz"
    path.write_bytes(b"".join(gzip.compress(part) for part in parts))
    source = Arc(path, LIMITS)
    assert told(source) == [("http://a.org/", body), ("http://a.org/a.jpg", data)]
    image = list(source.records())[1]
    assert source.image(image.place, len(data)) == data
    path.write_bytes(path.read_bytes()[:-200])
    assert isinstance(list(source.records())[-1], Bad)


def test_records_that_only_name_others_are_counted(tmp_path):
    path = write_crawl(tmp_path / "a.warc.gz", {"a.html": page("<img src=a.jpg>")}, {})
    with open(path, "ab") as file:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n"
        WarcWriter(file).record(SITE + "a.jpg", "revisit", "application/http; msgtype=response", head)
    report = collected(tmp_path / "pairs", path)
    assert (report["revisits"], report["pages"], report["images_found"], report["bad"]) == (1, 1, 0, [])
    assert "1 records only name another one" in (tmp_path / "pairs" / "report.html").read_text()


def test_lines_are_read_and_bad_ones_named(tmp_path):
    path = tmp_path / "pages.jsonl"
    images = [{"src": "/a.jpg", "alt": "a cat", "width": 500, "height": 400}]
    rows = [{"url": "http://a.org/", "html": BODY}, {"url": "http://b.org/", "title": "B", "images": images}]
    path.write_text(
        "\n".join(map(json.dumps, rows)) + '\n{"html": "x"}\n[1]\nnot json\n{"url": "http://c.org/"}\n'
    )
    found = list(Lines(path, LIMITS).records())
    assert [type(one) for one in found] == [RawPage, RawPage, Bad, Bad, Bad, Bad]
    assert "line 3" in found[2].what and "line 5" in found[4].what


def test_a_folder_of_saved_pages_and_its_images(tmp_path):
    (tmp_path / "cats_files").mkdir()
    (tmp_path / "cats_files" / "a.jpg").write_bytes(picture(2))
    saved = "<!-- saved from url=(0019)http://example.org/ -->"
    html = saved + "<img src='cats_files/a.jpg'><img src='../../secret.jpg'><img src='..%2f..%2fsecret.jpg'>"
    (tmp_path / "cats.html").write_text(html)
    names = ["cats.html", "cats_files/a.jpg"]
    page, image = [one for one in Saved(tmp_path, names, LIMITS, True).records() if not isinstance(one, Bad)]
    (bad,) = [one for one in Saved(tmp_path, names, LIMITS, True).records() if isinstance(one, Bad)]
    assert page.url == "http://example.org/"
    assert key(joined(page.base, "cats_files/a.jpg")) == key(image.url)
    assert bad.what == "cats.html: ../../secret.jpg, ..%2f..%2fsecret.jpg lead out of the folder"
    assert bad.count == 2


def test_images_in_tars_and_tables_are_known_by_their_addresses(tmp_path):
    import tarfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    data, url = picture(3), "http://a.org/a.jpg"
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        files = (("0.jpg", data), ("0.json", json.dumps({"url": url}).encode()), ("b.org/x/1.jpg", data))
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    rows = {"url": [url, "http://b.org/b.jpg"], "jpg": [data, None]}
    pq.write_table(pa.table(rows), tmp_path / "00000.parquet")
    tar_source, table = Tar(tmp_path / "00000.tar", LIMITS), Table(tmp_path / "00000.parquet", LIMITS)
    first, second = tar_source.records()
    assert first.url == url and key(second.url) == key("https://b.org/x/1.jpg")
    assert tar_source.image(second.place, len(data)) == data
    (only,) = table.records()
    assert only.url == url and table.image(only.place, len(data)) == data


def test_units_follow_from_what_is_in_files(tmp_path):
    by_warcio(tmp_path / "crawl.dat", 2)
    (tmp_path / "labels.jsonl").write_text('{"page": "http://a.org/"}\n')
    (tmp_path / "pages.jsonl").write_text(json.dumps({"url": "http://a.org/", "html": BODY}) + "\n")
    for number in range(5):
        (tmp_path / f"{number}.html").write_text(BODY)
    (tmp_path / "out.html").symlink_to("/etc/passwd")
    units = units_of([tmp_path], [], ReadingRules(pages_of_a_unit=3))
    assert [(one.form, len(one.names)) for one in units] == [
        ("warc", 0),
        ("lines", 0),
        ("saved", 3),
        ("saved", 2),
    ]
    plan = Plan(tmp_path / "pairs", units, CurateSettings(), named={})
    plan.work.mkdir(parents=True)
    plan.settle()
    # Each worker reads the plan: it has no names of all files.
    assert ".html" not in (tmp_path / "pairs" / "plan.json").read_text()
    found = [load_plan(tmp_path / "pairs").source(number).records() for number in (2, 3)]
    assert [[one.place for one in pages] for pages in found] == [[0, 1, 2], [0, 1]]
    with pytest.raises(ValueError, match="no such file"):
        units_of([tmp_path / "nothing"], [], ReadingRules())
    (tmp_path / "x.bin").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="WARC, ARC"):
        units_of([tmp_path / "x.bin"], [], ReadingRules())


TEXT = "Le café “brûlé” est très bon, señor — naïve façade"


@pytest.mark.parametrize(
    ("body", "header", "expected", "repaired"),
    [
        (TEXT.encode(), "utf-8", TEXT, False),
        (TEXT.encode(), "iso-8859-1", TEXT, True),
        (TEXT.encode("cp1252"), "windows-1252", TEXT, False),
        (TEXT.encode("cp1252"), "iso-8859-1", TEXT, False),
        (b"<meta charset='gb2312'>" + "我们一大早就出发了，那时候别人还没有起床。".encode("gb18030"), None,
         "<meta charset='gb2312'>我们一大早就出发了，那时候别人还没有起床。", False),
        (("我们一大早就出发了，那时候别人还没有起床。" * 9).encode("gb18030"), "utf-8",
         "我们一大早就出发了，那时候别人还没有起床。" * 9, True),
        (b"\xef\xbb\xbf" + TEXT.encode(), "gb2312", TEXT, False),
        (b"plain", "x-unheard-of", "plain", False),
        (TEXT.encode(), "x-unheard-of", TEXT, True),
    ],
)  # fmt: skip
def test_letters_are_what_they_are_whatever_is_said(body, header, expected, repaired):
    found = letters(body, header)
    assert found.text == expected and found.repaired == repaired


def test_bytes_of_no_charset_are_letters_all_the_same():
    assert letters(bytes(range(256)) * 3, "utf-8").text


def test_addresses():
    assert joined("http://a.org/b/c.html", " ../x.jpg\n#top") == "http://a.org/x.jpg"
    assert joined("http://a.org/", "data:image/gif;base64,xx") is None
    assert (
        joined("http://a.org/", "javascript:x()") is None and joined("http://a.org/", "http://[bad") is None
    )
    assert key("http://A.org/a%20b.jpg") == key("https://a.org/a b.jpg") != key("http://a.org/A b.jpg")
    assert of_srcset("a.jpg 480w, b,c.jpg 1200w,https://x.org/d.jpg 800w") == [
        "b,c.jpg",
        "https://x.org/d.jpg",
        "a.jpg",
    ]
    assert leads_out("a/b.html", "../../x.jpg") and not leads_out("a/b.html", "../x.jpg")
    assert leads_out("a.html", "file:///etc/passwd")
