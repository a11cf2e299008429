"""Whose captions they are: by one rule a file, and never another image's."""

import json
import tracemalloc
from binascii import crc32
from pathlib import Path

import foreign_captions
import pytest
from foreign_captions import LAYOUTS, NAMED_BY_URL, OF_THE_WEB

from interbert.sources.captions.files import CaptionFiles
from interbert.sources.captions.index import build_index
from interbert.sources.captions.matched import MatchedCaptions, joined
from interbert.sources.record import ImportFault


class Matched:
    def __init__(self, folder: Path, ids: list[str], *files: object, **wishes: object) -> None:
        """files: an object is written as JSON, a text as it is."""
        paths = []
        for n, content in enumerate(files):
            paths.append(folder / f"captions_{n}")
            paths[-1].write_text(content if isinstance(content, str) else json.dumps(content))
        self.matches = build_index(folder, CaptionFiles(tuple(paths), **wishes), ids)
        self._captions = MatchedCaptions(folder)

    def of(self, name: str) -> list[str]:
        return [text for of_file in self._captions.of(name) for text in of_file]


def karpathy(names: list[str], splits: tuple[str, ...] = ("train",), **more: object) -> dict:
    return {
        "images": [
            {"filename": name, "split": splits[n % len(splits)], "sentences": [{"raw": f"of {name}"}], **more}
            for n, name in enumerate(names)
        ]
    }


IDS = {
    "as files": lambda name: f"{name}.jpg",
    "bare": lambda name: name,
    "numbers": lambda name: str(int(name)),
    "COCO's": lambda name: f"COCO_val2014_{int(name):012d}",
    "in folders": lambda name: f"a/b/{name}",
    "with a word": lambda name: f"flickr30k_{int(name):012d}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_finds_ids_of_every_kind(layout, tmp_path):
    """But none where both names only end in the same number: neither need be the other."""
    truth = foreign_captions.captions()
    LAYOUTS[layout](tmp_path / "theirs", truth)
    files = CaptionFiles((tmp_path / "theirs",))
    for kind, of in IDS.items():
        names = {name: of(name) for name in truth}
        if (layout, kind) in (("albef", "with a word"), ("lxmert", "with a word"), ("lxmert", "COCO's")):
            with pytest.raises(ImportFault, match="match none of the 7 images"):
                build_index(tmp_path, files, names.values())
            continue
        [match] = build_index(tmp_path, files, [*names.values(), "x"])
        assert (match.images, match.matched, match.ambiguous) == (7, 7, 0)
        captions = MatchedCaptions(tmp_path)
        for name, texts in truth.items():
            found = [text for of_file in captions.of(names[name]) for text in of_file]
            assert sorted(found) == sorted(" ".join(text.split()) for text in texts)
        assert captions.of("x") == []


@pytest.mark.parametrize("field", NAMED_BY_URL)
@pytest.mark.parametrize("layout", OF_THE_WEB)
def test_images_of_the_web_are_found_by_hash_or_file_name(layout, field, tmp_path):
    truth = foreign_captions.captions()
    OF_THE_WEB[layout](tmp_path / "theirs", truth)
    names = {name: NAMED_BY_URL[field](name) for name in truth}
    [match] = build_index(tmp_path, CaptionFiles((tmp_path / "theirs",)), [*names.values(), "5"])
    assert (match.named_by, match.matched) == (field, 7)
    captions = MatchedCaptions(tmp_path)
    for name, texts in truth.items():
        assert captions.of(names[name]) == [[" ".join(text.split()) for text in texts]]


def test_names_of_the_well_known_downloader(tmp_path):
    urls = ("http://a/1.jpg", "http://a/2.jpg")
    ids = [f"training/{row}_{crc32(url.encode())}" for row, url in enumerate(urls)]
    matched = Matched(tmp_path, ids, f"a cat\t{urls[0]}\na dog\t{urls[1]}\n")
    assert [matched.of(name) for name in ids] == [["a cat"], ["a dog"]]
    assert matched.matches[0].named_by == "row from 0, _, CRC-32 of the URL"


def test_the_full_name_comes_before_the_stem(tmp_path):
    captions = {"a/1.jpg": "of a", "b/1.jpg": "of b"}
    matched = Matched(tmp_path, ["a/1", "b/1"], captions)
    assert (matched.of("a/1"), matched.of("b/1")) == (["of a"], ["of b"])
    assert "2 of its 2 images are in the data, key without the ending" in matched.matches[0].lines()[0]
    matched = Matched(tmp_path, ["a/1.jpg", "b/1.jpg"], captions)
    assert (matched.of("a/1.jpg"), matched.of("b/1.jpg")) == (["of a"], ["of b"])
    assert "key as it is" in matched.matches[0].lines()[0]


def test_a_stem_or_number_that_two_share_matches_neither(tmp_path):
    matched = Matched(tmp_path, ["1", "2"], {"a/1.jpg": "of a", "b/1.jpg": "of b", "b/2.jpg": "of 2"})
    assert (matched.of("1"), matched.of("2")) == ([], ["of 2"])
    assert (
        matched.matches[0].ambiguous == 2
        and "2 have a name that several share" in matched.matches[0].lines()[1]
    )
    matched = Matched(tmp_path, ["a/1", "b/1", "c/2"], {"1.jpg": "of 1", "2.jpg": "of 2"})
    assert (matched.of("a/1"), matched.of("b/1"), matched.of("c/2")) == ([], [], ["of 2"])
    matched = Matched(
        tmp_path, ["COCO_val2014_000000000042", "flickr30k_000000000042", "x_7"], {"42": "?", "7": "!"}
    )
    assert matched.of("COCO_val2014_000000000042") == matched.of("flickr30k_000000000042") == []
    assert matched.of("x_7") == ["!"] and matched.matches[0].ambiguous == 1
    matched = Matched(tmp_path, ["cat", "dog"], {"cat.jpg": "one", "cat.png": "another", "dog.png": "a dog"})
    assert (matched.of("cat"), matched.of("dog")) == ([], ["a dog"])
    with pytest.raises(ImportFault, match="2 of its names are shared by several"):
        Matched(tmp_path, ["1", "3"], {"a/1.jpg": "of a", "b/1.jpg": "of b"})


def test_names_that_only_end_in_the_same_number_do_not_meet(tmp_path):
    with pytest.raises(ImportFault, match=r"none of the 1 images: it names 'b_42.jpg'; the data has 'a_42'"):
        Matched(tmp_path, ["a_42"], {"b_42.jpg": "x"})


def test_a_few_chance_meetings_do_not_decide(tmp_path):
    names = {f"COCO_val2014_{n:012d}.jpg": f"of {n}" for n in range(20)}
    by_chance = {"d/x.jpg": "by the stem", **names}
    matched = Matched(tmp_path, [*(str(n) for n in range(20)), "x"], by_chance)
    assert matched.of("7") == ["of 7"] and matched.of("x") == []
    exact = {f"p{n}": "exact" for n in range(10)} | {"3": "a number"}
    matched = Matched(tmp_path, [*(f"p{n}" for n in range(10)), "z_3"], exact)
    assert matched.of("p4") == ["exact"] and matched.of("z_3") == []
    assert matched.matches[0].unmatched == ["3"]
    shared, theirs = [f"p{n}" for n in range(10)], [f"s{n}" for n in range(5)]
    ids = [*shared, *(f"d/{name}" for name in theirs), *(f"of_ours_{n}" for n in "abcdefghijkl")]
    captions = dict.fromkeys([*shared, *theirs, *(f"of_theirs_{n}" for n in "abcdefghijkl")], "x")
    matched = Matched(tmp_path, ids, captions)
    assert matched.of("p9") == ["x"] and matched.of("d/s0") == [] and matched.matches[0].matched == 10


def test_leading_zeros_make_no_other_number(tmp_path):
    """Where only some of the numbers are short enough to have them: none of the images is lost."""
    ids = [f"{n:03d}" for n in (1, 20, 98, 99, 100, 101, 102, 103, 104)]
    matched = Matched(tmp_path, ids, {f"{int(name)}.jpg": f"of {name}" for name in ids})
    assert [matched.of(name) for name in ids] == [[f"of {name}"] for name in ids]
    assert "without the ending and leading zeros" in matched.matches[0].lines()[0]
    matched = Matched(tmp_path, ["1", "01", "2"], {"001.jpg": "?", "002.jpg": "of 2"})
    assert [matched.of(name) for name in ("1", "01", "2")] == [[], [], ["of 2"]]


def test_files_with_a_common_number_do_not_mix(tmp_path):
    coco = karpathy(["COCO_val2014_000000000042.jpg", "COCO_val2014_000000000043.jpg"])
    coco["images"][0]["cocoid"] = 42
    flickr = {"42.jpg": "of flickr", "x.jpg": "of x"}
    ids = ["COCO_val2014_000000000042", "COCO_val2014_000000000043", "x"]
    for files in ((coco, flickr), (flickr, coco)):
        matched = Matched(tmp_path, ids, *files)
        assert matched.of(ids[0]) == ["of COCO_val2014_000000000042.jpg"] and matched.of("x") == ["of x"]
    matched = Matched(tmp_path, ["42", *ids], coco, flickr)
    assert matched.of("42") == ["of flickr"] and matched.of(ids[0]) == ["of COCO_val2014_000000000042.jpg"]
    only = {"42.jpg": "of flickr", "43.jpg": "of flickr"}
    with pytest.raises(
        ImportFault, match=r"captions_1 .*none of the 3.*2 met only by a number.*--match number"
    ):
        Matched(tmp_path, ids, coco, only)
    matched = Matched(tmp_path, ids, coco, only, allow_unmatched=True)
    assert (
        matched.matches[1].contested == 2 and "2 were left out: another file" in matched.matches[1].lines()[1]
    )
    assert matched.of(ids[1]) == ["of COCO_val2014_000000000043.jpg"]
    both = Matched(tmp_path, ["1"], {"a/1.jpg": "of a"}, {"b/1.jpg": "of b"}, allow_unmatched=True)
    assert both.of("1") == [] and [match.contested for match in both.matches] == [1, 1]


def test_files_about_the_same_images_do_mix(tmp_path):
    coco = karpathy(["COCO_val2014_000000000042.jpg"], filepath="val2014", cocoid=42)
    llava = [{"image": "coco/train2017/000000000042.jpg", "caption": "talk"}]
    for name in ("42", "COCO_val2014_000000000042"):
        matched = Matched(tmp_path, [name], coco, llava)
        assert matched.of(name) == ["of COCO_val2014_000000000042.jpg", "talk"]
    flickr = ({"1.jpg": "one"}, "flickr30k-images/1.jpg#0\ttwo\n")
    assert Matched(tmp_path, ["flickr30k_01"], *flickr).of("flickr30k_01") == ["one", "two"]


def test_a_rule_can_be_asked_for(tmp_path):
    coco, flickr = {"COCO_val2014_000000000042.jpg": "of coco"}, {"42.jpg": "of flickr"}
    assert Matched(tmp_path, ["42"], coco, flickr, match="number").of("42") == ["of coco", "of flickr"]
    with pytest.raises(ImportFault, match=r"captions_0 .*match none"):
        Matched(tmp_path, ["42"], coco, flickr, match="stem")
    with pytest.raises(ImportFault, match="match none"):
        Matched(tmp_path, ["a/x"], {"x.jpg": "y"}, match="name")
    assert Matched(tmp_path, ["a/x"], {"x.jpg": "y"}, match="stem").of("a/x") == ["y"]


def test_several_splits_are_taken_and_a_wrong_one_is_refused(tmp_path):
    names = [f"{n}.jpg" for n in range(8)]
    tree = karpathy(names, ("train", "restval", "val", "test"))
    matched = Matched(tmp_path, names, tree, splits=("train", "restval"))
    assert [bool(matched.of(name)) for name in names] == [True, True, False, False] * 2
    assert matched.matches[0].images == 4
    with pytest.raises(ImportFault, match="no split 'dev'; it has restval, test, train, val"):
        Matched(tmp_path, names, tree, splits=("train", "dev"))
    with pytest.raises(ImportFault, match="does not say which split"):
        Matched(tmp_path, names, {"1.jpg": "x"}, splits=("train",))
    table = "filename,split,caption\n0.jpg,train,a\n1.jpg,test,b\n"
    assert Matched(tmp_path, names, table, splits=("test",)).of("0.jpg") == []


def test_a_file_without_captions_or_images_is_an_error_unless_asked_for(tmp_path):
    with pytest.raises(
        ImportFault, match=r"captions_0 .*no caption; leave the file out, or give --allow-unmatched"
    ):
        Matched(tmp_path, ["a"], "image_id,caption\n")
    with pytest.raises(ImportFault, match=r"no caption; left out were 1 empty captions"):
        Matched(tmp_path, ["a"], "image_id,caption\na,\n")
    with pytest.raises(
        ImportFault, match=r"it names 'b'; the data has 'a'; --allow-unmatched imports without it"
    ):
        Matched(tmp_path, ["a"], {"b": "x"})
    matched = Matched(tmp_path, ["a"], "image_id,caption\n", {"b": "x"}, {"a": "y"}, allow_unmatched=True)
    assert matched.of("a") == ["y"] and [match.matched for match in matched.matches] == [0, 0, 1]
    assert (
        "0 of its 1 images" in matched.matches[1].lines()[0]
        and "such as 'b'" in matched.matches[1].lines()[1]
    )


def test_names_of_any_kind_are_looked_up_as_they_are(tmp_path):
    names = ["a'b", 'c"d', "e%f_g", "ü/ß", "x?y#z", "NULL", "a;DROP TABLE key"]
    matched = Matched(tmp_path, names, {name: f"of {name}" for name in names})
    assert [matched.of(name) for name in names] == [[f"of {name}"] for name in names]


def test_an_accent_is_the_same_however_it_is_spelt(tmp_path):
    """Names that a Mac made have a letter and an accent; but two images of one name are never told apart by that."""
    matched = Matched(tmp_path, ["café.jpg", "a"], {"cafe\u0301": "one"})
    assert matched.of("café.jpg") == ["one"] and matched.matches[0].rule == "without the ending"
    with pytest.raises(ImportFault, match="1 of its names are shared by several images"):
        Matched(tmp_path, ["café", "cafe\u0301"], {"café": "one"})


def test_the_same_words_from_two_places_are_one_caption():
    assert joined(["a  cat"], [["a cat", "a dog", "a dog"], ["a dog", "b"]]) == (
        ["a  cat", "a dog", "a dog", "b"],
        2,
    )
    assert joined([], []) == ([], 0)


def test_many_captions_need_no_memory(tmp_path, monkeypatch):
    """Of ten times as many captions, the Python side holds no more."""
    monkeypatch.setattr("interbert.sources.captions.index._AT_ONCE", 100)
    monkeypatch.setattr("interbert.sources.captions.json_stream._BLOCK", 1_000)
    peaks = []
    for count in (500, 4_000):
        path = tmp_path / f"{count}"
        with open(path, "w") as file:
            for n in range(count):
                file.write(json.dumps({"image": f"{n // 2}.jpg", "caption": f"caption {n} " * 5}) + "\n")
        tracemalloc.start()
        build_index(tmp_path, CaptionFiles((path,)), (str(n) for n in range(count // 2)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e5
