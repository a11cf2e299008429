import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import foreign
import msgpack
import numpy as np
import pytest
from foreign import CLASSES, WIDTH
from nursery import run_forked
from stored_images import stored

from interbert import __main__ as program
from interbert.commands.output import SHARDS, output_path
from interbert.sources.foreign_files.safe_pickle import loads
from interbert.sources.importing import driver
from interbert.sources.record import ImportFault
from interbert.store.verify import verify

ROOT = Path(__file__).parents[3]


WRITERS = {
    "bottom-up-tsv": foreign.write_tsv,
    "vilbert-lmdb": foreign.write_vilbert,
    "tensorpack-lmdb": foreign.write_tensorpack,
    "volta-h5": foreign.write_volta,
    "uniter-npz": foreign.write_npz,
    "uniter-lmdb": foreign.write_uniter_lmdb,
}


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def surest_first(image: foreign.Image, key_N: np.ndarray) -> foreign.Image:
    """The image with its regions in the order that they are to arrive in."""
    order = np.argsort(-key_N, kind="stable")
    rows = ("boxes", "features", "probs", "labels", "confidence")
    return replace(image, **{name: getattr(image, name)[order] for name in rows})


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_arrives_whole(name, tmp_path):
    made = foreign.images()
    WRITERS[name](tmp_path / "theirs", made)
    bring(name, "--input", tmp_path / "theirs", "--output", tmp_path / "ours.h5", "--classes", CLASSES)
    assert verify(tmp_path / "ours.h5").ok
    found = stored(tmp_path / "ours.h5")
    assert set(found) == {image.name for image in made}
    of_uniter = name.startswith("uniter")
    for image in made:
        ours = found[image.name]
        if name == "tensorpack-lmdb":
            image = surest_first(image, image.probs.max(axis=1))
        elif name == "volta-h5" or of_uniter:
            image = surest_first(image, image.confidence.astype(np.float16 if of_uniter else np.float32))
        np.testing.assert_array_equal(ours["features"], image.features.astype(np.float16))
        boxes = (image.boxes / (200, 100, 200, 100)).astype(np.float16) if of_uniter else image.boxes
        np.testing.assert_array_equal(ours["boxes"], boxes.astype(np.float32))
        assert ours["size"] == ((0, 0) if of_uniter else (200, 100))
        if of_uniter or name == "tensorpack-lmdb":
            np.testing.assert_allclose(ours["probs"].astype(np.float32), image.probs, atol=2e-3)
        elif name == "volta-h5":
            np.testing.assert_array_equal(ours["labels"], image.labels)
        else:
            assert ours["probs"] is None and ours["labels"] is None
        assert ours["captions"] == ([image.caption] if name == "tensorpack-lmdb" else [])
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("kind", ["probs", "labels"])
def test_a_tsv_with_class_evidence(kind, header, tmp_path):
    made = foreign.images(5)
    foreign.write_tsv(tmp_path / "a.tsv", made, header, kind)
    words = ("--input", tmp_path / "a.tsv", "--output", tmp_path / "a.h5", "--classes", CLASSES)
    bring("bottom-up-tsv", *words)
    found = stored(tmp_path / "a.h5")
    for image in made:
        image = surest_first(image, image.probs.max(axis=1) if kind == "probs" else image.confidence)
        if kind == "probs":
            np.testing.assert_allclose(found[image.name]["probs"], image.probs, atol=1e-3)
        else:
            np.testing.assert_array_equal(found[image.name]["labels"], image.labels)


def spoil(path: Path, line: int, column: int, value: bytes) -> None:
    lines = [row.split(b"\t") for row in path.read_bytes().splitlines()]
    lines[line][column] = value
    path.write_bytes(b"\n".join(b"\t".join(row) for row in lines) + b"\n")


NAN = foreign.b64(np.full((2, WIDTH), np.nan, np.float32))


OUTSIDE = foreign.b64(np.tile(np.array([0, 0, 999, 9], np.float32), (2, 1)))


BAD_CELLS = [
    (5, b"not base64!", "features: not base64"),
    (4, foreign.b64(np.zeros((1, 4), np.float32)), "boxes: 16 bytes, which are not"),
    (3, b"many", "num_boxes is b'many', not a whole number"),
    (5, NAN, "NaN"),
    (4, OUTSIDE, "outside its image of 200 x 100"),
    (5, foreign.b64(np.zeros((2, 3), np.float32)), r"features has shape \(2, 3\)"),
]


@pytest.mark.parametrize(("column", "value", "message"), BAD_CELLS)
def test_a_bad_row_stops_with_file_row_and_id(column, value, message, tmp_path, capsys):
    made = foreign.images(5)
    for field in ("boxes", "features", "probs", "labels", "confidence"):
        setattr(made[3], field, getattr(made[3], field)[:2])
    foreign.write_tsv(tmp_path / "a.tsv", made)
    spoil(tmp_path / "a.tsv", 3, column, value)
    words = ("bottom-up-tsv", "--input", tmp_path / "a.tsv", "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    said = capsys.readouterr().err
    assert f"{tmp_path}/a.tsv, line 4, image '000020': " in said and "--skip-bad" in said
    assert re.search(message, said), said
    assert not (tmp_path / "a.h5").exists()
    bring(*words, "--skip-bad", 1)
    said = capsys.readouterr().out
    assert "1 bad rows were left out" in said and "line 4" in said
    report = json.loads((tmp_path / "a.import.json").read_text())
    assert report["images"] == 4 and "line 4" in report["bad_rows"][0]
    assert set(stored(tmp_path / "a.h5")) == {image.name for n, image in enumerate(made) if n != 3}


def test_more_bad_rows_than_allowed(tmp_path, capsys):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(6))
    for line in (1, 4):
        spoil(tmp_path / "a.tsv", line, 5, b"?")
    words = ("bottom-up-tsv", "--input", tmp_path / "a.tsv", "--output", tmp_path / "a.h5", "--skip-bad", 1)
    bring(*words, code=2)
    assert "2 bad rows, more than --skip-bad 1" in capsys.readouterr().err


class Evil:
    def __reduce__(self):
        return os.system, ("touch hacked",)


def test_a_hostile_pickle_is_refused_and_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    foreign.write_lmdb(tmp_path / "l", {b"1": pickle.dumps(Evil()), b"keys": pickle.dumps([b"1"])})
    bring("vilbert-lmdb", "--input", tmp_path / "l", "--output", tmp_path / "a.h5", code=2)
    said = capsys.readouterr().err
    assert "asks for posix.system" in said and "record 0 (key '1')" in said
    foreign.write_lmdb(tmp_path / "m", {b"keys": pickle.dumps(Evil())})
    bring("vilbert-lmdb", "--input", tmp_path / "m", "--output", tmp_path / "a.h5", code=2)
    assert "record 'keys': the pickle asks for posix.system" in capsys.readouterr().err
    assert not (tmp_path / "hacked").exists()
    with pytest.raises(ImportFault, match="not a readable pickle"):
        loads(b"\x80\x04broken")
    array = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(2), "x", b"y", {1, 2}]}
    for protocol in range(6):
        again = loads(pickle.dumps(array, protocol))
        np.testing.assert_array_equal(again["a"], array["a"])
        assert again["b"] == array["b"]


def test_an_array_of_objects_is_refused(tmp_path, capsys):
    value = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": [1], b"data": pickle.dumps(Evil())}
    records = {b"1": msgpack.packb([value] * 8, use_bin_type=True)}
    foreign.write_lmdb(tmp_path / "l", records)
    bring("tensorpack-lmdb", "--input", tmp_path / "l", "--output", tmp_path / "a.h5", code=2)
    assert "an array of type '|O'" in capsys.readouterr().err


def test_shards_and_one_file_hold_the_same(tmp_path):
    made = foreign.images(20)
    foreign.write_tsv(tmp_path / "a.tsv", made, kind="probs")
    (tmp_path / "c.json").write_text(json.dumps({image.name: image.caption for image in made}))
    words = ("bottom-up-tsv", "--input", tmp_path / "a.tsv", "--captions", tmp_path / "c.json")
    bring(*words, "--output", tmp_path / "whole.h5")
    bring(*words, "--output", tmp_path / "shards", "--shard-gb", 4e-7)
    bring(*words, "--output", tmp_path / "joined.h5", "--shard-gb", 4e-7)
    shards = sorted((tmp_path / "shards").glob("*.h5"))
    assert len(shards) > 3 and all(verify(path).ok for path in shards)
    assert {path.suffix for path in (tmp_path / "shards").iterdir()} == {".h5", ".json"}
    assert (tmp_path / "shards" / "import.json").is_file() and not list(tmp_path.glob(".*"))
    assert output_path(tmp_path / "shards", overwrite=True, folder=SHARDS), "what was written may be replaced"
    whole, apart = stored(tmp_path / "whole.h5"), stored(tmp_path / "shards")
    assert list(whole) == list(apart)
    np.testing.assert_equal(apart, whole)
    np.testing.assert_equal(stored(tmp_path / "joined.h5"), whole)
    assert verify(tmp_path / "joined.h5").ok


def test_killed_and_continued(tmp_path, capsys, monkeypatch):
    made = foreign.images(60)
    foreign.write_tsv(tmp_path / "a.tsv", made)
    (tmp_path / "c.json").write_text(json.dumps({image.name: image.caption for image in made}))
    words = ["import", "bottom-up-tsv", "--input", f"{tmp_path}/a.tsv", "--shard-gb", "2e-7"]
    words += ["--output", f"{tmp_path}/out", "--captions", f"{tmp_path}/c.json"]
    script = (
        "import os, signal\n"
        "from interbert import __main__ as program\n"
        "from interbert.sources.features.layouts.tsv import TsvSource\n"
        "read = TsvSource.read\n"
        "def die(self, number):\n"
        "    if number == 45: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(self, number)\n"
        "TsvSource.read = die\n"
        f"program.main({words!r})\n"
    )
    code, said = run_forked(["-c", script])
    assert code == -signal.SIGKILL, said
    assert not (tmp_path / "out").exists()
    shards = sorted((tmp_path / ".out.partial").glob("shard*.h5"))
    times = [path.stat().st_mtime_ns for path in shards]
    assert len(shards) > 1
    again = []
    write = driver._write_shard
    monkeypatch.setattr(
        driver, "_write_shard", lambda path, *rest: again.append(path.name) or write(path, *rest)
    )
    assert program.main(words) == 0
    assert "going on from" in capsys.readouterr().out
    assert not {path.name for path in shards} & set(again)
    now = sorted((tmp_path / "out").glob("*.h5"))
    assert [path.stat().st_mtime_ns for path in now[: len(times)]] == times
    found = stored(tmp_path / "out")
    assert {name: image["captions"] for name, image in found.items()} == {i.name: [i.caption] for i in made}
    assert list(found) == [image.name for image in made]
    bring(*words[1:], code=2)
    assert "is there already" in capsys.readouterr().err


def test_other_input_begins_anew(tmp_path, capsys):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(6))
    spoil(tmp_path / "a.tsv", 5, 5, b"?")
    words = ("bottom-up-tsv", "--input", tmp_path / "a.tsv", "--output", tmp_path / "o", "--shard-gb", 1e-7)
    bring(*words, code=2)
    assert list((tmp_path / ".o.partial").glob("shard*.h5"))
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(7))
    bring(*words)
    assert "beginning anew" in capsys.readouterr().out
    assert len(stored(tmp_path / "o")) == 7


def test_an_image_twice_is_a_bad_row_even_in_another_shard(tmp_path, capsys):
    made = foreign.images(6)
    foreign.write_tsv(tmp_path / "a.tsv", [*made, made[0]])
    words = ("bottom-up-tsv", "--input", tmp_path / "a.tsv", "--output", tmp_path / "o", "--shard-gb", 1e-7)
    bring(*words, code=2)
    assert "line 7, image '000017': image id '000017' came before" in capsys.readouterr().err
    bring(*words, "--skip-bad", 1)
    assert len(stored(tmp_path / "o")) == 6


@pytest.mark.skipif(not shutil.which("mpirun"), reason="no mpirun here (make debian-packages)")
def test_mpi_ranks_write_a_shard_each_with_the_same_content(tmp_path):
    made = foreign.images(21)
    foreign.write_tensorpack(tmp_path / "l", made)
    (tmp_path / "c.json").write_text(json.dumps({image.name: f"another of {image.name}" for image in made}))
    words = ["tensorpack-lmdb", "--input", str(tmp_path / "l"), "--captions", str(tmp_path / "c.json")]
    bring(*words, "--output", tmp_path / "alone")
    command = [
        "mpirun",
        "--allow-run-as-root",
        "--oversubscribe",
        "-n",
        "3",
        sys.executable,
        "-m",
        "interbert",
    ]
    command += ["import", *words, "--output", str(tmp_path / "together")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    assert len(list((tmp_path / "together").glob("*.h5"))) == 3
    alone, together = stored(tmp_path / "alone"), stored(tmp_path / "together")
    assert list(alone) == list(together)
    np.testing.assert_equal(together, alone)
    assert all(together[i.name]["captions"] == [i.caption, f"another of {i.name}"] for i in made)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bottom-up-tsv", "--input", "nowhere.tsv"), "nowhere.tsv: no such file"),
        (("uniter-npz", "--input", "."), "no file ends in .npz"),
        (("vilbert-lmdb", "--input", "."), "a folder without data.mdb"),
        (("volta-h5", "--input", "text"), "not a readable HDF5 file"),
        (("vilbert-lmdb", "--input", "text"), "not a readable LMDB"),
        (("bottom-up-tsv", "--input", "text"), "1 tab-separated columns and no header"),
        (("bottom-up-tsv", "--input", "text", "--split", "train"), "give --captions with it"),
        (("bottom-up-tsv", "--input", "text", "--shard-gb", 0), "--shard-gb 0.0: above 0"),
    ],
)
def test_wrong_inputs(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("only some words")
    bring(*words, "--output", tmp_path / "a.h5", code=2)
    assert message in capsys.readouterr().err
