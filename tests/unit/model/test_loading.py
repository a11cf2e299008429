import os

import pytest

from interbert.files import write_sums
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.model.loading import load_ours


@pytest.fixture
def folder(tmp_path):
    config = InterBertConfig.from_preset("tiny", vocab_size=50, feature_width=8, classes=3)
    InterBertForPreTraining.from_seed(config, 1).save_pretrained(tmp_path)
    write_sums(tmp_path)
    return tmp_path


def test_a_bit_that_flipped_in_an_export_is_noticed(folder):
    load_ours(folder)
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"model.safetensors: its sha256 is .* restore it"):
        load_ours(folder)


def test_an_export_that_is_cut_off_is_noticed_without_sums(folder):
    (folder / "SHA256SUMS").unlink()
    os.truncate(folder / "model.safetensors", 1000)
    with pytest.raises(ValueError, match="the weights cannot be read"):
        load_ours(folder)


def test_a_pickle_is_not_read(folder):
    (folder / "SHA256SUMS").unlink()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="the weights cannot be read"):
        load_ours(folder)
