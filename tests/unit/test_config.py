from typing import get_args

import pytest
import yaml

from interbert.config import Kind, SettingsError
from interbert.idle import refuse_idle
from interbert.recipe import load_recipe, recipe_names


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads(name):
    assert load_recipe(name).name == name


def test_overrides_and_sections():
    settings = load_recipe(
        "scenes", ["train.learning_rate=3e-4", "masks.text=mlm", "objectives={mlm: 2}"], train={"seed": 7}
    )
    assert settings.train.learning_rate == 3e-4
    assert settings.train.seed == 7
    assert settings.objectives == {"mlm": 2.0}


def test_released_recipe_differs_from_the_paper_in_masks_negatives_and_batch_only():
    paper, released = load_recipe("interbert_base"), load_recipe("interbert_base_released")
    assert released.masks.text == "msm_released" and released.masks.regions == "mrm_released"
    assert released.mismatch.hard_share == 0 and paper.mismatch.hard_share == 0.2
    assert released.data == paper.data
    of_batch = ("batch", "learning_rate", "schedule_steps")
    assert released.train.model_dump(exclude=of_batch) == paper.train.model_dump(exclude=of_batch)
    pairs = [int(r.train.batch.split()[0]) * r.train.schedule_steps for r in (paper, released)]
    assert pairs[0] == pairs[1], "the same number of pairs in all"
    times = int(paper.train.batch.split()[0]) / int(released.train.batch.split()[0])
    assert paper.train.learning_rate / released.train.learning_rate == pytest.approx(times**0.5)


def test_objectives_replace_those_of_the_extended_recipe(tmp_path):
    path = write(tmp_path, "mine.yaml", "extends: scenes\nname: mine\nobjectives: {itm: 2.0}\n")
    assert load_recipe(path).objectives == {"itm": 2.0}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lerning_rate=1", "train.lerning_rate"),
        ("train.keep_checkpoints=1", "greater than or equal to 2"),
        ("masks.text=mlm", "msm"),
        ("train.learning_rate=fast", "train.learning_rate"),
        ("nonsense", "section.key=value"),
        ("train.micro_batches=0", "train.micro_batches"),
        ("objectives.banana=1", "banana"),
    ],
)
def test_faults_name_the_field(override, words):
    with pytest.raises(SettingsError, match=words):
        load_recipe("scenes", [override])


def test_of_epochs_and_steps_the_one_said_last_counts(tmp_path):
    """Else steps that are typed over a recipe of epochs would be passed over without a word."""
    epochs = write(tmp_path, "epochs.yaml", "extends: scenes\nname: e\ntrain: {epochs: 3}\n")
    steps = write(tmp_path, "steps.yaml", f"extends: {epochs}\nname: s\ntrain: {{schedule_steps: 70}}\n")
    told = {
        (3.0, 3600): load_recipe(epochs),
        (None, 70): load_recipe(steps),
        (None, 50): load_recipe(epochs, ["train.schedule_steps=50"]),
        (2.0, 50): load_recipe(epochs, ["train.schedule_steps=50", "train.epochs=2"]),
        (None, 60): load_recipe(epochs, ["train.epochs=2", "train.schedule_steps=60"]),
        (None, 40): load_recipe(epochs, train={"schedule_steps": 40}),
    }
    for wanted, settings in told.items():
        assert (settings.train.epochs, settings.train.schedule_steps) == wanted


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("schedule_steps=9", "epochs: 2"),
        ("epochs=9", "schedule_steps: 2"),
        ("batch=9 pairs", "micro_batches: 2"),
    ],
)
def test_a_stage_that_says_it_otherwise_is_not_overruled_in_silence(typed, said, tmp_path):
    path = write(
        tmp_path, "s.yaml", f"extends: scenes\nname: s\nstages: [{{name: web, train: {{{said}}}}}]\n"
    )
    with pytest.raises(SettingsError, match=rf"stage 'web' says its own train\.{said.split(':')[0]}"):
        load_recipe(path, [f"train.{typed}"])


def test_who_writes_epochs_and_steps_is_told_that_they_are_one(tmp_path):
    both = "train: {epochs: 3, schedule_steps: 70}"
    path = write(tmp_path, "both.yaml", f"extends: scenes\nname: b\n{both}\n")
    with pytest.raises(
        SettingsError, match=r"both\.yaml: train\.epochs is 3 and train\.schedule_steps 70, which"
    ):
        load_recipe(path)
    staged = write(tmp_path, "staged.yaml", f"extends: scenes\nname: b\nstages: [{{name: web, {both}}}]\n")
    with pytest.raises(SettingsError, match="leave one of them out"):
        load_recipe(staged)
    config = write(
        tmp_path,
        "config.yaml",
        yaml.safe_dump(load_recipe("finetune", task={"kind": "score"}).model_dump(mode="json")),
    )
    assert load_recipe(config).train.epochs == 5


def test_unknown_recipe_lists_the_known():
    with pytest.raises(SettingsError, match="scenes"):
        load_recipe("scnes")


def test_circle_of_recipes(tmp_path):
    write(tmp_path, "a.yaml", "extends: b.yaml\nname: a\n")
    write(tmp_path, "b.yaml", "extends: a.yaml\nname: b\n")
    with pytest.raises(SettingsError, match="extends itself"):
        load_recipe(str(tmp_path / "a.yaml"))


def test_the_home_is_expanded_wherever_a_path_is_given(tmp_path, monkeypatch):
    """As in --data=~/a.h5, which shells leave alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "base.yaml", "extends: scenes\nname: base\ndata: {validation: [~/v.h5]}\n")
    write(tmp_path, "mine.yaml", "extends: ~/base.yaml\nname: mine\nmismatch: {hard_table: ~/t.h5}\n")
    settings = load_recipe(
        "~/mine.yaml", ["data.tokenizer=~/words", "scenes.folder=~/s"], data={"train": ["~/a.h5", "./b~.h5"]}
    )
    assert settings.name == "mine"
    assert settings.data.train == [f"{tmp_path}/a.h5", "./b~.h5"]
    assert settings.data.validation == [f"{tmp_path}/v.h5"]
    assert settings.data.tokenizer == f"{tmp_path}/words"
    assert settings.mismatch.hard_table == f"{tmp_path}/t.h5" and settings.scenes.folder == f"{tmp_path}/s"


def test_names_of_classes_may_stand_in_a_file(tmp_path):
    (tmp_path / "labels.json").write_text('["b", "a"]')
    assert load_recipe("vqa2", [f"task.labels={tmp_path / 'labels.json'}"]).task.labels == ["b", "a"]
    for name, said in (("none.json", "cannot be read"), ("cut.json", "not JSON"), ("number.json", "list")):
        (tmp_path / "cut.json").write_text('["b"')
        (tmp_path / "number.json").write_text("7")
        with pytest.raises(SettingsError, match=said):
            load_recipe("vqa2", [f"task.labels={tmp_path / name}"])


def test_what_would_be_passed_over_in_silence_is_refused():
    with pytest.raises(SettingsError, match="'a' stands there twice; name each class once"):
        load_recipe("vqa2", ["task.labels=[a, b, a]"])
    with pytest.raises(SettingsError, match=r"sets are judged on stores.*data.validation=\[STORE\]"):
        load_recipe("retrieval_flickr30k", task={"validation": "val.jsonl"})


IDLE = [
    (
        "scenes",
        ["train.decay_at=[2]"],
        r"train.decay_at is \[2.0\].*schedule steps.*\(--set train.decay_at='\[\]'\)",
    ),
    ("scenes", ["train.decay_factor=0.5"], "train.decay_factor is 0.5.*or ask for train.schedule=steps"),
    ("retrieval_flickr30k", ["train.schedule=linear"], "'retrieval_flickr30k': train.decay_at"),
    ("scenes", ["train.head_rate=5"], "train.head_rate is 5.0, which serves a task's head"),
    ("vcr", ["task.labels=[a, b]"], r"task.labels is \['a', 'b'\], which serves the kind classify"),
    ("retrieval_coco", ["task.head=mlp"], "task.head is 'mlp'.*match takes pretraining's"),
    ("retrieval_coco", ["task.tags=true"], "task.tags is True"),
    ("retrieval_coco", ["task.margin=0.3"], "task.margin is 0.3, which serves the triplet loss"),
    ("vqa2", ["task.margin=0.3"], "task.margin is 0.3.*task.kind=match with task.loss=triplet"),
    ("vqa2", ["masks.sides=alternate"], r"masks.sides is .*: take it back \(--set masks.sides='\"both\"'\)"),
    ("vqa2", ["objectives={itm: 1.0}"], "objectives is {'itm': 1.0}, which serves pretraining"),
    ("vqa2", ["mismatch.hard_table=a.h5"], r"mismatch.hard_table is 'a.h5'.*\(--set mismatch.hard_table=\)"),
    ("retrieval_coco", ["mismatch.hard_top=9"], "mismatch.hard_top is 9.*or ask for task.sets.near_captions"),
    ("vqa2", ["data.train=[a.h5]", "data.weights=[2]"], "data.weights is .*sets of pairs"),
    ("vqa2", ["data.masked_token_capacity=9"], "data.masked_token_capacity is 9, which serves pretraining"),
]


@pytest.mark.parametrize(("recipe", "said", "told"), IDLE)
def test_a_setting_that_serves_nothing_is_refused(recipe, said, told):
    with pytest.raises(SettingsError, match=told):
        refuse_idle(load_recipe(recipe, said))


def test_settings_that_are_served_or_stand_at_their_defaults_are_not_idle(tmp_path):
    refuse_idle(load_recipe("scenes", ["train.schedule=steps", "train.decay_at=[2]"]))
    refuse_idle(load_recipe("scenes_retrieval", ["mismatch.hard_top=9"]))
    served = ["task.loss=triplet", "task.margin=0.3", "data.train=[a]", "data.weights=[2]"]
    refuse_idle(load_recipe("retrieval_coco", served))
    for name in set(recipe_names()) - {"finetune"}:  # which has no task until one is asked for
        whole = yaml.safe_dump(load_recipe(name).model_dump(mode="json"))
        refuse_idle(load_recipe(write(tmp_path, f"{name}.yaml", whole)))
    for kind in get_args(Kind):
        refuse_idle(load_recipe("finetune", task={"kind": kind}))


def test_a_stage_is_refused_for_itself(tmp_path):
    lowered = "{name: two, train: {schedule: steps}}"
    shared = "extends: scenes\nname: staged\ntrain: {decay_at: [1]}\nstages: [{name: one}, %s]\n"
    with pytest.raises(SettingsError, match=r"'one': train\.decay_at"):
        refuse_idle(load_recipe(write(tmp_path, "a.yaml", shared % lowered)))
    refuse_idle(load_recipe(write(tmp_path, "b.yaml", shared.replace("{name: one}, ", "") % lowered)))
