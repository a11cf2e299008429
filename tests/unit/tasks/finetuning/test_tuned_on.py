"""What an exported model says of itself to who judges it later."""

import pytest
from plain_engine import plain_engine
from tuned import ONE_RANK, opened

from interbert.files import read_json, write_json
from interbert.tasks.finetuning.judge import ExampleJudge
from interbert.train.checkpoints.tuned_on import TUNED_ON, TunedOn, read_note


def test_a_run_that_is_not_judged_notes_what_it_was_tuned_on(tmp_path):
    task = opened(tmp_path, "classify")
    task.finish(plain_engine(task.settings, task.terms), tmp_path, "step 9, the last", ONE_RANK)
    noted, train = read_note(tmp_path / "export"), task.train.examples
    assert noted == TunedOn(str(train.path), train.fingerprint, None, "step 9, the last", 12, 10)
    assert noted.of(train.fingerprint)["tuned_on_this_data"] and not noted.of("")["tuned_on_this_data"]


@pytest.mark.parametrize(
    ("train", "chosen"), [({}, False), ({"export": "best"}, True), ({"stop_after": 3}, True)]
)
def test_a_checkpoint_was_chosen_only_where_something_chose_it(tmp_path, monkeypatch, train, chosen):
    monkeypatch.setattr("interbert.tasks.finetuning.finish.write_results", lambda *_: {})
    monkeypatch.setattr("interbert.tasks.finetuning.finish.write_card", lambda *_: None)
    task = opened(tmp_path, "classify", held_out=4, train=train)
    monkeypatch.setattr(ExampleJudge, "outputs", lambda *_: (None, None))
    task.finish(plain_engine(task.settings, task.terms), tmp_path, "it", ONE_RANK)
    fingerprint = task.held_out.examples.fingerprint
    assert read_note(tmp_path / "export").of(fingerprint)["chosen_on_this_data"] is chosen


def test_notes_of_earlier_and_of_later_versions_are_read(tmp_path):
    assert "not noted" in read_note(tmp_path).tuned_on
    earlier = {"tuned_on": "a.jsonl", "tuned_on_fingerprint": "x", "chosen_on_fingerprint": "y", "more": 1}
    write_json(tmp_path / TUNED_ON, earlier)
    assert read_note(tmp_path) == TunedOn("a.jsonl", "x", "y")
    assert read_json(tmp_path / TUNED_ON) == earlier
