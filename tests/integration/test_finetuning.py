"""Fine-tuning by its command: what it leaves, exact resume, any number of ranks and ZeRO stage, sweeps, judging."""

import json
import sys
from pathlib import Path

import numpy as np
import official_files as made
import pytest
import torch
from brought import bring
from official_files import write_rows

from interbert.__main__ import main as run_verb
from interbert.corpus.corpus import Corpus
from interbert.model.loading import load_ours

SETS = ("train.batch=8 examples", "train.micro_batches=2", "data.token_budget=400", "train.log_every=1")
KINDS = ("classify", "choose", "match")


@pytest.fixture(scope="module")
def begun(runs) -> Path:
    """A pretrained model, and examples over its scenes."""
    runs.python("begun", "--max-steps", "2")
    return runs.folder / "begun" / "export"


@pytest.fixture(scope="module")
def stores(runs, begun) -> list[Path]:
    return sorted((runs.folder / "scenes").glob("*.h5"))


@pytest.fixture(scope="module")
def examples(runs, stores) -> Path:
    """kind_split.jsonl for each kind, from what the captions of the scenes say."""
    folder, rng = runs.folder / "examples", np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for split, count in (("train", 24), ("test", 12)):
        with Corpus([next(path for path in stores if path.name.startswith(split))]) as corpus:
            for kind in KINDS:
                lines = [example(kind, number, corpus, rng) for number in range(count)]
                text = "".join(json.dumps(line) + "\n" for line in lines)
                (folder / f"{kind}_{split}.jsonl").write_text(text)
    return folder


def example(kind: str, number: int, corpus: Corpus, rng: np.random.Generator) -> dict:
    image = number % corpus.images
    other = (image + 1 + int(rng.integers(corpus.images - 1))) % corpus.images
    true, false = (
        corpus.caption_text(int(np.flatnonzero(corpus.caption_image == i)[0])) for i in (image, other)
    )
    line = {
        "id": f"{kind}-{number}",
        "images": [corpus.image_id(image)],
        "type": "ab"[number % 2],
        "note": number,
    }
    yes = bool(rng.integers(2))
    return (
        line
        | {
            "classify": {"texts": [true if yes else false], "label": "yes" if yes else "no"},
            "choose": {"texts": [[true], [false]] if yes else [[false], [true]], "label": 0 if yes else 1},
            "match": {"texts": [true, false], "pairs": [[0, 0, 1], [0, 1, 0]]},
        }[kind]
    )


@pytest.fixture
def words(runs, begun, examples, stores):
    """The command of a run of this kind."""

    def of(name: str, kind: str = "classify", *more: str, config: str = "cpu", sets: tuple[str, ...] = ()):
        found = ["launch/finetune.py", "--task", kind, "--model", str(begun), "--deepspeed_config", config]
        found += ["--data", *map(str, stores), "--examples", str(examples / f"{kind}_train.jsonl")]
        found += [
            "--validation",
            str(examples / f"{kind}_test.jsonl"),
            "--output-dir",
            str(runs.folder / name),
        ]
        for each in (*SETS, "train.epochs=2", *sets):
            found += ["--set", each]
        return [*found, *more]

    return of


def results(runs, name: str) -> dict:
    return json.loads((runs.folder / name / "results.json").read_text())


def predictions(runs, name: str) -> list[dict]:
    return [json.loads(line) for line in (runs.folder / name / "predictions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_run_leaves(runs, words, examples, kind):
    said = runs.run([sys.executable, *words(f"tuned_{kind}", kind)])
    folder = runs.folder / f"tuned_{kind}"
    found, told = results(runs, folder.name), predictions(runs, folder.name)
    assert ("the head is new" in said) == (kind != "match")
    assert found["examples"] == 12 and set(found["by_type"]) == {"a", "b"} and 0 <= found["value"] <= 1
    assert (
        found["figures"][found["metric"]]["value"] == found["value"] and "the best by" in found["checkpoint"]
    )
    lines = (examples / f"{kind}_test.jsonl").read_text().splitlines()
    assert [line["id"] for line in told] == [json.loads(line)["id"] for line in lines]
    assert [line["note"] for line in told] == list(range(12))
    assert np.mean([float(line["right"]) for line in told]) == pytest.approx(found["value"], abs=1e-6)
    best = max(
        line[f"validation/{found['metric']}"]
        for line in runs.metrics(folder.name)
        if "validation/loss" in line
    )
    assert found["value"] == pytest.approx(best)
    assert "<html" in (folder / "results.html").read_text() and (folder / "export" / "README.md").is_file()


def test_two_ranks_learn_as_one_at_every_stage(runs, words):
    runs.run([sys.executable, *words("tuned_one")])
    for stage in (0, 3):
        runs.run_ranks(words(f"two_{stage}", config=f"zero{stage}_fp32"))
        assert runs.losses(f"two_{stage}") == pytest.approx(runs.losses("tuned_one"), rel=1e-4)
        ours, theirs = predictions(runs, f"two_{stage}"), predictions(runs, "tuned_one")
        assert [line["prediction"] for line in ours] == [line["prediction"] for line in theirs]


def test_a_run_that_stopped_goes_on_as_if_it_had_not(runs, words):
    sets = ("train.ema=0.9", "train.schedule=cosine", "train.epochs=6")
    runs.run([sys.executable, *words("tuned_whole", sets=sets)])
    runs.run([sys.executable, *words("tuned_parted", "classify", "--max-steps", "3", sets=sets)])
    said = runs.run([sys.executable, *words("tuned_parted", sets=sets)])
    assert "resumed from" in said and runs.losses("tuned_parted") == runs.losses("tuned_whole")
    assert predictions(runs, "tuned_parted") == predictions(runs, "tuned_whole")
    again = runs.run([sys.executable, *words("tuned_parted", sets=sets)])
    assert "finished, at step" in again


def test_it_ends_early_where_nothing_gets_better(runs, words):
    sets = ("train.learning_rate=1e-12", "train.stop_after=2", "train.epochs=9")
    said = runs.run([sys.executable, *words("early", sets=sets)])
    assert "2 rounds of validation brought nothing better" in said
    assert runs.status("early")["state"] == "finished" and runs.status("early")["step"] == 3
    before = (runs.folder / "early" / "results.json").stat().st_mtime_ns
    again = runs.run([sys.executable, *words("early", sets=sets)])
    assert "finished, at step 3 (step 3: 2 rounds of validation" in again
    assert (runs.folder / "early" / "results.json").stat().st_mtime_ns == before


def test_the_export_is_judged_as_in_the_run(runs, words, examples, stores):
    """Also where texts and regions are cut, as the run cut them."""
    runs.run([sys.executable, *words("tuned_cut", sets=("data.max_text_tokens=6", "data.max_regions=3"))])
    model, path = runs.folder / "tuned_cut" / "export", examples / "classify_test.jsonl"
    judge = ["launch/evaluate.py", "--task", "classify", "--model", str(model), "--examples", str(path)]
    judge += ["--data", *map(str, stores), "--precision", "fp32"]
    for name, start in (("judged", runs.run), ("judged_by_two", runs.run_ranks)):
        command = [*judge, "--output", str(runs.folder / name)]
        start([sys.executable, *command] if start == runs.run else command)
        assert results(runs, name)["value"] == pytest.approx(results(runs, "tuned_cut")["value"])
        for ours, theirs in zip(predictions(runs, name), predictions(runs, "tuned_cut"), strict=True):
            assert ours["prediction"] == theirs["prediction"]
            assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)
    told, left = results(runs, "judged"), results(runs, "tuned_cut")
    assert told["checkpoint"] == f"{left['checkpoint']}, in fp32" and told["tuned_on"] == left["tuned_on"]
    assert told["chosen_on_this_data"] and not told["tuned_on_this_data"]
    again = runs.run([sys.executable, *judge, "--output", str(runs.folder / "judged")], code=1)
    assert "is there already" in again and "--overwrite" in again


def test_a_sweep_has_a_run_for_each_point_and_seed(runs, words):
    more = ("--seeds", "1", "2", "--grid", "train.learning_rate=1e-4,1e-3")
    said = runs.run_ranks(words("swept", "classify", *more, sets=("train.epochs=1",)))
    summary = json.loads((runs.folder / "swept" / "sweep.json").read_text())
    assert [point["mean"] is not None and len(point["runs"]) for point in summary["points"]] == [2, 2]
    assert "mean ± deviation over seeds" in said
    assert (runs.folder / "swept" / "learning_rate=1e-3,seed=2" / "results.json").is_file()


def test_a_sweep_holds_nothing_of_the_runs_before(runs, words):
    """Four things of each: the model, our engine, DeepSpeed's, and the optimizer."""
    _, *more = words("watched", "classify", "--seeds", "1", "2", "3", "--max-steps", "1")
    said = runs.run([sys.executable, str(Path(__file__).with_name("watched_sweep.py")), *more])
    assert [f"before a model of {4 * n}: [] alive" in said for n in range(3)] == [True] * 3


def test_a_sweep_that_was_cut_short_goes_on_with_more_steps(runs, words):
    more = ("--seeds", "1", "--max-steps")
    runs.run([sys.executable, *words("cut_sweep", "classify", *more, "1")])
    said = runs.run([sys.executable, *words("cut_sweep", "classify", *more, "2")])
    assert "sweep: seed=1 (1 of 1 that are left)" in said
    assert runs.status("cut_sweep/seed=1")["step"] == 2
    assert "that are left" not in runs.run([sys.executable, *words("cut_sweep", "classify", *more, "2")])


def test_text_alone_is_learnt_without_a_store(runs, begun):
    """From fresh weights: three steps, judged and exported; and dry before them."""
    for split, count in (("train", 24), ("test", 8)):
        lines = [
            {"id": f"t{n}", "texts": [["a red cube", "a ball"]], "label": "ab"[n % 2]} for n in range(count)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (runs.folder / f"text_{split}.jsonl").write_text(text)
    words = ["launch/finetune.py", "--task", "classify", "--examples", str(runs.folder / "text_train.jsonl")]
    words += ["--validation", str(runs.folder / "text_test.jsonl"), "--output-dir", str(runs.folder / "text")]
    words += ["--deepspeed_config", "cpu", "--max-steps", "3"]
    for each in (f"data.tokenizer={begun}", "model.preset=tiny", "train.batch=8 examples"):
        words += ["--set", each]
    assert "no images" in runs.run([sys.executable, *words, "--dry-run"])
    runs.run([sys.executable, *words])
    assert runs.status("text")["step"] == 3 and results(runs, "text")["examples"] == 8
    judge = ["launch/evaluate.py", "--task", "classify", "--model", str(runs.folder / "text" / "export")]
    judge += [
        "--examples",
        str(runs.folder / "text_test.jsonl"),
        "--output",
        str(runs.folder / "judged_text"),
    ]
    runs.run([sys.executable, *judge])
    assert results(runs, "judged_text")["examples"] == 8


@pytest.fixture(scope="module")
def vcr(runs, stores) -> Path:
    """VCR's files about 24 of the scenes, whose first two regions are its given boxes: stores and examples."""
    folder, (store,) = runs.folder / "vcr", [path for path in stores if path.name.startswith("train")]
    folder.mkdir()
    with Corpus([store]) as corpus:
        boxes, sizes = np.empty((2 * 24, 4), np.float32), corpus.sizes.tolist()
        corpus.read(np.arange(24), np.full(24, 2), boxes_R4=boxes)
        rows = [
            situation(n, corpus.image_id(n), folder, boxes[2 * n : 2 * n + 2], sizes[n]) for n in range(24)
        ]
    write_rows(folder / "train.jsonl", rows)
    files = ("vcr", "--input", folder / "train.jsonl")
    bring(*files, "--part", "rationale", "--data", store, "--output", folder / "told.jsonl")
    texts = ("--texts", folder / "told.jsonl", "--output", folder / "joined.h5")
    assert run_verb(list(map(str, ("join", "--given", store, "--detected", store, *texts)))) == 0
    metadata = ("--metadata", folder / "vcr1images", "--tags", "--data", folder / "joined.h5")
    bring(*files, *metadata, "--output", folder / "tagged.jsonl")
    return folder


def situation(number: int, image: str, folder: Path, boxes: np.ndarray, size: list[int]) -> dict:
    said = {
        "question": ["is", "the", [1], "red"],
        "answer_choices": [["the", [0], "is", colour] for colour in ("red", "blue", "green", "white")],
        "rationale_choices": [
            ["there", "is", "a", colour, [1]] for colour in ("red", "blue", "green", "white")
        ],
    }
    names = {"img_fn": f"f/{image}.jpg", "metadata_fn": f"f/{image}.json", "objects": ["cube", "ball"]}
    row = made.vcr_row(number, "train", answer_label=number % 4, **said, **names)
    boxes = [[*box, 0.9] for box in boxes.tolist()]
    made.write_vcr_metadata(folder / "vcr1images", row, boxes=boxes, width=size[0], height=size[1])
    return row


def test_vcr_is_pretrained_on_and_then_tuned_with_tags(runs, begun, vcr):
    words = ["launch/pretrain.py", "--recipe", "vcr_pretraining", "--data", str(vcr / "joined.h5")]
    words += ["--deepspeed_config", "cpu", "--output-dir", str(vcr / "second"), "--max-steps", "2"]
    for each in (
        f"model.inherit_from={begun}",
        f"data.tokenizer={begun}",
        "train.batch=12 pairs",
        "train.log_every=1",
    ):
        words += ["--set", each]
    runs.run([sys.executable, *words])
    first, *_ = (vcr / "second" / "metrics.jsonl").read_text().splitlines()
    assert {"loss/msm", "loss/mrm", "loss/itm"} <= set(json.loads(first))
    before, after = (load_ours(path).state_dict() for path in (begun, vcr / "second" / "export"))
    assert before.keys() == after.keys() and any(
        not torch.equal(before[name], after[name]) for name in before
    )

    words = ["launch/finetune.py", "--recipe", "vcr", "--model", str(vcr / "second" / "export")]
    words += [
        "--data",
        str(vcr / "joined.h5"),
        "--deepspeed_config",
        "cpu",
        "--output-dir",
        str(vcr / "tuned"),
    ]
    for name in ("examples", "validation"):
        words += [f"--{name}", str(vcr / "tagged.jsonl")]
    for each in ("task.tags=true", "train.learning_rate=1e-3", "train.batch=8 examples"):
        words += ["--set", each]
    runs.run([sys.executable, *words, "--max-steps", "4"])
    found = json.loads((vcr / "tuned" / "results.json").read_text())
    assert set(found["by_type"]) == {"Q->A", "QA->R"} and found["examples"] == 48
    assert set(found["official"]["figures"]) == {"Q->A", "QA->R", "Q->AR"}
    assert load_ours(vcr / "tuned" / "export").task.pointing.gain.abs().min() > 0, "which begins as zeros"


def test_sets_are_drawn_from_captions(runs, begun, stores):
    train, test = (next(path for path in stores if path.name.startswith(n)) for n in ("train", "test"))
    drawn = "{random_captions: 2, near_images: 0, near_captions: 2, hardest: 2}"
    sets = f"task={{kind: match, loss: cross_entropy, sets: {drawn}}}"
    words = ["launch/finetune.py", "--recipe", "finetune", "--model", str(begun), "--data", str(train)]
    words += ["--deepspeed_config", "zero3_fp32", "--output-dir", str(runs.folder / "sets"), "--set", sets]
    for each in (f"data.validation=[{test}]", "train.batch=8 sets", "train.epochs=1"):
        words += ["--set", each]
    said = runs.run_ranks(words)
    found = results(runs, "sets")
    assert "sets of 6 pairs" in said and found["metric"] == "text_to_image.r1"
    assert set(found["figures"]) >= {"text_to_image.r1", "image_to_text.r10"}
    judged = [line for line in runs.metrics("sets") if "validation/set_accuracy" in line]
    assert judged and all(0 <= line["validation/text_to_image.r1"] <= 1 for line in judged)
    assert len(predictions(runs, "sets")) > 2 and (runs.folder / "sets" / "results.html").is_file()
    told = runs.run([sys.executable, "-m", "interbert", "summary", str(runs.folder / "sets")])
    assert f"text to image, R@1          {found['value']:.1%}".replace("%", " %") in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--examples", "/no/such.jsonl"], "no such file or folder: /no/such.jsonl"),
        (["--set", "task.metric=bleu"], "task.metric is 'bleu', which classify does not have"),
        (["--set", "data.token_budget=8"], "may need|raise"),
        (["--task", "score"], "no example says what is right"),
    ],
)
def test_what_cannot_be_is_said_before_training(runs, words, change, message):
    said = runs.run([sys.executable, *words("refused", "classify", *change)], code=1)
    assert message.split("|")[0] in said or message.split("|")[-1] in said, said
    assert not (runs.folder / "refused" / "checkpoints").is_dir()
