"""The native CPU kernels as they can be had here: on tile registers, and as a portable build of the same sources."""

import os
from pathlib import Path

import pytest
from portable_kernels import build_portable

from interbert.kernels.compile import Unavailable
from interbert.kernels.cpu import native

TILES = native.library()


def why_no_tiles() -> str:
    try:
        native.require_tiles()
    except Unavailable as reason:
        return str(reason)
    return "INTERBERT_NATIVE=0, or no g++ that knows them"


@pytest.fixture(scope="session")
def portable_file(tmp_path_factory) -> Path:
    """tests/kernels/native_harness.py brings its own: broken ones, and one with sanitizers."""
    brought = os.environ.get("PORTABLE_LIBRARY")
    try:
        return Path(brought) if brought else build_portable(tmp_path_factory.mktemp("portable"))
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def portable_library(portable_file):
    return native.load(portable_file)


@pytest.fixture(params=["tiles", "portable"])
def kernels(request, monkeypatch) -> str:
    """The test runs once with each, as if it served all bf16 on CPUs."""
    if request.param == "tiles" and TILES is None:
        pytest.skip(f"tile kernels: {why_no_tiles()}")
    library = TILES if request.param == "tiles" else request.getfixturevalue("portable_library")
    monkeypatch.setattr(native, "library", lambda: library)
    return request.param
