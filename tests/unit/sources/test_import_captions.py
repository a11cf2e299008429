"""Captions that come with features: whose they are, and once each."""

import json
import pickle
import re

import foreign
from stored_images import stored

from interbert import __main__ as program


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def test_captions_of_four_kinds(tmp_path, capsys):
    made = foreign.images(4)
    foreign.write_tsv(tmp_path / "a.tsv", made)
    names = [image.name for image in made]
    sentences = {name: [f"first of {name}", f"second  of\n{name}"] for name in [*names[:3], "999"]}
    files = {
        "karpathy.json": json.dumps(
            {
                "dataset": "flickr30k",
                "images": [
                    {
                        "filename": f"{n}.jpg",
                        "split": "test" if n == names[0] else "train",
                        "sentences": [{"raw": text} for text in texts],
                    }
                    for n, texts in sentences.items()
                ],
            }
        ),
        "lines.jsonline": "\n".join(
            json.dumps({"img_path": f"{n}.jpg", "sentences": texts}) for n, texts in sentences.items()
        ),
        "caption_train.json": json.dumps(sentences),
        "table.csv": "image_id,caption\n"
        + "".join(f'{n},"{text}"\n' for n, texts in sentences.items() for text in texts),
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        output = tmp_path / f"{name}.h5"
        words = ("--input", tmp_path / "a.tsv", "--output", output, "--captions", tmp_path / name)
        bring("bottom-up-tsv", *words)
        found = stored(output)
        for image in names:
            expected = [f"first of {image}", f"second of {image}"] if image != names[3] else []
            assert found[image]["captions"] == expected
        said = capsys.readouterr().out
        assert "1 images have no caption" in said and "1 images with captions have no features" in said
    words = ("--input", tmp_path / "a.tsv", "--captions", tmp_path / "karpathy.json")
    bring("bottom-up-tsv", *words, "--output", tmp_path / "train.h5", "--split", "train")
    assert set(stored(tmp_path / "train.h5")) == set(names[1:3])
    bring("bottom-up-tsv", *words, "--output", tmp_path / "x.h5", "--split", "val", code=2)
    assert "no split 'val'; it has test, train" in capsys.readouterr().err


def test_captions_within_and_beside_the_data_are_stored_once(tmp_path, capsys):
    """As those who made the LMDB keep their captions beside it as well."""
    made = foreign.images(4)
    foreign.write_tensorpack(tmp_path / "l", made)
    (tmp_path / "caption_train.json").write_text(json.dumps({image.name: image.caption for image in made}))
    (tmp_path / "more.json").write_text(json.dumps({made[0].name: ["a thing", made[0].caption]}))
    bring(
        *("tensorpack-lmdb", "--input", tmp_path / "l", "--output", tmp_path / "a.h5"),
        *("--captions", tmp_path / "caption_train.json", tmp_path / "more.json"),
    )
    found = stored(tmp_path / "a.h5")
    assert [found[image.name]["captions"] for image in made[1:]] == [[image.caption] for image in made[1:]]
    assert found[made[0].name]["captions"] == [made[0].caption, "a thing"]
    assert "5 captions came again, word for word, and are stored once" in capsys.readouterr().out
    report = json.loads((tmp_path / "a.import.json").read_text())
    assert [file["matched"] for file in report["caption_files"]] == [4, 1]


def test_images_of_one_file_name_in_two_folders_keep_their_own_captions(tmp_path, capsys):
    made = foreign.images(2)
    made[0].name, made[1].name = "a/1.jpg", "b/1.jpg"
    foreign.write_tsv(tmp_path / "a.tsv", made)
    (tmp_path / "c.csv").write_text("image,caption\na/1.jpg,of a\nb/1.jpg,of b\n")
    words = ("bottom-up-tsv", "--input", tmp_path / "a.tsv", "--captions", tmp_path / "c.csv")
    bring(*words, "--output", tmp_path / "a.h5")
    assert {name: image["captions"] for name, image in stored(tmp_path / "a.h5").items()} == {
        "a/1.jpg": ["of a"], "b/1.jpg": ["of b"],
    }  # fmt: skip
    assert "2 captions; 2 of its 2 images are in the data, image as it is" in capsys.readouterr().out


def test_what_is_asked_of_caption_files_holds(tmp_path, capsys):
    made = foreign.images(4)
    foreign.write_tsv(tmp_path / "a.tsv", made)
    words = ("bottom-up-tsv", "--input", tmp_path / "a.tsv", "--captions")
    (tmp_path / "other.json").write_text('{"zebra": "x"}')
    (tmp_path / "k.json").write_text(
        json.dumps(
            {
                "images": [
                    {"filename": f"{image.name}.jpg", "split": split, "sentences": [{"raw": image.caption}]}
                    for image, split in zip(made, ("train", "restval", "val", "test"), strict=True)
                ]
            }
        )
    )
    (tmp_path / "l.csv").write_bytes(f"image_id,caption\n{made[0].name},f\xfcr\n".encode("latin-1"))
    bring(*words, tmp_path / "other.json", "--output", tmp_path / "a.h5", code=2)
    assert "it names 'zebra'; the data has '000017'" in capsys.readouterr().err
    bring(*words, tmp_path / "other.json", "--output", tmp_path / "a.h5", "--allow-unmatched")
    assert len(stored(tmp_path / "a.h5")) == 4
    bring(*words, tmp_path / "k.json", "--output", tmp_path / "b.h5", "--split", "train", "restval")
    bring(
        *words, tmp_path / "k.json", "--output", tmp_path / "c.h5", "--split", "train", "--split", "restval"
    )
    assert list(stored(tmp_path / "b.h5")) == list(stored(tmp_path / "c.h5")) == ["000017", "000018"]
    bring(*words, tmp_path / "l.csv", "--output", tmp_path / "d.h5", code=2)
    assert "line 2: not utf-8" in capsys.readouterr().err
    bring(*words, tmp_path / "l.csv", "--output", tmp_path / "d.h5", "--encoding", "latin-1")
    assert stored(tmp_path / "d.h5")["000017"]["captions"] == ["für"]
    bring(*words, tmp_path / "l.csv", tmp_path / "l.csv", "--output", tmp_path / "e.h5", code=2)
    assert "is given twice" in capsys.readouterr().err
    bring(*words, tmp_path / "nowhere", "--output", tmp_path / "e.h5", code=2)
    assert "nowhere: no such file" in capsys.readouterr().err


def test_captions_within_the_data_are_texts_or_a_bad_row(tmp_path, capsys):
    """One with half a character or a NUL in it as well: it could not be stored."""
    told = ["fine", ["two", "of it"], b"bytes", "half \ud800", "nul \0", 5, None]
    records = {}
    for number, (image, caption) in enumerate(zip(foreign.images(len(told)), told, strict=True)):
        row = [image.features, image.probs, image.boxes, len(image.boxes), 100, 200, image.name, caption]
        records[b"%08d" % number] = pickle.dumps(row)
    foreign.write_lmdb(tmp_path / "l", records)
    words = ("tensorpack-lmdb", "--input", tmp_path / "l", "--output", tmp_path / "a.h5")
    bring(*words, "--skip-bad", 2, code=2)
    bring(*words, "--skip-bad", 3)
    said = capsys.readouterr().out
    for number, what in ((3, "half a character"), (4, "holds a NUL"), (5, "caption is 5; a text")):
        assert re.search(rf"record {number} \(key '0000000{number}'\), image '.*': .*{what}", said), said
    assert [row["captions"] for _, row in sorted(stored(tmp_path / "a.h5").items())] == [
        ["fine"], ["two", "of it"], ["bytes"], [],
    ]  # fmt: skip
