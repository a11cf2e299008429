import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from interbert.config import SettingsError
from interbert.recipe import load_recipe
from interbert.train.folder.run_folder import RunFolder
from interbert.train.monitor.monitor import Monitor, drop_lines_after, duration, for_hparams
from interbert.train.monitor.profiling import parse_window
from interbert.train.monitor.tags import tag_of


def test_lines_beyond_the_checkpoint_are_forgotten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n"torn"\n{"step": null}\n{"st')
    drop_lines_after(path, 2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_everything_lands_in_jsonl_and_tensorboard(tmp_path, capsys):
    from PIL import Image

    folder = RunFolder(tmp_path)
    monitor = Monitor(folder, load_recipe("scenes"), step=0, last_step=10)
    monitor.log(5, {"loss": 2.5, "loss/msm": 2.0, "lr": 1e-3}, remaining=3723.0)
    monitor.validation(5, {"validation/loss": 2.25})
    monitor.picture(5, Image.new("RGB", (8, 6), "red"))
    monitor.close()
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert lines == [
        {"step": 5, "loss": 2.5, "loss/msm": 2.0, "lr": 1e-3},
        {"step": 5, "validation/loss": 2.25},
    ]
    events = EventAccumulator(str(folder.tensorboard))
    events.Reload()
    assert events.Scalars("loss/total")[0].value == 2.5 and events.Scalars("run_health/lr")[0].step == 5
    assert events.Scalars("loss/msm")[0].value == 2.0 and events.Scalars("validation/loss")[0].step == 5
    assert events.Images("validation/pair")[0].width == 8
    assert "hparams" in str(events.summary_metadata.keys())
    assert folder.picture.is_file()
    assert "step 5/10 loss=2.5 loss/msm=2 lr=0.001 eta 01:02:03" in capsys.readouterr().out


def test_losses_come_first_in_tensorboard():
    """Its groups are what stands before the first slash; it sorts them and opens the first two."""
    objectives = ["itm", "mlm", "moc", "mrfr", "mrm", "msm"]
    figures = [f"loss/{name}" for name in objectives] + [f"{name}/accuracy" for name in objectives]
    figures += ["loss", "samples_per_second", "tokens_per_second", "data_wait_share", "packing_efficiency"]
    figures += ["lr", "grad_norm", "epoch", "samples", "tokens", "skipped_steps", "damaged", "memory_gb"]
    figures += ["validation/loss", "validation/loss/itm", "validation/itm/accuracy"]
    tags = {figure: tag_of(figure) for figure in figures}
    assert len(set(tags.values())) == len(figures)
    groups = sorted({tag.split("/")[0] for tag in tags.values()})
    assert groups == ["loss", "objectives", "run_health", "speed", "validation"]
    assert {figure for figure, tag in tags.items() if tag.startswith("loss/")} == set(figures[:6]) | {"loss"}


def test_a_duration_of_days():
    assert duration(86400 * 2.25) == "2.2 days" and duration(59.9) == "00:00:59"


def test_settings_as_tensorboard_takes_them():
    assert for_hparams({"a": {"b": 1, "c": [2]}, "d": None, "e": {}}) == {"a.b": 1, "a.c": "[2]", "e": "{}"}


def test_profile_window():
    assert parse_window("3:5") == (3, 5) and parse_window(None) is None
    for bad in ("5", "5:3", "0:2", "a:b"):
        with pytest.raises(SettingsError, match="--profile"):
            parse_window(bad)


def test_status(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_status() is None
    folder.write_status("preempted", 7, "SIGTERM")
    status = {
        "state": "preempted",
        "step": 7,
        "reason": "SIGTERM",
        "exit_code": 75,
        "again": "yes",
        "hosts": "",
        "complete": False,
        "saved": 0,
    }
    assert folder.read_status() == status
