"""No command writes over what it reads, over what is there, or through a planted link."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from interbert import files
from interbert.__main__ import main
from interbert.commands.output import MODEL, SHARDS, TOKENIZER, output_path
from interbert.commands.scenes import PICTURES
from interbert.corpus import cache
from interbert.corpus.corpus import Corpus
from interbert.sources.scenes.write import write_scenes
from interbert.store.store import Store

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path) -> Path:
    write_scenes(tmp_path / "data" / "a.h5", 6, seed=1, feature_width=2, captions=2)
    return tmp_path / "data" / "a.h5"


def mine(store: Path, output: Path | str, *more: str) -> int:
    return main(["mine", "--data", str(store), "--output", str(output), "--processes", "1", *more])


def test_a_table_is_not_mined_over_its_store(store, tmp_path, capsys):
    before = store.read_bytes()
    (tmp_path / "link.h5").symlink_to(store)
    (tmp_path / "second.h5").hardlink_to(store)
    (tmp_path / "shards").symlink_to(store.parent)
    for data, output in (
        (store, store),
        (store, tmp_path / "link.h5"),
        (tmp_path / "link.h5", store),
        (store, tmp_path / "second.h5"),
        (store, tmp_path / "shards" / "a.h5"),
        (store.parent, store),
        (tmp_path / "shards", store),
        (store.parent, tmp_path / "link.h5"),
    ):
        assert mine(data, output) == 2
        assert (
            "is there already: remove it, name another --output, or give --overwrite"
            in capsys.readouterr().err
        )
        assert mine(data, output, "--overwrite") == 2
        assert "read from" in capsys.readouterr().err
    assert store.read_bytes() == before and not list(tmp_path.rglob("*.partial"))


def test_no_table_is_put_among_the_stores_it_is_of(store, tmp_path, capsys):
    assert mine(store.parent, store.parent / "table.h5") == 2
    assert "would become one of the stores" in capsys.readouterr().err
    assert mine(store, store.parent / "table.h5") == 0, "one store says nothing of its folder"
    assert mine(store, store.parent / "table.h5") == 2
    old = (store.parent / "table.h5").read_bytes()
    assert mine(store, store.parent / "table.h5", "--overwrite", "--top", "3") == 0
    assert (store.parent / "table.h5").read_bytes() != old


def test_every_command_with_an_output_asks_first(store, tmp_path, capsys):
    there = tmp_path / "there"
    (there / "empty").mkdir(parents=True)
    for name in ("a.h5", "a.png", "a.html", "a.json", "a.safetensors"):
        (there / name).write_text("mine")
    (tmp_path / "a.tsv").write_text("")
    scenes = ["scenes", "--images", "2", "--output"]
    for words in (
        [*scenes, f"{there}/a.h5"],
        ["scenes", "--picture", f"{there}/a.png"],
        ["import", "bottom-up-tsv", "--input", f"{tmp_path}/a.tsv", "--output", f"{there}/a.h5"],
        ["import", "bottom-up-tsv", "--input", f"{tmp_path}/a.tsv", "--output", f"{there}/empty"],
        ["extract", "--images", f"{tmp_path}", "--model", "x", "--output", f"{there}/a.h5"],
        ["tokenizer", "--data", f"{store}", "--output", f"{there}/empty"],
        ["inspect", f"{store}", "--output", f"{there}/a.png"],
        ["inspect", f"{store}", "--output", f"{there}/a.html"],
        ["mine", "--data", f"{store}", "--output", f"{there}/a.h5"],
        [
            "convert",
            "released",
            "--weights",
            "w",
            "--config",
            "c",
            "--tokenizer",
            "t",
            "--output",
            f"{there}/empty",
        ],
        ["convert", "to-released", "--model", "m", "--output", f"{there}/a.safetensors"],
        ["convert", "bert", "--weights", "w", "--output", f"{there}/empty"],
        ["export", "--model", "m", "--format", "onnx", "--output", f"{there}/empty"],
    ):
        assert main(words) == 2, words
        assert "is there already" in capsys.readouterr().err, words
    words = [
        sys.executable,
        "launch/evaluate.py",
        "--task",
        "retrieval",
        "--model",
        "m",
        "--data",
        str(store),
    ]
    done = subprocess.run([*words, "--output", f"{there}/a.json"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and "a.json is there already" in done.stderr
    assert {path.read_text() for path in there.iterdir() if path.is_file()} == {"mine"}


def test_what_is_told_to_be_replaced_is(store, tmp_path):
    picture = tmp_path / "a.png"
    picture.write_text("mine")
    assert main(["inspect", str(store), "--output", str(picture), "--overwrite"]) == 0
    assert Image.open(picture).width > 100
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "vocab.txt").write_text("mine")
    words = ["tokenizer", "--data", str(store), "--size", "100", "--output", f"{tmp_path}/words"]
    assert main([*words, "--overwrite"]) == 0
    assert "[MASK]" in (tmp_path / "words" / "vocab.txt").read_text()
    assert (
        main(["scenes", "--images", "3", "--feature-width", "2", "--output", str(store), "--overwrite"]) == 0
    )
    with Store(store) as found:
        assert found.images == 3


def test_a_file_and_a_folder_are_told_apart_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file is a file, --output is to be a folder"):
        output_path(tmp_path / "file", True, folder=TOKENIZER)
    with pytest.raises(ValueError, match=r"is a folder, --picture is to be a file"):
        output_path(tmp_path, True, name="--picture")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("")
    with pytest.raises(ValueError, match=r"model is, or holds, what is read from .*weights"):
        output_path(tmp_path / "model", True, [tmp_path / "model" / "weights"], folder=MODEL)


def test_the_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_path(Path("~/new.h5"), False) == tmp_path / "new.h5"
    assert main(["scenes", "--images", "2", "--feature-width", "2", "--output", "~/new.h5"]) == 0
    assert (tmp_path / "new.h5").is_file()


def test_nothing_is_written_through_a_planted_link(store, tmp_path, monkeypatch):
    """The names that were once written under are laid out as links, and so is what the random name was last time."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    target = tmp_path / "out.json"
    for name in (
        f".out.json.{os.uname().nodename}.{os.getpid()}.partial",
        f".out.json.{os.getpid()}.partial",
    ):
        (tmp_path / name).symlink_to(victim)
    files.write_json(target, {"a": 1})
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "foreseen")
    (tmp_path / ".out.json.foreseen.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.write_json(target, {"a": 2})
    assert victim.read_text() == "precious" and files.read_json(target) == {"a": 1}
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_unfinished_work_is_not_kept_behind_a_link(store, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".table.h5.partial").symlink_to(tmp_path / "elsewhere")
    assert mine(store, tmp_path / "table.h5") == 2
    assert ".table.h5.partial is a link" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())
    (tmp_path / "elsewhere" / "kept").write_text("")
    assert files.new_folder(tmp_path / ".table.h5.partial").is_dir()
    assert not (tmp_path / ".table.h5.partial").is_symlink() and (tmp_path / "elsewhere" / "kept").exists()


def test_what_is_cached_is_for_all_who_may_read(store):
    with Corpus([store]) as corpus:
        path = cache.keep(corpus, "something", lambda partial: partial.write_text("x"))
    assert path.read_text() == "x" and stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()


def test_a_folder_of_other_things_is_not_replaced(store, tmp_path, capsys):
    (tmp_path / "a.tsv").write_text("")
    for number, lies_there in enumerate(("thesis.tex", "years/of/work", ".hidden")):
        precious = tmp_path / f"precious{number}"
        (precious / lies_there).parent.mkdir(parents=True)
        (precious / lies_there).write_text("mine")
        (precious / "vocab.txt").write_text("")
        (precious / "shard_00000.h5").write_text("")
        for words in (
            ["tokenizer", "--data", f"{store}"],
            ["import", "bottom-up-tsv", "--input", f"{tmp_path}/a.tsv"],
            ["extract", "--images", f"{tmp_path}", "--model", "x"],
            ["convert", "released", "--weights", "w", "--config", "c", "--tokenizer", "t"],
            ["convert", "bert", "--weights", "w"],
            ["export", "--model", "m", "--format", "onnx"],
        ):
            assert main([*words, "--output", str(precious), "--overwrite"]) == 2, words
            told = capsys.readouterr().err
            assert Path(lies_there).parts[0] in told and "it is not replaced" in told, words
        assert (precious / lies_there).read_text() == "mine"


def test_folders_that_commands_wrote_may_be_replaced(store, tmp_path):
    """Held to what is really written, so that no name is missing from the lists."""
    words = ["tokenizer", "--data", str(store), "--size", "100", "--output", f"{tmp_path}/words"]
    assert main(words) == 0
    assert not TOKENIZER.foreign(tmp_path / "words")
    (tmp_path / "empty").mkdir()
    for kind in (TOKENIZER, MODEL, SHARDS):
        assert output_path(tmp_path / "empty", True, folder=kind) == tmp_path / "empty"


@pytest.mark.parametrize("given", ["new/folder/a.png", "new/a.html"])
def test_the_folder_of_an_output_is_made(given, store, tmp_path):
    assert main(["inspect", str(store), "--output", str(tmp_path / given)]) == 0
    assert (tmp_path / given).stat().st_size > 100


def test_a_folder_is_made_for_what_is_replaced(tmp_path):
    with files.replaced(tmp_path / "new" / "folder" / "a.safetensors") as partial:
        partial.write_text("x")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["a.safetensors"]


def test_where_nothing_can_be_written_is_said_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ["convert", "to-released", "--model", "none", "--output"]
    assert main([*words, f"{tmp_path}/file/new/a.safetensors"]) == 2
    assert "file is not a folder; name another --output" in capsys.readouterr().err
    with tempfile.TemporaryDirectory() as closed:
        os.chmod(closed, 0o555)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)  # for root nothing is closed
        try:
            with pytest.raises(
                ValueError, match=r"may not be written to \(dr-xr-xr-x\); name another --output"
            ):
                output_path(Path(closed) / "new" / "a.h5", False)
        finally:
            os.seteuid(was)


@pytest.mark.parametrize("which", ["--model", "--run"])
def test_figures_are_not_written_over_the_model(which, store, tmp_path):
    weights = tmp_path / "m" / "export" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_text("weights")
    words = [sys.executable, "launch/evaluate.py", "--task", "retrieval", "--data", str(store), "--overwrite"]
    words += [which, f"{tmp_path}/m", "--output", str(weights)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and "is, or holds, what is read from" in done.stderr
    assert weights.read_text() == "weights"


def test_a_scene_is_not_drawn_over_its_store(tmp_path, capsys):
    scenes = ["scenes", "--images", "2", "--feature-width", "2"]
    for output, picture, told in (
        ("s.h5", "s.h5", "s.h5: it must end in one of .png"),
        ("s.h5", "s", "it must end in one of"),
        ("s.png", "s.png", "--output and --picture are both"),
        ("s.png", "new/../s.png", "--output and --picture are both"),
    ):
        assert main([*scenes, "--output", f"{tmp_path}/{output}", "--picture", f"{tmp_path}/{picture}"]) == 2
        assert told in capsys.readouterr().err
        assert not list(tmp_path.iterdir()), "nothing is written first"


@pytest.mark.parametrize("ending", PICTURES)
def test_every_ending_of_a_picture_is_drawn(ending, tmp_path):
    assert main(["scenes", "--picture", f"{tmp_path}/a{ending}"]) == 0
    assert Image.open(tmp_path / f"a{ending}").width > 100
