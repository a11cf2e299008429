import hashlib

import pytest
import torch
from safetensors.torch import load_file

from interbert.train.checkpoints.checkpoint import share_out
from interbert.train.checkpoints.part_file import PartFile


def test_others_read_what_was_written(tmp_path):
    tensors = {
        "a": torch.randn(3, 5),
        "none": torch.zeros(0, 4),
        "one": torch.tensor(7.0),
        "turned": torch.randn(4, 6).T,
        "half": torch.randn(10).half(),
    }
    file = PartFile(tmp_path / "part", {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    for tensor in tensors.values():
        file.add(tensor)
    described, problem = file.close()
    back = load_file(tmp_path / "part")
    assert problem == "" and set(back) == set(tensors)
    assert all(torch.equal(back[name], tensors[name].float()) for name in tensors)
    data = (tmp_path / "part").read_bytes()
    assert described == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("path", ["nowhere/part", "."])
def test_what_fails_is_told_at_the_end(tmp_path, path):
    file = PartFile(tmp_path / path, {"a": (2,)})
    file.add(torch.ones(2))
    described, problem = file.close()
    assert described == {} and ("No such file" in problem or "Is a directory" in problem)


def test_a_full_device_is_told(tmp_path):
    file = PartFile("/dev/full", {"a": (100_000,)})
    file.add(torch.ones(100_000))
    file.add(torch.ones(100_000))
    assert "No space left on device" in file.close()[1]


def test_ranks_share_alike():
    sizes = {"words": 1000, **{f"layer{i}": 100 for i in range(20)}}
    owners = share_out(sizes, 3)
    loads = [sum(sizes[name] for name in sizes if owners[name] == rank) for rank in range(3)]
    assert loads == [1000, 1000, 1000]
    assert set(share_out({"a": 1}, 4).values()) == {0}
