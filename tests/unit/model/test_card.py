"""What goes to a hub goes with a card."""

import json

import pytest
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.hf_api import CommitInfo, RepoUrl

from interbert.model import InterBertForPreTraining
from interbert.model.card import CARD
from tests.unit.model.test_interface import model_of


@pytest.fixture
def hub(monkeypatch):
    """What was uploaded, by name; and what a card there says already."""
    found = {"files": {}, "card": None}

    def create_repo(self, repo_id, **_):
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    def create_commit(self, repo_id, operations, **_):
        for one in operations:
            with one.as_file() as file:
                found["files"][one.path_in_repo] = file.read()
        url = f"https://huggingface.co/{repo_id}/commit/1"
        return CommitInfo(commit_url=url, commit_message="m", commit_description="", oid="1")

    def load(repo_id, **_):
        if found["card"] is None:
            raise EntryNotFoundError("no card")
        return ModelCard(found["card"])

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    monkeypatch.setattr(ModelCard, "load", load)
    return found


def test_the_card_that_a_run_left(hub, tmp_path):
    model_of().save_pretrained(tmp_path)
    (tmp_path / CARD).write_text('trained on cats: X.from_pretrained("scenes")')
    InterBertForPreTraining.from_pretrained(tmp_path).push_to_hub("me/mine")
    assert hub["files"][CARD] == b'trained on cats: X.from_pretrained("me/mine")'
    assert json.loads(hub["files"]["config.json"])["model_type"] == "interbert"
    header = hub["files"]["model.safetensors"]
    (length,) = memoryview(header[:8]).cast("Q")
    assert json.loads(header[8 : 8 + length])["__metadata__"] == {"format": "pt"}


def test_a_plain_one_where_there_is_none(hub):
    model_of().push_to_hub("me/mine")
    card = hub["files"][CARD].decode()
    assert (
        "library_name: transformers" in card
        and "- layers: 2 joint, then 2 text, then 2 image, 24 wide" in card
    )
    assert 'InterBertForPreTraining.from_pretrained("me/mine")' in card


def test_one_that_someone_wrote_stays(hub):
    hub["card"] = "---\nlicense: mit\n---\n\nby hand"
    model_of().push_to_hub("me/mine")
    assert b"by hand" in hub["files"][CARD]
