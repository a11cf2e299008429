"""What a training asks before it takes its time, in the order in which it asks."""

from types import SimpleNamespace

import pytest
import torch

from interbert.config import Settings, SettingsError
from interbert.ranks.distributed import Ranks
from interbert.ranks.stop import StopRequest
from interbert.shipped import shipped
from interbert.train import prepare
from interbert.train.folder.run_folder import RunFolder
from interbert.train.start import command


class Asked(Exception):
    pass


def ask(*_, **__):
    raise Asked


def test_a_precision_that_the_devices_lack_is_refused_before_data_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(command, "start_ranks", lambda *_: Ranks.alone())
    monkeypatch.setattr(command, "post_witness", lambda _: None)
    kind = command.Kind(provide=ask, open=ask, glance=ask)
    settings = Settings(name="x")
    config = str(shipped("ds_configs") / "zero0_fp16.json")
    asked = command.Asked(kind, settings, config, tmp_path / "run", "latest", None)
    with pytest.raises(SettingsError, match="fp16 needs a GPU"):
        command.run_training(asked, StopRequest(tmp_path / "STOP"))
    assert RunFolder(tmp_path / "run").read_status()["state"] == "failed"


def test_ranks_agree_on_kernels_before_the_engine_is_made(monkeypatch):
    monkeypatch.setattr(prepare, "build_model", lambda *_: SimpleNamespace(config="shape"))
    monkeypatch.setattr(prepare, "Engine", lambda *_: pytest.fail("the engine came first"))
    told = []

    def agree(*words):
        told.append(words)
        raise Asked

    monkeypatch.setattr(prepare, "agree_on_kernels", agree)
    meant = SimpleNamespace(task=None, settings=None, config=SimpleNamespace(precision="bf16"))
    with pytest.raises(Asked):
        prepare.build(meant, None, "ranks")
    assert told == [("shape", "bf16", "ranks")]
