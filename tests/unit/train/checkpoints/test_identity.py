import numpy as np
import pytest
from small_world import WordTokenizer, open_world

from interbert.config import SettingsError
from interbert.corpus.corpus import Corpus
from interbert.mining.neighbours import NeighbourTable, write_neighbours
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.tasks.finetuning.sets import open_sets
from interbert.train.checkpoints.identity import compare_identity, describe_settings
from interbert.train.folder.run_folder import RunFolder


def test_an_objective_less_is_another_run(tmp_path):
    saved = describe_settings(load_recipe("scenes"))
    now = describe_settings(load_recipe("scenes", ["objectives={msm: 1.0, mrm: 1.0}"]))
    compare_identity(tmp_path, saved, saved)
    for a, b in ((saved, now), (now, saved)):
        with pytest.raises(SettingsError, match=r"objectives\.itm"):
            compare_identity(tmp_path, a, b)


def test_how_parameters_learn_belongs_to_a_run():
    plain = describe_settings(load_recipe("scenes"))
    deciding = {
        "schedule": "cosine",
        "decay_at": "[3]",
        "decay_factor": "0.5",
        "epochs": "2",
        "ema": "0.9",
        "head_rate": "5",
        "layer_decay": "0.9",
        "frozen": "[heads]",
        "lora": "{}",
    }
    for name, value in deciding.items():
        now = describe_settings(load_recipe("scenes", [f"train.{name}={value}"]))
        assert now[f"train.{name}"] != plain[f"train.{name}"]
    free = describe_settings(load_recipe("scenes", ["train.recompute=true"]))
    assert free == plain  # the same numbers


def test_an_earlier_version_trained_by_what_is_now_the_default(tmp_path):
    now = describe_settings(load_recipe("scenes"))
    earlier = {key: value for key, value in now.items() if key not in ("train.schedule", "train.ema")}
    compare_identity(tmp_path, earlier, now)
    with pytest.raises(SettingsError, match=r"train\.schedule: 'linear' then, 'cosine' now"):
        compare_identity(
            tmp_path, earlier, describe_settings(load_recipe("scenes", ["train.schedule=cosine"]))
        )


def test_an_earlier_version_took_the_fingerprint_of_what_the_stores_say(tmp_path):
    """Its runs go on where that is the same; one of this version only with the same content."""
    data, covers = "data fingerprint", "data fingerprint covers"
    now = {data: "of content", covers: "content"}
    compare_identity(tmp_path, {data: "of checksums"}, now, earlier_fingerprint="of checksums")
    for saved in ({data: "of others"}, {data: "of checksums", covers: "content"}):
        with pytest.raises(
            SettingsError, match=r"(?s)data fingerprint: .* then, .of content. now.*allow_changed"
        ):
            compare_identity(tmp_path, saved, now, earlier_fingerprint="of checksums")
        compare_identity(tmp_path, saved, now, other_data=True, earlier_fingerprint="of checksums")


def test_a_run_of_epochs_is_not_told_by_its_steps(tmp_path):
    """Which settings of a finished run's config.yaml have as they followed from the epochs."""
    one, other = (
        describe_settings(load_recipe("scenes", [f"train.schedule_steps={n}", "train.epochs=2"]))
        for n in (7, 9)
    )
    compare_identity(tmp_path, one, other)
    with pytest.raises(SettingsError, match=r"set them back \(--set train.epochs=2.0\)"):
        compare_identity(tmp_path, one, describe_settings(load_recipe("scenes")))


def test_the_reason_of_the_first_rank_that_failed_stands(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_failure(1, 3, "the disk is full", "no", ["n2"])
    assert folder.write_failure(0, 3, "connection closed by peer", "elsewhere") == "the disk is full"
    assert folder.read_status() == {
        "state": "failed",
        "step": 3,
        "reason": "the disk is full",
        "exit_code": 1,
        "again": "no",
        "hosts": "n2",
        "complete": False,
        "saved": 0,
    }
    folder.write_status("running", 0, "training")
    assert not list(tmp_path.glob("failed_rank*"))


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_a_damaged_status_is_named(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(ValueError, match=r"status\.json.*remove it"):
        RunFolder(tmp_path).read_status()


def test_a_path_is_the_same_however_it_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved, again, other = (
        describe_settings(load_recipe("finetune", task={"kind": "score", "examples": path}))
        for path in ("train.jsonl", f"{tmp_path}/./train.jsonl", "others/train.jsonl")
    )
    compare_identity(tmp_path, saved, again)
    with pytest.raises(SettingsError, match=r"task\.examples: 'train.jsonl' then, 'others/train.jsonl' now"):
        compare_identity(tmp_path, saved, other)


def with_look_alikes(folder, name: str, rows: np.ndarray):
    """Sets with look-alikes from the table `name`, as they are told apart."""
    open_world(folder, images=80).close()
    data = {"train": [str(folder / "a.h5")], "max_text_tokens": 12, "max_regions": 10}
    with Corpus(data["train"]) as corpus:
        write_neighbours(folder / name, NeighbourTable(rows, corpus.fingerprint))
    task = {"kind": "match", "sets": {"near_table": str(folder / name)}}
    settings = load_recipe("finetune", data=data, task=task)
    opened = open_sets(settings, Ranks.alone(), lambda _: WordTokenizer())
    return settings, describe_settings(settings) | opened.fingerprints()


def test_look_alikes_are_compared_by_what_they_are(tmp_path):
    rows = (np.arange(120, dtype=np.int32).reshape(40, 3) + 1) % 40
    _, saved = with_look_alikes(tmp_path, "near.h5", rows)
    settings, moved = with_look_alikes(tmp_path, "elsewhere.h5", rows)
    _, other = with_look_alikes(tmp_path, "near.h5", rows[:, ::-1])
    compare_identity(tmp_path, saved, moved)
    with pytest.raises(SettingsError, match=r"look-alikes fingerprint: '.*' then, '.*' now"):
        compare_identity(tmp_path, saved, other)
    earlier = {key: value for key, value in saved.items() if key != "look-alikes fingerprint"}
    compare_identity(tmp_path, earlier | {"task.sets": settings.task.sets.model_dump(mode="json")}, other)
    fewer = settings.task.sets.model_copy(update={"near_top": 2}).model_dump(mode="json")
    with pytest.raises(SettingsError, match=r"task\.sets: "):
        compare_identity(tmp_path, earlier | {"task.sets": fewer}, moved)
