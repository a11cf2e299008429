"""Folders that lie beside the package in a checkout, and inside it where it was installed from a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """ds_configs or launch."""
    places = [_PACKAGE.parent / name, _PACKAGE / name]
    found = next((place for place in places if place.is_dir()), None)
    assert found, f"{name} is neither beside the package nor in it: {places}"
    return found
