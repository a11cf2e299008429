"""Who may start a run again, and with which code its ranks end."""

import pytest
import torch
import torch.distributed as dist

from interbert.ranks.ending import again_after, describe_error, exit_code
from interbert.ranks.rendezvous import RendezvousError
from interbert.ranks.stop import StopRequest
from interbert.train.folder.run_folder import RunFolder

GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:27001"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ValueError("data.train: no such store"), "no"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "no"),
        (torch.OutOfMemoryError("CUDA out of memory. NCCL has 2 GiB"), "no"),
        (RuntimeError(GLOO), "elsewhere"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "elsewhere"),
        (dist.DistBackendError("communicator was aborted on rank 3"), "elsewhere"),
        (dist.DistStoreError("wait timeout after 600000ms"), "elsewhere"),
        (RendezvousError("ranks 8 never came"), "elsewhere"),
        (OSError("Connection reset: the data lies on a disk that is gone"), "no"),
    ],
)
def test_what_another_attempt_may_mend(error, again):
    reason, found = describe_error(error)
    assert found == again and reason == f"{type(error).__name__}: {error}"


def test_a_file_asks_for_good_and_a_signal_for_now(tmp_path):
    stop = StopRequest(tmp_path / "STOP")
    assert stop.asked() == ""
    assert stop.obey(["", "SIGTERM"]) == "SIGTERM, rank 1" and not stop.by_hand
    assert again_after("preempted", stop.by_hand) == "yes"
    (tmp_path / "STOP").touch()
    stop = StopRequest(tmp_path / "STOP")
    assert stop.asked() == "file STOP"
    # and of a rank that saw the signal that torchrun sends to the others meanwhile
    assert stop.obey(["file STOP", "SIGTERM"]) == "file STOP, rank 0, SIGTERM, rank 1" and stop.by_hand
    assert again_after("preempted", stop.by_hand) == "no"
    assert again_after("finished") == again_after("failed") == "no"


def test_torchrun_undoes_all_but_a_persons_stop(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_MAX_RESTARTS", raising=False)
    assert exit_code(75, by_hand=True) == exit_code(75, by_hand=False) == 75
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    assert exit_code(75, by_hand=True) == 0 and exit_code(75, by_hand=False) == 75
    assert exit_code(1, by_hand=True) == 1


def test_status_says_it(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_status("preempted", 7, "SIGTERM")
    assert folder.read_status()["again"] == "yes"
    folder.write_failure(1, 7, "rank 1 hangs", "elsewhere", ["n2", "n3"])
    status = folder.read_status()
    assert (status["again"], status["hosts"]) == ("elsewhere", "n2,n3")
