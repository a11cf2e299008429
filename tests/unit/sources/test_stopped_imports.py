"""Imports that are stopped, by what lies beside an image or at the very end, and begun again."""

import os
from pathlib import Path

import foreign
import foreign_files
import pytest

from interbert import __main__ as program
from interbert.corpus.corpus import Corpus
from interbert.sources.importing import driver


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def stopped(monkeypatch, rows: int, *words: object) -> None:
    """The import, interrupted at its row of that number."""
    order, calls = driver.surest_first, []

    def interrupt(record):
        calls.append(record)
        if len(calls) == rows:
            raise KeyboardInterrupt
        return order(record)

    with monkeypatch.context() as patched:
        patched.setattr(driver, "surest_first", interrupt)
        bring(*words, code=130)


@pytest.mark.parametrize(("name", "beside"), [("mmf-npy", "{}_info.npy"), ("cocobu", "cocobu_box/{}.npy")])
def test_what_lies_beside_an_image_belongs_to_the_work(name, beside, tmp_path, capsys, monkeypatch):
    """Shards of before a change and after it are not mixed."""
    made = foreign.images(6)
    (tmp_path / "in").mkdir()
    foreign_files.LAYOUTS[name].write(tmp_path / "in", made)
    words = ("--input", tmp_path / "in", "--output", tmp_path / "out", "--shard-gb", 1e-7)
    stopped(monkeypatch, 4, *words)
    stopped(monkeypatch, 1, *words)
    assert "going on from" in capsys.readouterr().out
    os.utime(tmp_path / "in" / beside.format(made[0].name), ns=(5, 5))
    bring(*words)
    assert "beginning anew" in capsys.readouterr().out


@pytest.mark.parametrize("output", ["out", "out.h5"])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 6, 8, 12])
def test_killed_while_the_output_gets_its_name(after, output, tmp_path, monkeypatch):
    """After so many of the last steps: then the output is there, or the same command still brings it."""
    made = foreign.images(6)
    foreign.write_tsv(tmp_path / "a.tsv", made)
    size = 1e-7 if output == "out" else 1
    words = ["--input", tmp_path / "a.tsv", "--output", tmp_path / output, "--shard-gb", size]
    left = [after]

    def stepped(step):
        def dying(*given, **named):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return step(*given, **named)

        return dying

    with monkeypatch.context() as patched:
        patched.setattr(driver, "_settle", with_steps(driver._settle, patched, stepped))
        program.main(["import", *map(str, words)])
    if not (tmp_path / output).exists():
        bring(*words)
    with Corpus([tmp_path / output]) as corpus:
        assert [corpus.image_id(number) for number in range(corpus.images)] == [image.name for image in made]
    bring(*words, "--overwrite")


def with_steps(settle, patched, stepped):
    """The same, with what it does to the disk counted."""

    def counted(*given):
        for place, name in ((os, "replace"), (driver.shutil, "rmtree"), (Path, "rename"), (Path, "unlink")):
            patched.setattr(place, name, stepped(getattr(place, name)))
        for name in ("write_json", "remove", "settle_folder"):
            patched.setattr(driver, name, stepped(getattr(driver, name)))
        return settle(*given)

    return counted
