"""Steps of examples of one type each, the types in turn."""

from collections import Counter

import pytest
from example_files import write_lines
from tuned import ONE_RANK, lines_of, opened, settled

from interbert.batches.endless import Position


def task_of(folder, types: str, batch: str = "3 examples", budget: int = 60, **task):
    """choose: three choices each, of which a micro-batch holds one example or two."""
    opened(folder, "choose")
    lines = [
        line | {"type": type_} for line, type_ in zip(lines_of("choose", len(types)), types, strict=False)
    ]
    path = write_lines(folder / "typed.jsonl", lines)
    return opened(
        folder,
        "choose",
        task={"in_turn": True, "examples": str(path), **task},
        data={"max_regions": 3, "token_budget": budget},
        train={"batch": None, "micro_batches": 2},
    )


def steps_of(task, count: int) -> list[list[str]]:
    """The types of the examples in each step."""
    settings = settled(task)
    plan = task.plan(settings, ONE_RANK)
    types, position, found = task.train.examples.types, Position(), []
    for _ in range(count):
        rows = [plan.epoch(epoch).micro_batch(index) for epoch, index in plan.step(position, 2)]
        found.append([types[number] for each in rows for number in each.group])
        position = plan.after(position, 2)
    plan.close()
    return found


def test_each_step_is_of_one_type_and_the_next_of_the_other(tmp_path):
    task = task_of(tmp_path, "abababaaba")
    plan = task.plan(settled(task), ONE_RANK)
    epoch = plan.epoch(0)
    assert epoch.micro_batches % 4 == 0, "whole steps of both"
    steps = steps_of(task, epoch.micro_batches)  # two epochs of them
    assert all(len(set(step)) == 1 for step in steps)
    assert [step[0] for step in steps] == ["a", "b"] * (len(steps) // 2)
    seen = Counter(epoch.rows.group.tolist())
    assert set(seen) == set(range(10)), "every example comes, those of the smaller type again"
    longer = [number for number in range(10) if task.train.examples.types[number] == "a"]
    assert sum(seen[number] == 3 for number in longer) >= len(longer) - 2
    assert plan.make(1).rows.group.tolist() != epoch.rows.group.tolist()
    plan.close()


def test_without_turns_types_are_mixed(tmp_path):
    task = task_of(tmp_path, "abababaaba", in_turn=False)
    assert any(len(set(step)) == 2 for step in steps_of(task, 4))


def test_one_type_alone_has_no_turns(tmp_path):
    task = task_of(tmp_path, "aaaa")
    with pytest.raises(
        ValueError, match=r"typed\.jsonl: task\.in_turn .* one \('a'\); give --set task\.in_turn=false"
    ):
        task.plan(settled(task), ONE_RANK)


def test_sets_have_no_turns(tmp_path):
    with pytest.raises(ValueError, match="in_turn"):
        opened(tmp_path, "match", task={"examples": None, "sets": {}, "in_turn": True})
