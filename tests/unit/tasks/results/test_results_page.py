import shutil
import subprocess

import numpy as np
import pytest
from made_examples import make_examples, make_outputs
from page_reader import Page
from small_store import SIZE, WIDTH

from interbert.corpus.corpus import Corpus
from interbert.store.store import StoreWriter
from interbert.tasks.results.page.confusion import confusion_of
from interbert.tasks.results.results import Origin, write_results

EVIL = "<script>alert('{}')</script><b>&amp;"
ORIGIN = Origin(
    f"<i>{EVIL.format('model')}", EVIL.format("step"), [EVIL.format("store")], EVIL.format("tuned")
)
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "a.h5"
    names = [EVIL.format("class"), "dog"]
    with StoreWriter(path, WIDTH, classes=2, evidence="labels", class_names=names) as store:
        for image in range(4):
            boxes = np.array([[0, 0, 20, 20], [30, 10, 60, 40], [5, 5, 9, 9]], np.float32)
            features = np.zeros((3, WIDTH), np.float16)
            store.add_image(EVIL.format(f"image{image}"), *SIZE, boxes, features, labels_N=[0, 1, 1])
    with Corpus(path) as corpus:
        yield corpus


def page_of(folder, corpus, examples, rows, origin=ORIGIN) -> Page:
    write_results(folder, examples, make_outputs(rows), corpus, origin)
    return Page((folder / "results.html").read_text())


def evil(kind, folder, pairs, **how):
    """Six examples whose every word would do harm."""
    texts = [
        (EVIL.format(f"question{number // pairs}"), EVIL.format(f"text{number}"))
        for number in range(6 * pairs)
    ]
    return make_examples(
        kind, folder, pairs=[pairs] * 6, images=[number % 4 for number in range(6 * pairs)], texts=texts,
        types=[EVIL.format("type")] * 6, ids=[EVIL.format(f"id{number}") for number in range(6)], **how,
    )  # fmt: skip


KINDS = {
    "classify": (1, {"classes": [EVIL.format("a"), "b"], "labels": [0, 1, 0, 1, 0, -100]}, [0.9, 0.1]),
    "choose": (2, {"labels": [0, 1, 0, 1, 0, 1]}, [0.9, 0.1]),
    "match": (2, {"is_match": [1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]}, [0.9, 0.1]),
    "point": (1, {"boxes": [[[0, 0, 20, 20]], [[30, 10, 60, 40]]] * 3}, [0.9, 0.1, 0.2]),
    "score": (1, {"values": [1.0, 2, 3, 4, 5, 6]}, [2.0]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_each_kind_shows_the_examples_and_runs_nothing_of_theirs(kind, tmp_path, corpus):
    pairs, how, row = KINDS[kind]
    page = page_of(tmp_path, corpus, evil(kind, tmp_path, pairs, **how), [row] * 6)
    assert not page.fetched
    assert not {"script", "b", "link", "img"} & page.tags.keys()
    for part in ("model", "step", "store", "tuned", "type", "id1", "question1", "class"):
        assert f"<script>alert('{part}')</script><b>&amp;" in page.text, part
    assert page.tags["small"] >= 5
    assert "Furthest off" in page.text if kind == "score" else "Surest and wrong" in page.text


def test_the_surest_mistakes_come_first_and_right_ones_that_are_least_sure(tmp_path, corpus):
    sure = np.linspace(0.51, 0.99, 40)
    rows = np.stack([sure, 1 - sure], axis=1)
    examples = make_examples(
        "classify", tmp_path, classes=["cat", "dog"], labels=[0, 1] * 20, images=[0] * 40
    )
    text = page_of(tmp_path, corpus, examples, rows).text
    wrong, right = text.index("Surest and wrong"), text.index("Right, and hardly sure")
    places = [text.index(f"example-{number}", wrong) for number in (39, 37, 35, 17)]
    assert wrong < places[0] < places[1] < places[2] < places[3] < right
    assert "example-15" not in text, "twelve of them are enough"
    places = [text.index(f"example-{number}", right) for number in (0, 2, 22)]
    assert right < places[0] < places[1] < places[2]


def test_figures_intervals_and_types_stand_there(tmp_path):
    rows = [[0.9, 0.1]] * 40
    examples = make_examples(
        "classify",
        tmp_path,
        classes=["cat", "dog"],
        labels=[0, 0, 0, 1] * 10,
        types=["colour"] * 30 + ["count"] * 10,
    )
    page = page_of(tmp_path, None, examples, rows)
    assert "75.0 %" in page.text and "F1 of the second class" in page.text and "Matthews" in page.text
    assert "colour30" in page.text and "count10" in page.text
    assert page.tags["svg"] == 4 + 2, "an interval a figure and a type; no pictures"
    assert "none: text alone" not in page.text


def test_what_flatters_is_said(tmp_path):
    examples = make_examples("classify", tmp_path, classes=["cat", "dog"], labels=[0, 1])
    told = [
        page_of(tmp_path, None, examples, [[0.9, 0.1]] * 2, Origin("m", "c", [], **how)).text
        for how in ({}, {"chosen_on_fingerprint": "made"}, {"tuned_on_fingerprint": "made"})
    ]
    assert ["was chosen by these" in text for text in told] == [False, True, False]
    assert ["these very examples" in text for text in told] == [False, False, True]


def test_confusion_is_of_the_most_frequent_classes(tmp_path):
    from interbert.tasks.results.answers import answers_of
    from interbert.tasks.results.page.judged import Judged

    labels, said = RNG.integers(0, 20, 500) ** 2 // 20, RNG.integers(0, 20, 500) ** 2 // 20
    examples = make_examples("classify", classes=[f"c{n}" for n in range(20)], labels=labels)
    outputs = make_outputs(np.eye(20)[said])
    found = confusion_of(Judged({}, examples, outputs, answers_of(examples, outputs), None), most=5)
    often = np.bincount(labels, minlength=20) + np.bincount(said, minlength=20)
    kept = sorted(np.argsort(-often, kind="stable")[:5].tolist())
    assert found.names == [f"c{n}" for n in kept] + ["others (15)"]
    for row, meant in enumerate(kept):
        for column, told in enumerate(kept):
            assert found.counts[row, column] == ((labels == meant) & (said == told)).sum()
    assert found.counts.sum() == 500


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here (make debian-packages)")
def test_a_browser_runs_nothing_and_nothing_is_wider_than_a_phone(tmp_path, corpus):
    pairs, how, row = KINDS["classify"]
    page_of(tmp_path, corpus, evil("classify", tmp_path, pairs, **how), [row] * 6)
    html = (tmp_path / "results.html").read_text()
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    (tmp_path / "probe.html").write_text(html.replace("</body>", probe + "</body>"))
    command = ["chromium", "--headless=new", "--no-sandbox", f"--user-data-dir={tmp_path / 'user'}"]
    command += [
        "--virtual-time-budget=2000",
        "--window-size=500,900",
        "--dump-dom",
        f"file://{tmp_path}/probe.html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    width, window = done.stdout.partition("<title>")[2].partition("</title>")[0].split(" of ")
    assert int(width) <= int(window)


def test_a_set_shows_the_image_of_the_answer_and_that_of_the_true_pair(tmp_path, corpus):
    examples = make_examples(
        "match", tmp_path, pairs=[3, 3], is_match=[1, 0, 0] * 2, images=[0, 0, 1, 2, 3, 2], texts=[("a",)] * 6
    )
    page = page_of(tmp_path, corpus, examples, [[0.1, 0.2, 0.9], [0.9, 0.1, 0.2]])
    assert page.tags["figure"] == 3 and page.text.count("of the true pair") == 1


def test_the_region_that_is_sought_is_drawn_beside_the_answer(tmp_path, corpus):
    examples = make_examples("point", tmp_path, images=[0, 1], boxes=[[[30, 10, 60, 40]], [[0, 0, 20, 20]]])
    write_results(tmp_path, examples, make_outputs([[0.9, 0.5, 0.1]] * 2), corpus, ORIGIN)
    html = (tmp_path / "results.html").read_text()
    x, y, side = (f"{number * 100 / SIZE[0]:.2f}" for number in (30, 10, 30))
    sought = f'x="{x}" y="{y}" width="{side}" height="{side}" class=sought'
    assert html.count(sought) == 1 and html.count("class=answer style") == 2 and html.count("class=back") == 4
    assert "overlap with what was sought: 0 %" in html and "overlap with what was sought: 100 %" in html
