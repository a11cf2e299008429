import shutil

import pytest
from small_search import open_searcher, write_index, write_searcher
from small_server import served

from interbert.search.requests import Options


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    encoder = write_searcher(folder)
    write_index(folder, encoder)
    return folder, encoder


@pytest.fixture(scope="module")
def client(made):
    with open_searcher(*made, Options(queued_seconds=60)) as searcher, served(searcher) as client:
        yield client


@pytest.fixture
def own(made, tmp_path):
    """An index that no other server has open."""
    folder, encoder = made
    shutil.copytree(folder / "index", tmp_path / "index")
    return tmp_path, encoder
