"""A corpus of small_world for the tests of a file."""

import pytest
from small_world import open_world


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    with open_world(tmp_path_factory.mktemp("world")) as corpus:
        yield corpus
