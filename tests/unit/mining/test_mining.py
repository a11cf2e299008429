import argparse
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from nursery import run_forked
from small_world import open_world, settings

from interbert.commands import mine as command
from interbert.corpus.corpus import Corpus
from interbert.mining import calibrate, dense, job, run
from interbert.mining.kin import captions_kin, images_kin, kin_of_captions
from interbert.mining.negatives import CandidateError, candidates_for, read_candidates
from interbert.mining.neighbours import NeighbourError, read_neighbours
from interbert.mining.pruned import PrunedSearch
from interbert.mining.vectors import by_frequency, tfidf
from interbert.store.store import StoreWriter

CAPTIONS, WORDS, BELOW = 6000, 3000, 0.5


def zipf_texts(captions: int = CAPTIONS) -> list[str]:
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, WORDS + 1) ** 1.05
    lengths = rng.integers(6, 17, captions)
    words = rng.choice(WORDS, p=shares / shares.sum(), size=lengths.sum())
    return [" ".join(f"w{word}" for word in caption) for caption in np.split(words, np.cumsum(lengths)[:-1])]


@pytest.fixture(scope="module")
def zipf(tmp_path_factory):
    """Two captions an image; the second of every tenth image nearly repeats the first of the one before."""
    path = tmp_path_factory.mktemp("zipf") / "captions.h5"
    texts = zipf_texts()
    for caption in range(3, CAPTIONS, 20):
        texts[caption] = texts[caption - 3] + " again"
    with StoreWriter(path, 1) as store:
        boxes, features = np.array([[0, 0, 9, 9]], np.float32), np.zeros((1, 1), np.float16)
        for image in range(CAPTIONS // 2):
            store.add_image(f"image-{image}", 10, 10, boxes, features)
            store.add_captions(image, texts[2 * image : 2 * image + 2])
    return path


@pytest.fixture(scope="module")
def exact(zipf):
    """Similarities with those of the same image, and those that are too near, set to 0."""
    with Corpus([zipf]) as corpus:
        weights = tfidf(list(corpus.texts()), corpus.captions)
        image = np.asarray(corpus.caption_image)
    similarity = (weights @ weights.T).toarray()
    assert (similarity > 0.9).sum() > CAPTIONS + 100, "near repetitions have to be there to be left out"
    similarity[image[:, None] == image[None, :]] = 0
    similarity[similarity >= BELOW] = 0
    return weights, kin_of_captions(image, np.arange(CAPTIONS)), similarity


def mass_of(similarity: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.where(found >= 0, np.take_along_axis(similarity, found.clip(0), axis=1), 0)


def mine(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_a_search_without_frequent_words_is_judged_with_all_of_them(exact):
    weights, kin, similarity = exact
    search = PrunedSearch.of(weights, by_frequency(weights)[:50])
    found, values = search.nearest(np.arange(CAPTIONS), kin, 10, BELOW)
    np.testing.assert_allclose(mass_of(similarity, found), values, atol=1e-5)
    assert (values[found >= 0] > 0).all(), "none of the same image, none too near"
    assert (np.diff(values, axis=1) <= 0).all()
    best = -np.sort(-similarity, axis=1)[:, :10]
    share = values.sum() / best.sum()
    assert 0.93 < share < 1, share
    whole = PrunedSearch.of(weights, np.zeros(0, np.int64))
    np.testing.assert_allclose(whole.nearest(np.arange(500), kin, 10, BELOW)[1], best[:500], atol=1e-5)


def test_a_caption_with_many_repetitions_is_searched_more_widely():
    texts = [f"one two three four five number{i}" for i in range(400)]
    texts += [f"one unlike{i}a unlike{i}b unlike{i}c" for i in range(40)]
    weights = tfidf(texts, len(texts))
    search = PrunedSearch.of(weights, np.zeros(0, np.int64))
    found, _ = search.nearest(np.arange(1), kin_of_captions(np.arange(440), np.arange(440)), 10, 0.1)
    assert (found[0] >= 400).all(), "the repetitions fill the first two searches"


def test_the_shortcut_is_measured(exact):
    weights, kin, similarity = exact
    found = calibrate.calibrate(weights, kin, 30, BELOW, 0.95)
    assert found.dropped > 0 and found.pool == CAPTIONS and found.mass >= 0.95
    search = PrunedSearch.of(weights, by_frequency(weights)[: found.dropped])
    values = search.nearest(np.arange(CAPTIONS), kin, 30, BELOW)[1]
    assert values.sum() / -np.sort(-similarity, axis=1)[:, :30].sum() == pytest.approx(found.mass, abs=0.02)
    assert calibrate.calibrate(weights, kin, 30, BELOW, 1.0) == calibrate.Shortcut(CAPTIONS, 0, 1.0, 0)


def test_where_all_captions_are_alike_a_part_of_them_is_searched(monkeypatch):
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 30, 8)) for _ in range(3000)]
    weights, kin = tfidf(texts, 3000), kin_of_captions(np.arange(3000), np.arange(3000))
    monkeypatch.setattr(calibrate, "_POOLS", (50, 400, 1200))
    found = calibrate.calibrate(weights, kin, 10, BELOW, 0.9)
    assert found.pool in (400, 1200) and found.dropped == 0 and 0.9 < found.mass < 1


def test_any_number_of_processes_finds_the_same(zipf, exact, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "ROWS", 512)
    for processes in (1, 2):
        output = tmp_path / f"{processes}.h5"
        assert mine("--data", zipf, "--output", output, "--mass", 0.95, "--processes", processes) == 0
        assert [path.name for path in tmp_path.glob(".*")] == []
    assert job.Job("dense", 1025, 1, 1, 1025, "", {}).blocks == 3
    with Corpus([zipf]) as corpus:
        first, second = (read_candidates(tmp_path / f"{n}.h5", corpus) for n in (1, 2))
    assert (first.rows == second.rows).all() and first.rows.shape == (CAPTIONS, 30)
    assert first.notes["mass"] >= 0.95 and first.max_similarity == BELOW
    values = mass_of(exact[2], first.rows)
    assert (values[first.rows >= 0] > 0).all()
    said = capsys.readouterr().out
    assert "most frequent of" in said and "30 of each of 6,000 captions" in said


def test_a_search_in_part_draws_other_parts_for_each_block(zipf, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "ROWS", 1000)
    shortcut = calibrate.Shortcut(pool=700, dropped=0, mass=0.9, sample=9)
    monkeypatch.setattr(run, "calibrate", lambda *_: shortcut)
    mine("--data", zipf, "--output", tmp_path / "a.h5", "--processes", 1)
    with Corpus([zipf]) as corpus:
        rows = read_candidates(tmp_path / "a.h5", corpus).rows
        image = np.asarray(corpus.caption_image)
    pools = [set(block[block >= 0].tolist()) for block in np.split(rows, 6)]
    assert all(300 < len(pool) <= 700 for pool in pools) and len(pools[0] & pools[1]) < 100
    assert (image[rows] != image[:, None])[rows >= 0].all()


def test_killed_and_continued(zipf, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "ROWS", 512)
    mine("--data", zipf, "--output", tmp_path / "whole.h5", "--mass", 0.95, "--processes", 1)
    program = (
        "import os, signal\n"
        "from interbert import __main__ as program\n"
        "from interbert.mining import job\n"
        "job.ROWS, do = 512, job._Worker.do\n"
        "def die(self, block):\n"
        "    if block == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return do(self, block)\n"
        "job._Worker.do = die\n"
        f"program.main(['mine', '--data', '{zipf}', '--output', '{tmp_path}/a.h5', '--mass', '0.95', "
        "'--processes', '1'])\n"
    )
    code, said = run_forked(["-c", program])
    assert code == -signal.SIGKILL, said
    assert not (tmp_path / "a.h5").exists()
    blocks = sorted((tmp_path / ".a.h5.partial").glob("block_*.npy"))
    times = [path.stat().st_mtime_ns for path in blocks]
    assert len(blocks) == 5
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / ".a.h5.partial", kept)
    capsys.readouterr()
    monkeypatch.setattr(run.shutil, "rmtree", lambda folder: None)
    mine("--data", zipf, "--output", tmp_path / "a.h5", "--mass", 0.95, "--processes", 1)
    assert "going on from" in capsys.readouterr().out
    assert [path.stat().st_mtime_ns for path in blocks] == times, "finished blocks are not done again"
    with h5py.File(tmp_path / "a.h5") as ours, h5py.File(tmp_path / "whole.h5") as whole:
        assert (ours["candidates"][:] == whole["candidates"][:]).all()
    monkeypatch.undo()
    monkeypatch.setattr(job, "ROWS", 512)
    shutil.move(kept, tmp_path / ".b.h5.partial")
    mine("--data", zipf, "--output", tmp_path / "b.h5", "--top", 5, "--processes", 1)
    assert "going on from" not in capsys.readouterr().out, "other options begin anew"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("mpirun"), reason="no mpirun here (make debian-packages)")
def test_mpi_ranks_share_the_work(zipf, tmp_path):
    mine("--data", zipf, "--output", tmp_path / "alone.h5", "--mass", 0.95, "--processes", 1)
    words = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", sys.executable, "-m", "interbert"]
    words += ["mine", "--data", str(zipf), "--output", str(tmp_path / "mpi.h5"), "--mass", "0.95"]
    subprocess.run(words, check=True, timeout=120)
    with h5py.File(tmp_path / "mpi.h5") as ours, h5py.File(tmp_path / "alone.h5") as alone:
        assert (ours["candidates"][:] == alone["candidates"][:]).all()


def test_training_takes_a_table(tmp_path):
    with open_world(tmp_path, images=60) as corpus:
        path = tmp_path / "table.h5"
        mine("--data", *corpus.paths, "--output", path, "--max-similarity", 0.4, "--top", 12)
        wanted = {"hard_share": 0.2, "hard_table": str(path), "hard_max_similarity": 0.4, "hard_top": 12}
        table = candidates_for(corpus, settings(mismatch=wanted))
        assert (table.rows == read_candidates(path, corpus).rows).all()
        fewer = candidates_for(corpus, settings(mismatch=wanted | {"hard_top": 4}))
        assert (fewer.rows == table.rows[:, :4]).all()
        for change, message in (
            ({"hard_top": 30}, "holds 12 candidates a caption, mismatch.hard_top is 30"),
            ({"hard_max_similarity": 0.5}, "below a similarity of 0.4, mismatch.hard_max_similarity is 0.5"),
        ):
            with pytest.raises(CandidateError, match=message):
                candidates_for(corpus, settings(mismatch=wanted | change))


def test_images_that_look_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "ROWS", 16)
    with open_world(tmp_path, images=60) as corpus:
        path = tmp_path / "images.h5"
        mine("--data", *corpus.paths, "--output", path, "--of", "images", "--top", 7, "--processes", 1)
        rows = read_neighbours(path, corpus).rows
        means = []
        for image in range(corpus.images):
            features, _ = corpus.read(np.array([image]), corpus.region_counts[[image]])
            means.append(features.astype(np.float64).mean(axis=0))
        means = np.array(means) / np.linalg.norm(means, axis=1, keepdims=True)
        similarity = means @ means.T
        np.fill_diagonal(similarity, -1)
        best = -np.sort(-similarity, axis=1)[:, :7]
        found = np.take_along_axis(similarity, rows, axis=1)
        np.testing.assert_allclose(found, best, atol=1e-4)
        (tmp_path / "other").mkdir()
        with (
            open_world(tmp_path / "other", images=8) as other,
            pytest.raises(NeighbourError, match="other images"),
        ):
            read_neighbours(path, other)


@pytest.fixture
def relations(tmp_path):
    """Two stores that share images, of which many are told of in the same words; true captions by id."""
    words = ["w01 w02 w03", "w03 w04 w05", "w05 w06", "w06 w07 w08 w01", "w09 w01 w02"]
    rng = np.random.default_rng(0)
    boxes = np.array([[0, 0, 9, 9]], np.float32)
    for name in ("a", "b"):
        with StoreWriter(tmp_path / f"{name}.h5", 8) as store:
            for image in range(40):
                store.add_image(f"image-{image}", 10, 10, boxes, rng.normal(size=(1, 8)).astype(np.float16))
                own = f"w{10 + image} w{11 + image} w01 w05"
                store.add_captions(
                    image, [words[i] for i in rng.choice(5, image % 3)] + [own.upper()] * (image % 2)
                )
    with Corpus([tmp_path / "a.h5", tmp_path / "b.h5"]) as corpus:
        says = [corpus.caption_text(caption).lower() for caption in range(corpus.captions)]
        ids = [corpus.image_id(image) for image in range(corpus.images)]
        told = {name: set() for name in ids}
        for caption, text in enumerate(says):
            told[ids[corpus.caption_image[caption]]].add(text)
        yield corpus, says, ids, told


@pytest.mark.parametrize("way", ["dense", "dense among some", "pruned"])
def test_what_is_true_of_the_image_in_other_words_or_another_store_is_no_candidate(relations, way):
    corpus, says, ids, told = relations
    weights, kin, everything = tfidf(says, len(says)), captions_kin(corpus), np.arange(corpus.captions)
    pool = everything if way == "dense" else everything[::2]
    true = np.array([[says[c] in told[ids[corpus.caption_image[r]]] for c in everything] for r in everything])
    similarity = np.where(true, 0, (weights @ weights.T).toarray())
    if way == "pruned":
        found, values = PrunedSearch.of(weights, np.zeros(0, np.int64)).nearest(everything, kin, 6, 0.999)
    else:
        found = dense.nearest(weights, weights[pool], kin.among(pool), 6, 0.999)
        found = np.where(found >= 0, pool[found], -1)
        similarity[:, np.setdiff1d(everything, pool)] = 0
        values = mass_of(similarity, found)
    assert (found >= 0).sum() > 3 * len(found)
    assert not true[np.nonzero(found >= 0)[0], found[found >= 0]].any()
    similarity[similarity >= 0.999] = 0
    np.testing.assert_allclose(np.sort(values)[:, ::-1], -np.sort(-similarity, axis=1)[:, :6], atol=1e-4)


def test_the_miner_and_a_run_leave_the_same_out(relations, tmp_path):
    corpus, says, ids, told = relations
    mine("--data", *corpus.paths, "--output", tmp_path / "t.h5", "--max-similarity", 0.95, "--processes", 1)
    mined = read_candidates(tmp_path / "t.h5", corpus).rows
    own = candidates_for(corpus, settings(mismatch={"hard_share": 0.2, "hard_max_similarity": 0.95})).rows
    for rows in (mined, own):
        caption, place = np.nonzero(rows >= 0)
        assert len(caption) > 100
        for row, found in zip(caption, rows[caption, place], strict=True):
            assert says[found] not in told[ids[corpus.caption_image[row]]]


def test_an_image_is_no_neighbour_of_itself_in_another_store_or_of_one_told_of_alike(relations, tmp_path):
    corpus, _, ids, told = relations
    mine(
        "--data",
        *corpus.paths,
        "--output",
        tmp_path / "i.h5",
        "--of",
        "images",
        "--top",
        80,
        "--processes",
        1,
    )
    rows = read_neighbours(tmp_path / "i.h5", corpus).rows
    kin = np.array(
        [[ids[a] == ids[b] or bool(told[ids[a]] & told[ids[b]]) for b in range(80)] for a in range(80)]
    )
    assert 200 < kin.sum() < 3000 and len(images_kin(corpus).starts) == 41
    for image in range(80):
        found = rows[image][rows[image] >= 0]
        means, _ = corpus.read(np.arange(80), np.ones(80, np.int64))
        near = (means.astype(np.float32) @ means[image].astype(np.float32) > 0) & ~kin[image]
        assert sorted(found) == np.flatnonzero(near).tolist(), "all others on its side, and no kin"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top", 0], "--top 0: at least 1"),
        (["--max-similarity", 1.5], "above 0, at most 1"),
        (["--mass", 0], "--mass 0.0"),
        (["--processes", 0], "--processes 0"),
    ],
)
def test_options_that_cannot_be(words, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        mine("--data", tmp_path / "a.h5", "--output", tmp_path / "b.h5", *words)
