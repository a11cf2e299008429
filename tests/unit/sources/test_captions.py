"""Every layout of captions is read exactly; what cannot be read is told with file, line and remedy."""

import gzip
import json
import re
from pathlib import Path

import foreign_captions
import pytest
from foreign_captions import LAYOUTS, OF_THE_WEB, Truth, url

from interbert.sources.captions.explain import explain_captions
from interbert.sources.captions.files import CaptionFiles
from interbert.sources.captions.json_stream import JsonStream, elements
from interbert.sources.captions.layouts import recognise
from interbert.sources.captions.names import number, stem
from interbert.sources.record import ImportFault


def told(truth: Truth) -> dict[str, list[str]]:
    return {str(int(name)): [" ".join(text.split()) for text in texts] for name, texts in truth.items()}


def read(path: Path, encoding: str = "utf-8") -> dict[str, list[str]]:
    """By image; of a URL the number in it."""
    found: dict[str, list[str]] = {}
    for caption in recognise(path, encoding).captions():
        name = number(caption.image) or re.search(r"\d{6}", caption.image)[0].lstrip("0")
        found.setdefault(name, []).append(caption.text)
    return found


@pytest.mark.parametrize("name", [*LAYOUTS, *OF_THE_WEB])
def test_every_layout_is_read_exactly_plain_or_zipped(name, tmp_path):
    truth = foreign_captions.captions()
    write = LAYOUTS.get(name) or OF_THE_WEB[name]
    write(tmp_path / "theirs", truth)
    found = read(tmp_path / "theirs")
    assert {image: sorted(texts) for image, texts in found.items()} == {
        image: sorted(texts) for image, texts in told(truth).items()
    }
    if not name.startswith("coco"):  # which are in no order
        assert found == told(truth)
    (tmp_path / "zipped.json.gz").write_bytes(gzip.compress((tmp_path / "theirs").read_bytes()))
    assert read(tmp_path / "zipped.json.gz") == found
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "theirs").read_bytes())
    assert read(tmp_path / "marked") == found
    (tmp_path / "of_windows").write_bytes((tmp_path / "theirs").read_bytes().replace(b"\n", b"\r\n"))
    assert read(tmp_path / "of_windows") == found


@pytest.mark.parametrize("name", ["kaggle", "conceptual", "vilbert", "karpathy", "token"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "gb18030", "cp1252"])
def test_other_encodings_are_read_where_they_are_named(name, encoding, tmp_path):
    truth = {"000017": ["ein Mädchen im Schnee", "ein Häuschen"], "000018": ["Füße"]}
    write = LAYOUTS.get(name) or OF_THE_WEB[name]
    write(tmp_path / "a", truth)
    text = (tmp_path / "a").read_text(encoding="utf-8")
    text = json.dumps(json.loads(text), ensure_ascii=False) if name == "karpathy" else text
    (tmp_path / "b").write_bytes(text.encode(encoding))
    assert read(tmp_path / "b", encoding) == told(truth)
    with pytest.raises(ImportFault, match=r"b, line \d+: not utf-8 \(.*byte 0x.*--encoding NAME, such as"):
        read(tmp_path / "b")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_text_of_several_bytes_a_letter_without_a_mark_is_text_where_it_is_named(encoding, tmp_path):
    (tmp_path / "a.csv").write_bytes("image,caption\n7.jpg,grün\n".encode(encoding))
    assert read(tmp_path / "a.csv", encoding) == {"7": ["grün"]}
    with pytest.raises(ImportFault, match="not a file of text"):
        read(tmp_path / "a.csv")


def test_the_line_that_is_no_utf_8_is_told_however_far_it_is(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"image,caption\n" + b"a.jpg,a dog runs\n" * 20_000 + b"b.jpg,f\xfcr\n")
    with pytest.raises(ImportFault, match=r"line 20002: not utf-8 \(.*byte 0xfc\)"):
        list(recognise(tmp_path / "a.csv", "utf-8").captions())
    assert "--encoding NAME" in explain_captions(tmp_path / "a.csv")[-1]
    (tmp_path / "b.csv").write_bytes("image,caption\nä.jpg,x\n".encode("utf-16"))
    assert "such as utf-16" in explain_captions(tmp_path / "b.csv")[0]
    with pytest.raises(ValueError, match="--encoding klingon: no encoding of text"):
        CaptionFiles(encoding="klingon")
    with pytest.raises(ValueError, match="--encoding rot13"):
        CaptionFiles(encoding="rot13")


def test_what_is_no_caption_is_counted(tmp_path):
    truth = foreign_captions.captions()
    foreign_captions.llava(tmp_path / "llava", truth)
    foreign_captions.lxmert(tmp_path / "lxmert", truth)
    (tmp_path / "empty.csv").write_text("image,caption\na.jpg,\nb.jpg,x\nc.jpg,  \n")
    expected = {
        "llava": {"conversations about no image": 1, "conversations of several turns, or none": 1},
        "lxmert": {"questions": len(truth)},
        "empty.csv": {"empty captions": 2},
    }
    for name, counts in expected.items():
        layout = recognise(tmp_path / name, "utf-8")
        for _ in range(2):
            list(layout.captions())
            assert layout.left_out == counts


OBJECTS = '{"img_path": "a.jpg", "sentences": ["x"]}\n'
FAULTS = [
    ('{"a": 1}', "no layout of captions: an object with a; known are"),
    ('{"a": "x", "b": "y", "c": 1}', "no layout"),
    ('{"a": "x", ' + ", ".join(f'"b{n}": "y"' for n in range(9)) + ', "c": 1}', "image 'c': sentences are 1"),
    ("uid;text\n1;a", "its first line is 'uid;text'"),
    ("some words\nand more", "its first line is 'some words'"),
    (OBJECTS + '{"img_path": "b.jpg"}', "line 2: lacks 'sentences'; it has img_path"),
    (OBJECTS + '\n{"img_path": "b.jpg", "sentences": [1]}', r"line 3, sentences: sentences are \[1\]"),
    (OBJECTS + '{"img_path": true, "sentences": "x"}', "line 2, img_path: True is no image"),
    (OBJECTS + '{"img_path": "b', "line 2: not JSON"),
    (OBJECTS + "7", r"line 2: 7; an object with sentences"),
    ('{"uid": "a", "words": "b"}\n{"uid": "c", "words": "d"}', "lines of objects with uid, words"),
    ('{"a": ', "line 1: not JSON"),
    ('{"a": "x",\n "b": "y" "c": 1}', "line 2: not JSON"),
    ('[{"image": "a", "caption": "b"},\n{"image": "c" "caption": 1}]', "line 2: not JSON"),
    ('[{"image": "a", "caption": "b"}] x', "line 1: not JSON: something follows its end"),
    ('[{"image": "a", "caption": "b"}, {"image": "", "caption": "b"}]', r"\[1\], image: '' is no image"),
    ('[{"image": "a", "caption": "\\ud800"}]', "half a character"),
    ('[{"question_id": 1, "img_id": "a", "sent": "why?"}]', "a list of objects with question_id"),
    ("[]", "an empty list"),
    ("{}", "an empty object"),
    ("", "empty, so it has no caption"),
    ("[" * 100_000, "nested too deep"),
    (
        '{"images": [{"filename": "a.jpg", "sentences": []}, {"filename": "a.jpg"}]}',
        r"images\[1\]: lacks 'sent",
    ),
    (
        '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 1, "bbox": []}]}',
        "an object with images",
    ),
    (
        '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 2, "caption": "x"}]}',
        r"annotations\[0\]: image_id 2 is not among the file's images",
    ),
    ('{"image_urls": ["http://a"], "captions": ["x", "y"]}', r"captions\[1\]: image_urls has only 1 entries"),
    ('{"image_urls": ["http://a", "http://b"], "captions": ["x"]}', "2 image_urls, but only 1 captions"),
    ("image,caption\na.jpg,a dog, running\n", "line 2: 3 cells, but the header has 2 .*quotation marks"),
    ('image,caption\na.jpg,"a\ndog"\nb.jpg,"a "red" dog"\n', "line 4: .*a quotation mark within"),
    ('image,caption\na.jpg,"a dog\nb.jpg,c\n', "line 2: unexpected end of data"),
    (
        "image_name| comment_number| comment\na.jpg| 1| x\na.jpg 2 y\n",
        "line 3: 1 cells, but the header has 3",
    ),
    ("a.jpg#0\tx\na.jpg\ty\n", "line 2: .*FILE#NUMBER, a tab and a caption are expected"),
    ("a dog\thttp://a/b.jpg\na dog http://a/c.jpg\n", "line 2: 1 tab-separated columns, a caption and a URL"),
    ("a dog\thttp://a/b.jpg\nhttp://a/c.jpg\ta cat\n", "line 2: 'a cat' is no URL"),
    ("a.jpg\tx\nb.jpg\n", "line 2: 'b.jpg'; a file name, a tab and a caption"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_what_cannot_be_read_is_told_with_its_place(text, message, tmp_path):
    (tmp_path / "c").write_text(text)
    with pytest.raises(ImportFault, match=message) as fault:
        list(recognise(tmp_path / "c", "utf-8").captions())
    assert str(fault.value).startswith(f"{tmp_path}/c")


def test_files_of_other_kinds_are_no_captions(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n\0\0\0\0")
    whole = gzip.compress(b'{"a": "b"}' * 1000)
    (tmp_path / "cut.json.gz").write_bytes(whole[:-9])
    with pytest.raises(ImportFault, match="not a file of text"):
        recognise(tmp_path / "a.h5", "utf-8")
    with pytest.raises(ImportFault, match="a broken gzip file"):
        list(elements(tmp_path / "cut.json.gz", "utf-8", "x"))
    assert explain_captions(tmp_path / "a.h5") is None
    assert explain_captions(tmp_path / "nowhere") is None
    features = "1\t10\t10\t1\tAAAA\tBBBB\n"
    (tmp_path / "a.tsv").write_text(features)
    assert explain_captions(tmp_path / "a.tsv") is None


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_values_cut_by_the_reading_are_whole(block, tmp_path, monkeypatch):
    """The same whatever comes with one read: numbers, escapes and words that go on."""
    monkeypatch.setattr("interbert.sources.captions.json_stream._BLOCK", block)
    values = [
        1234567890,
        'a\\"b\u20ac\U0001f600',
        [True, None, -1.5e-7],
        {"a": {"b": [1, "\n"]}},
        "",
        [],
        {},
        False,
    ]
    (tmp_path / "a").write_text(json.dumps({"x": [[1, 2], "]"], "values": values, "y": 12345}, indent=3))
    assert [value for _, value in elements(tmp_path / "a", "utf-8", "values")] == values
    with open(tmp_path / "a") as text:
        stream = JsonStream(tmp_path / "a", text)
        assert {key: stream.value() for key in stream.members()}["y"] == 12345


def test_a_value_too_large_to_be_a_caption_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("interbert.sources.captions.json_stream.LARGEST", 10_000)
    monkeypatch.setattr("interbert.sources.captions.json_stream._BLOCK", 1000)
    (tmp_path / "a").write_text('[{"image": "a", "caption": "b"},\n"' + "x" * 50_000 + '"]')
    with pytest.raises(ImportFault, match="line 2: one value of more than 10,000 characters"):
        list(recognise(tmp_path / "a", "utf-8").captions())


def test_a_file_is_explained(tmp_path):
    truth = foreign_captions.captions()
    foreign_captions.karpathy(tmp_path / "k", truth)
    foreign_captions.conceptual(tmp_path / "cc", truth)
    count = sum(map(len, truth.values()))
    assert explain_captions(tmp_path / "k") == [
        "captions: Karpathy's JSON",
        "read from: images[]: filename (filepath, cocoid where they are there), sentences[].raw, split",
        f"holds: {count} captions of {len(truth)} images",
        "ids: filename, such as 'val2014/COCO_val2014_000000000017.jpg', 'val2014/COCO_val2014_000000000018.jpg'",
        "ids: cocoid, such as '17', '18'",
        f"splits: captions by --split: train {count}",
    ]
    said = explain_captions(tmp_path / "cc")
    assert said[2] == f"holds: {count} captions of {len(truth)} images"
    assert said[3] == f"ids: URL, such as {url('000017')!r}, {url('000018')!r}"
    assert "file name in the URL" in said[6] and said[-1] == "missing: splits: the file tells none"
    (tmp_path / "bad").write_text(OBJECTS + "7")
    assert explain_captions(tmp_path / "bad")[-1].startswith("missing: the rest: ")
    assert "line 2" in explain_captions(tmp_path / "bad")[-1]
    (tmp_path / "none").write_text("image_id,caption\n")
    assert explain_captions(tmp_path / "none")[-1] == "missing: captions: there is none"


def test_numbers_and_stems_of_names():
    numbers = {
        "COCO_val2014_000000391895.jpg": "391895", "flickr30k_001000092795": "1000092795", "a/0042.npz": "42",
        "IMG0012": "12", "img-7": "7", "ab12ef7": None, "1000268201_693b08cb01": None, "a": None, "0": "0",
    }  # fmt: skip
    assert {name: number(name) for name in numbers} == numbers
    assert stem(r"C:\photos\a.b.JPG") == "a.b" and stem("./a/b.tar") == "b.tar"
