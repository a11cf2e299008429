import functools
import json
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from nursery import TESTS, run_forked
from picture_files import ONE_CAPTION, WRITERS, Made, drawn, encoded, pictures, write_folder, write_tar
from plain_encoder import PlainEncoder

from interbert.corpus.corpus import Corpus
from interbert.mpi import World
from interbert.sources.captions.files import CaptionFiles
from interbert.sources.images.containers.container import Fields, ImageError
from interbert.sources.images.containers.recognise import open_containers
from interbert.sources.images.decode import Limits
from interbert.sources.images.source import ImageSource
from interbert.sources.importing.driver import Wishes, import_rows, rows_of_rank
from interbert.sources.record import ImportFault
from interbert.store.verify import verify


def bring(paths: list[Path], output: Path, skip_bad: int = 0, world: World | None = None, **fields) -> dict:
    """What `extract` does, with an encoder that takes no time."""
    containers = open_containers(paths, Fields(**fields))
    world = world or World()
    end = rows_of_rank(sum(len(one.ids) for one in containers), world).stop
    encoder = PlainEncoder()
    wishes = Wishes(output, 40, 0, "a test", skip_bad, encoder.features_of, "extracting", "images")
    with ImageSource(containers, encoder, Limits(1), threads=2, end=end) as source:
        return import_rows(source, CaptionFiles(), wishes, world, str(source.stamp))


def stored(path: Path) -> dict[str, tuple]:
    found = {}
    with Corpus([path]) as corpus:
        assert corpus.features_of == "plain@1"
        for image in range(corpus.images):
            features, boxes = corpus.read(np.array([image]), corpus.region_counts[[image]])
            captions = [corpus.caption_text(c) for c in np.flatnonzero(corpus.caption_image == image)]
            size = tuple(corpus.sizes[image].tolist())
            found[corpus.image_id(image)] = (features.tolist(), boxes.tolist(), size, captions)
    return found


def expected(made: list[Made], folder: Path, most: int = 9) -> dict[str, tuple]:
    """By way of a folder of plain files."""
    write_folder(folder / "plain", made)
    bring([folder / "plain"], folder / "plain.out")
    found = stored(folder / "plain.out")
    assert {name: (one[2], one[3]) for name, one in found.items()} == {
        m.name: (m.size, m.captions) for m in made
    }
    return {name: (*one[:3], one[3][:most]) for name, one in found.items()}


def fields_of(kind: str) -> dict:
    return {"captions": ("3",)} if kind == "url-safe-tsv" else {}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_container_gives_the_same_store(kind, tmp_path):
    made = pictures()
    paths = WRITERS[kind](tmp_path / "theirs", made)
    report = bring(paths, tmp_path / "ours", **fields_of(kind))
    found = stored(tmp_path / "ours")
    assert found == expected(made, tmp_path, 1 if kind in ONE_CAPTION else 9)
    assert report["images"] == 7 and report["captions"] == sum(len(one[3]) for one in found.values())
    shards = sorted((tmp_path / "ours").glob("*.h5"))
    assert len(shards) > 2 and all(verify(path).ok for path in shards)


def with_bad(made: list[Made]) -> list[Made]:
    """Two that cannot be read: one cut, one that claims to be large."""
    cut = Made(made[1].name, made[1].ending, made[1].data[:60], made[1].size, [])
    large = Made(made[4].name, made[4].ending, encoded(drawn(1200, 900)), (1200, 900), [])
    return [made[0], cut, *made[2:4], large, *made[5:]]


@pytest.mark.parametrize("kind", WRITERS)
def test_killed_and_continued_with_bad_images(kind, tmp_path, capsys):
    made = with_bad(pictures())
    paths = WRITERS[kind](tmp_path / "theirs", made)
    script = (
        "import os, signal, sys\n"
        f"sys.path[:0] = {[str(TESTS / 'helpers'), str(TESTS / 'unit' / 'sources'), *sys.path]!r}\n"
        "from pathlib import Path\n"
        "import test_image_source as here\n"
        "read = here.ImageSource.read\n"
        "def die(self, number):\n"
        "    if number == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(self, number)\n"
        "here.ImageSource.read = die\n"
        f"here.bring({paths!r}, Path({str(tmp_path / 'ours')!r}), 2, **here.fields_of({kind!r}))\n"
    ).replace("PosixPath(", "Path(")
    code, said = run_forked(["-c", script])
    assert code == -signal.SIGKILL, said
    shards = sorted((tmp_path / ".ours.partial").glob("shard*.h5"))
    times = [path.stat().st_mtime_ns for path in shards]
    assert shards and not (tmp_path / "ours").exists()
    report = bring(paths, tmp_path / "ours", 2, **fields_of(kind))
    assert "going on from" in capsys.readouterr().out
    now = sorted((tmp_path / "ours").glob("*.h5"))
    assert [path.stat().st_mtime_ns for path in now[: len(times)]] == times
    assert set(stored(tmp_path / "ours")) == {one.name for n, one in enumerate(made) if n not in (1, 4)}
    bad = report["bad_rows"]
    assert len(bad) == 2 and all(str(tmp_path) in one for one in bad)
    assert f"{made[1].name}'" in bad[0] and "not a readable image" in bad[0]
    assert "1200 x 900 pixels by its header, more than 1 million: not decoded" in bad[1]
    with pytest.raises(ImportFault, match="--skip-bad MAX"):
        bring(paths, tmp_path / "again", **fields_of(kind))


def two_ranks(work) -> list:
    """work(world) on two threads that meet as ranks do."""
    barrier, slots, results = threading.Barrier(2), [None, None], [None, None]

    def gather(rank, value):
        slots[rank] = value
        barrier.wait()
        found = list(slots)
        barrier.wait()
        return found

    def run(rank: int) -> None:
        results[rank] = work(World(rank, 2, barrier.wait, functools.partial(gather, rank)))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.mark.parametrize("kind", WRITERS)
def test_ranks_share_the_images(kind, tmp_path):
    made = pictures()
    paths = WRITERS[kind](tmp_path / "theirs", made)
    reports = two_ranks(lambda world: bring(paths, tmp_path / "ours", world=world, **fields_of(kind)))
    assert reports[0] == reports[1] and reports[0]["images"] == 7
    assert stored(tmp_path / "ours") == expected(made, tmp_path, 1 if kind in ONE_CAPTION else 9)


def test_other_content_begins_anew(tmp_path):
    paths = WRITERS["folder"](tmp_path / "theirs", pictures())
    (before,) = open_containers(paths, Fields())
    (tmp_path / "theirs" / "part0" / "00001.txt").write_text("another caption")
    (after,) = open_containers(paths, Fields())
    assert before.stamp != after.stamp


def test_several_containers_with_the_same_ids(tmp_path):
    made = pictures(3)
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", ((f"{one.name}.{one.ending}", one.data) for one in made))
    containers = open_containers([tmp_path], Fields())
    with ImageSource(containers, PlainEncoder()) as source:
        names = [source.name(number) for number in source.keys]
        assert names == [f"{number}/{one.name}" for number in range(2) for one in made]
        assert source.read(4).image_id == "1/part0/00001"
        told = "\n".join(source.told())
        assert "several of these have images of one id" in told and "6 images in 2 containers" in told


class Picky(PlainEncoder):
    """As models whose preprocessing makes an image zero pixels high."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def prepare(self, picture):
        if self._where == "prepare" and picture.size[0] > 60:
            raise ZeroDivisionError("float division by zero")
        return super().prepare(picture)

    def regions(self, images):
        if self._where == "regions" and any(image.size[0] > 60 for image in images):
            raise RuntimeError("Input and output sizes should be greater than 0")
        if self._where == "all":
            raise RuntimeError("of no use")
        return super().regions(images)


@pytest.mark.parametrize("where", ["prepare", "regions"])
def test_an_image_that_the_model_does_not_take_is_a_bad_one(where, tmp_path):
    made = pictures()
    containers = open_containers(write_folder(tmp_path / "a", made), Fields())
    with ImageSource(containers, Picky(where), threads=2) as source:
        for number, one in enumerate(made):
            if one.size[0] > 60:
                with pytest.raises(ImageError, match="does not take it"):
                    source.read(number)
            else:
                assert source.read(number).image_id == one.name


def test_a_model_that_takes_nothing_is_no_matter_of_images(tmp_path):
    containers = open_containers(write_folder(tmp_path / "a", pictures()), Fields())
    with ImageSource(containers, Picky("all")) as source, pytest.raises(RuntimeError, match="of no use"):
        source.read(0)


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    made = pictures(2)
    (path,) = write_folder(tmp_path / "a", made)
    with open(path / "part0" / "00000.jpg", "r+b") as file:
        file.truncate(1 << 40)
    with ImageSource(open_containers([path], Fields()), PlainEncoder()) as source:
        with pytest.raises(
            ImageError, match="1,099,511,627,776 bytes, more than an image of 128 million pixels"
        ):
            source.read(0)
        assert source.read(1).image_id == made[1].name


def test_a_file_that_is_gone_is_a_bad_image(tmp_path):
    (path,) = write_folder(tmp_path / "a", pictures(3))
    with ImageSource(open_containers([path], Fields()), PlainEncoder()) as source:
        (path / "part0" / "00001.png").unlink()
        assert source.read(0)
        with pytest.raises(ImageError, match=r"cannot be read .*No such file"):
            source.read(1)
        assert source.read(2)
    report = json.dumps(source.told())
    assert "3 images in 1 container" in report
