"""Words of a language that writes no spaces: where each begins and ends, by rjieba, which is installed where it is
asked for."""

from collections.abc import Callable

Cut = Callable[[str], list[tuple[str, int, int]]]
"""Of a text: its words one behind the other, each with the characters where it begins and ends. Spaces and marks are
words too."""


def segmenter(asked_by: str) -> tuple[Cut, str]:
    """And what it is called: another version may cut otherwise. asked_by: a setting, for who has to do without."""
    try:
        import rjieba
    except ImportError:
        raise ValueError(
            f"{asked_by} cuts texts into words by rjieba, which is not installed: pip install rjieba==0.2.2 "
            "(or pip install .[zh]), or take characters"
        ) from None
    from importlib.metadata import version

    return rjieba.tokenize, f"rjieba {version('rjieba')}"
