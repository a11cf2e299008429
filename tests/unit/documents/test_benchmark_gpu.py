"""`make gpu`: its parts are commands that exist, are stopped in time, leave nothing running, and become a table."""

import json
import os
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.gpu_parts import figures, parts, running
from benchmarks.gpu_parts.bounded import MARK, end_marked, marked, run_bounded
from benchmarks.gpu_parts.parts import Group, Part, Plan
from benchmarks.gpu_parts.record import REHEARSAL, Record
from benchmarks.gpu_parts.rows import Row, Target, table
from tests.unit.documents.test_benchmarks import run
from tests.unit.documents.test_commands import load, parser_of
from tests.unit.documents.text import ROOT

DAEMON = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n"
"""Leaves a child in a session of its own, and ends."""


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def environment(mark: str) -> dict[str, str]:
    return dict(os.environ) | {MARK: mark}


def bounded(tmp_path: Path, seconds: float, *codes: str):
    mark = f"{tmp_path.name}."
    commands = [python(code) for code in codes]
    ended = run_bounded(commands, seconds, tmp_path / "log", tmp_path, environment(mark))
    return ended, (tmp_path / "log").read_text(), marked(mark)


def test_what_a_part_says_is_kept(tmp_path):
    ended, said, left = bounded(tmp_path, 30, "print('first')", "import sys; sys.exit(3)", "print('third')")
    assert (ended.how, ended.why, left) == ("failed", "exit code 3", [])
    assert "\nfirst\n" in said and "\nthird\n" not in said


def test_a_part_is_stopped_in_time_and_leaves_nothing_running(tmp_path):
    began = time.monotonic()
    ended, said, left = bounded(tmp_path, 1, DAEMON + "print('begun', flush=True)\ntime.sleep(60)")
    assert (ended.how, left) == ("cut", []) and "begun" in said
    assert time.monotonic() - began < 10


def test_what_a_passed_part_left_running_is_ended_too(tmp_path):
    ended, _, left = bounded(tmp_path, 30, DAEMON)
    assert (ended.how, left) == ("passed", [])


def test_others_processes_are_not_ended(tmp_path):
    mark = f"other_{tmp_path.name}."
    ended, _, _ = bounded(tmp_path, 30, "pass")
    other = subprocess.Popen(python("import time; time.sleep(60)"), env=environment(mark))
    try:
        while not marked(mark):
            time.sleep(0.01)
        bounded(tmp_path, 30, "pass")
        assert marked(mark) == [other.pid] and ended.how == "passed"
    finally:
        assert end_marked(mark) == []
        other.wait(10)


def test_what_fails_holds_up_nothing_and_the_last_ends_in_time(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(running, "SHORTEST", 0.1)
    row = Row("a figure", 1.3, "× floor", 1.2, Target(1.35, at_most=True))
    groups = [
        Group(
            1,
            [
                Part("bad", [python("raise SystemExit(1)")], list),
                Part("good", [python("pass")], lambda: [row]),
            ],
        ),
        Group(1, [Part("endless", [python("import time; time.sleep(60)")], lambda: [Row("so far", 2.0)])]),
        Group(1, [Part("unread", [python("pass")], lambda: figures.step(tmp_path / "none.json"))]),
    ]
    record, began = Record(tmp_path / "out", "cuda"), time.monotonic()
    running.run_groups(groups, began + 4.5, environment("in_time"), tmp_path, record)
    assert time.monotonic() - began < 4.5 and marked("in_time") == []
    how = {result.part: result.ended.how for result in record.in_order}
    assert how == {"bad": "failed", "good": "passed", "endless": "cut", "unread": "failed"}
    assert [result.part for result in record.not_passed] == ["bad", "endless", "unread"]
    written = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert written["rows"][0]["measured"] == 1.3 and written["rows"][0]["verdict"] == "reached"
    assert written["rows"][1]["what"] == "so far"
    assert "bad (failed)" in record.summary(1.0) and "bad: failed exit code 1" in capsys.readouterr().out


def test_a_part_for_which_no_time_is_left_is_not_begun(tmp_path):
    part = Part("late", [python(f"open({str(tmp_path / 'begun')!r}, 'w')")], list)
    record = Record(tmp_path / "out", "cuda")
    running.run_groups([Group(1, [part])], time.monotonic() + 1, environment("late"), tmp_path, record)
    (result,) = record.in_order
    assert result.ended.how == "cut" and "not begun" in result.ended.why
    assert not (tmp_path / "begun").exists()


def test_a_rehearsal_calls_nothing_measured(tmp_path, capsys):
    record = Record(tmp_path, "cpu")
    part = Part("one", [], lambda: [Row("a figure", 1.0, "", None, Target(2.0))])
    record.add((0, 0), running.run_part(part, 0.0, environment("none"), tmp_path))
    row = json.loads((tmp_path / "gpu.json").read_text())["rows"][0]
    assert row["rehearsed"] == 1.0 and not {"measured", "verdict"} & set(row)
    said = (tmp_path / "table.txt").read_text()
    assert (
        said.startswith(REHEARSAL) and "measured" not in said.removeprefix(REHEARSAL) and "missed" not in said
    )
    assert capsys.readouterr().out.startswith(REHEARSAL)


def test_the_table_tells_whether_targets_were_reached():
    rows = [
        Row("near", 1.3, "× floor", 1.2, Target(1.35, at_most=True)),
        Row("far", 1.4, "× floor", None, Target(1.35, at_most=True)),
        Row("fast", 412.0, "TFLOP/s", None, Target(400.0)),
        Row("absent", None, "×", None, Target(1.5)),
        Row("told", "right"),
    ]
    cells = [line.split("  ") for line in table(rows, rehearsal=False).splitlines()[2:]]
    assert [line[-1].strip() for line in cells] == ["reached", "missed", "reached", "not told", "–"]


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_every_command_of_every_part_is_accepted(device, tmp_path):
    """By the program that it starts: a flag that another change took away is noticed here, not on a GPU."""
    groups = Plan(device, tmp_path).groups()
    seen = set()
    for command in (command for group in groups for part in group.parts for command in part.commands):
        words = [word for word in command[1:] if word != "benchmarks/gpu_parts/stand_in.py"]
        if words[:3] == ["-m", "interbert", "launch"]:
            words = [f"launch/{words[3]}.py", *words[4:]]
            del words[words.index("--num_gpus") : words.index("--num_gpus") + 2]
        seen.add(words[0])
        if words[0].startswith("launch"):
            module = load(words[0])
            with patch.object(sys, "argv", words):
                arguments = module.parse_arguments()
            if words[0] == "launch/pretrain.py":
                assert module.settings_of(arguments).scenes.folder.startswith(str(tmp_path))
        else:
            parser_of(words[0]).parse_args(words[1:])
        for file in (word for word in words if word.startswith("ds_configs/")):
            assert (ROOT / file).is_file()
    assert {"benchmarks/attention.py", "benchmarks/train_step.py", "launch/evaluate.py"} <= seen
    assert len({part.name for group in groups for part in group.parts}) == sum(len(g.parts) for g in groups)
    if device == "cuda":
        assert sum(group.seconds for group in groups) < 550  # about the seconds that there are


def test_the_machine_is_looked_at_and_what_it_lacks_is_told(tmp_path, monkeypatch, capsys):
    module, file = load("benchmarks/gpu_parts/machine.py"), tmp_path / "machine.json"
    monkeypatch.setattr(sys, "argv", ["machine.py", "--device", "cpu", "--json", str(file)])
    monkeypatch.setattr(module, "NEEDED", ("json", "nothing_called_so"))
    assert module.main() == 1
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISSING")]
    assert "nothing_called_so" in told
    copied, multiplied = figures.machine(file)
    assert copied.found > 0 and multiplied.found > 0
    monkeypatch.setattr(module, "NEEDED", ("json",))
    assert module.main() == 0


def test_a_group_of_one_rank_gives_back_what_it_got(tmp_path):
    run("benchmarks/gpu_parts/one_rank.py", "--device", "cpu", "--json", str(tmp_path / "ranks.json"))
    assert figures.one_rank(tmp_path / "ranks.json") == [Row("gloo, a group of one", "right")]


def test_attention_is_timed_by_calls_that_exist(tmp_path, monkeypatch):
    """FlashAttention-2 without numbers, padded attention by torch: all are had. Ours, by the emulator, takes a minute
    to compile: the rehearsal has it."""
    monkeypatch.setattr(figures, "PREDICTIONS", tmp_path / "predicted.json")
    (tmp_path / "predicted.json").write_text(
        json.dumps({"forward": {"text": 1.31}, "backward": {"text": 1.44}})
    )
    module = load("benchmarks/attention.py")
    both = {name: module.LENGTHS[name] for name in ("text stream 10-40", "all 128")}
    monkeypatch.setattr(module, "LENGTHS", both)
    monkeypatch.setitem(module.CONTENDERS, "fused", module.CONTENDERS["FA2 varlen"])
    file = tmp_path / "attention.json"
    words = [
        "--device",
        "cpu",
        "--only",
        "times",
        "--shapes",
        "12 x 64",
        "--dropout",
        "0.1",
        "--json",
        str(file),
    ]
    with patch.object(sys, "argv", ["attention.py", *words]):
        assert module.main() == 0
    rows = figures.attention(file)
    assert [row.predicted for row in rows[:2]] == [1.31, 1.44] and len(rows) == 10
    assert all(isinstance(row.found, float) for row in rows), rows
    assert [str(row.target) for row in rows[:2]] == ["≤ 1.35", "≤ 1.5"]
    assert [(row.predicted, row.target) for row in rows[5:7]] == [(None, None)] * 2  # lengths nobody foretold


def test_gelu_within_products_is_timed_by_calls_that_exist_and_foretold(tmp_path, monkeypatch):
    file, foretold = tmp_path / "product.json", tmp_path / "predicted.json"
    foretold.write_text(json.dumps({"seconds": {"forward": [3e-6, 2e-6], "backward": [5e-6, 4e-6]}}))
    monkeypatch.setattr(figures, "PRODUCT_PREDICTIONS", foretold)
    (part,) = [
        part for group in Plan("cpu", tmp_path).groups() for part in group.parts if "GELU" in part.name
    ]
    words = [*part.commands[0][2 : part.commands[0].index("--json")], "--json", str(file)]
    run("benchmarks/gelu_product.py", *words)
    rows = figures.gelu_product(file)
    assert [row.predicted for row in rows] == pytest.approx([1.5, 2, 3, 1.25, 4, 5])
    assert [str(row.target) for row in rows[::3]] == ["≥ 1"] * 2
    assert all(isinstance(row.found, float) and row.found > 0 for row in rows)


def test_stages_are_held_against_each_other(tmp_path):
    runs = {"bf16": [tmp_path / "0", tmp_path / "1"]}
    for folder, last in zip(runs["bf16"], (2.0, 2.1), strict=True):
        folder.mkdir()
        told = [{"step": 1, "loss": 3.0}, {"step": 1, "validation/loss": 9.0}, {"step": 2, "loss": last}]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, told)))
    (row,) = figures.stages_alike(runs)
    assert row.found == pytest.approx(0.05) and row.verdict() == "missed"
    assert figures.stage(runs["bf16"][0], "zero0_bf16")[0].found == "3 to 2"


def test_a_missing_folder_of_wheels_is_told(tmp_path):
    module = load("benchmarks/gpu.py")
    words = ["gpu.py", "--wheels", str(tmp_path), "--output", str(tmp_path / "out"), "--device", "cpu"]
    with patch.object(sys, "argv", words), pytest.raises(SystemExit, match="no wheels in"):
        module.main()


def test_the_wheels_to_carry_are_of_the_versions_that_are_tested():
    named = dict(re.findall(r"([\w-]+)==([\d.]+)", (ROOT / "docs" / "gpu.md").read_text()))
    assert {"deepspeed", "pydantic", "transformers"} <= set(named)
    assert named == {name: metadata.version(name) for name in named}


def test_parts_are_chosen_by_their_names(tmp_path):
    module, groups = load("benchmarks/gpu.py"), Plan("cpu", tmp_path).groups()
    kept = [part.name for group in module.chosen(groups, ["step", "ZeRO 3"]) for part in group.parts]
    steps = [f"step of {pairs} pairs, graphs {how}" for pairs in (2, 4, 6) for how in ("auto", "false")]
    assert kept == [*steps, "bf16, ZeRO 3", "fp16, ZeRO 3"]
    with pytest.raises(SystemExit, match="no part is called nothing"):
        module.chosen(groups, ["nothing"])


@pytest.mark.thorough
def test_the_whole_rehearsal(tmp_path):
    """Every part at tiny sizes, through the code that a GPU gets."""
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--output", str(tmp_path / "out")]
    ended = run_bounded([command], 2400, tmp_path / "log", ROOT, environment(f"{tmp_path.name}.whole."))
    assert ended.how == "passed", (tmp_path / "log").read_text()[-6000:]
    written = json.loads((tmp_path / "out" / "gpu.json").read_text())
    names = [part.name for group in parts.Plan("cpu", tmp_path).groups() for part in group.parts]
    assert [part["part"] for part in written["parts"]] == names and written["rehearsal"]
    assert all(row["rehearsed"] is not None for row in written["rows"])
