"""Two calls of pytest over the same tests, one from the first file on, one from the last back, until they meet.

Most tests keep one core busy, so two end in half the time, whatever a machine, a commit or a selection makes slow.
"""

from pathlib import Path

import pytest

MINE = pytest.StashKey[dict[Path, bool]]()
"""Which files this call tests."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--claims", type=Path, metavar="DIR", help="where each call marks the files that it tests"
    )
    parser.addoption("--backwards", action="store_true", help="from the last file back")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--backwards"):
        files = list(dict.fromkeys(item.path for item in items))
        items.sort(key=lambda item: -files.index(item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """A test of a file that the other call has begun is passed over."""
    claims = item.config.getoption("--claims")
    return None if claims is None or claimed(item, claims) else True


def claimed(item: pytest.Item, claims: Path) -> bool:
    mine = item.config.stash.setdefault(MINE, {})
    if item.path not in mine:
        name = str(item.path.relative_to(item.config.rootpath)).replace("/", ".")
        try:
            (claims / name).touch(exist_ok=False)
        except FileExistsError:
            mine[item.path] = False
        else:
            mine[item.path] = True
    return mine[item.path]
