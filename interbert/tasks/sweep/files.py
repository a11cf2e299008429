"""The files that the runs of a sweep learn from and are judged on, which all of them must have alike."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.files import digest, read_json, write_json

FILES = "sweep_files.json"


def check_files(folder: Path, runs: Iterable[Settings]) -> None:
    """Notes what is in the files of these runs, and refuses one that is not what an earlier run of the sweep in
    `folder` was given. What is not there yet is passed over. Call on one rank."""
    note = folder / FILES
    known = read_json(note) if note.is_file() else {}
    now = {str(path): take(path) for path, take in dict(_all_files(runs)).items() if path.exists()}
    for name, found in now.items():
        if known.get(name, found) != found:
            raise ValueError(
                f"{name} has changed since the runs in {folder} began, which are compared on it: put it back, or "
                "name another --output-dir"
            )
    write_json(note, known | now)


def _all_files(runs: Iterable[Settings]) -> Iterator[tuple[Path, Callable[[Path], str]]]:
    """With what is taken of each to know it again."""
    for settings in runs:
        task, data = settings.task, settings.data
        files = [task.examples, task.validation, settings.mismatch.hard_table]
        files.append(task.sets.near_table if task.sets else None)
        yield from ((Path(each).resolve(), digest) for each in files if each)
        yield from ((Path(each).resolve(), _of_stores) for each in (*data.train, *data.validation))


def _of_stores(path: Path) -> str:
    with Corpus([path]) as corpus:
        return corpus.fingerprint
